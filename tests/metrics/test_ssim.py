"""SSIM against scikit-image (1e-10), torchmetrics and piq where it imports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from fusionbench.metrics.ssim import ssim, ssim_target
from tests.metrics.scenes import floats, stacks


def by_skimage(f: np.ndarray, s: np.ndarray) -> float:
    full = structural_similarity(
        f, s, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]
    return float(full[5:-5, 5:-5].mean())


def test_against_scikit_image() -> None:
    triples = floats(*stacks())
    for value, f, a, b in zip(ssim(*triples), *triples, strict=True):
        assert value == pytest.approx((by_skimage(f, a) + by_skimage(f, b)) / 2, rel=1e-10)
    assert ssim(*triples, over="sum") == pytest.approx(2 * ssim(*triples), rel=1e-15)
    assert ssim_target(*triples[:2])[0] == pytest.approx(by_skimage(triples[0][0], triples[1][0]), rel=1e-10)


@pytest.mark.parametrize("data_range", [2.0, 255.0])
def test_box_window_against_scikit_image(data_range: float) -> None:
    triples = floats(*stacks())
    values = ssim(*triples, window="uniform", size=7, data_range=data_range, sample=True, over="sum")
    for value, f, a, b in zip(values, *triples, strict=True):
        expected = sum(structural_similarity(f, x, data_range=data_range) for x in (a, b))
        assert value == pytest.approx(expected, rel=1e-9)


def test_windows_of_opposite_structure_can_count_as_nothing() -> None:
    f, a, b = (stack[0] for stack in floats(*stacks(1)))
    f[:30] = 255 - a[:30]
    expected = 0.0
    for x in (a, b):
        full = structural_similarity(
            f, x, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )[1][5:-5, 5:-5]
        expected += float(np.maximum(full, 0).mean()) / 2  # no window here has a luminance below 0
    found = ssim(f[None], a[None], b[None], opposite="is nothing")[0]
    assert found == pytest.approx(expected, rel=1e-9) and found > ssim(f[None], a[None], b[None])[0] + 0.05


def test_map_against_torchmetrics() -> None:
    """torchmetrics reflects the border; away from it the maps are equal."""
    f, a, _ = stacks(1)
    tensors = [torch.from_numpy(stack.astype(np.float64))[:, None] for stack in (f, a)]
    _, full = structural_similarity_index_measure(*tensors, data_range=255.0, return_full_image=True)
    inside = full[0, 0, 5:-5, 5:-5]
    if inside.shape != (51, 64):  # a release that crops the padding already
        inside = full[0, 0]
    assert ssim_target(f, a)[0] == pytest.approx(float(inside.mean()), rel=1e-9)


def test_against_piq() -> None:
    try:
        from piq import ssim as by_piq
    except (ImportError, RuntimeError) as error:  # piq needs a torchvision that belongs to the torch at hand
        pytest.skip(f"piq does not import: {error}")
    f, a, _ = stacks(1)
    tensors = [torch.from_numpy(stack.astype(np.float64))[:, None] for stack in (f, a)]
    assert ssim_target(f, a)[0] == pytest.approx(float(by_piq(*tensors, data_range=255.0, downsample=False)), rel=1e-9)


def test_one_for_equal_images_flat_or_not() -> None:
    fused, *_ = stacks(1)
    for image in (fused, np.full_like(fused, 0), np.full_like(fused, 255), np.full(fused.shape, 0.1 + 9)):
        assert ssim(image, image, image)[0] == pytest.approx(1, abs=1e-12)


def test_replicated_border_against_plain_padding() -> None:
    f, a, b = floats(*stacks(1))
    grown = [np.pad(stack, ((0, 0), (5, 5), (5, 5)), mode="edge") for stack in (f, a, b)]
    assert ssim(f, a, b, border="replicate") == pytest.approx(ssim(*grown), rel=1e-12)
