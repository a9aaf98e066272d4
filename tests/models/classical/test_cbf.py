"""Cross bilateral filter fusion against plain loops, covariance matrices and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.classical.cbf import mirrored, strength
from tests.models.classical.test_pyramids import fuse, pair

SPEC = ImageSpec(1, 8, 8, 2)


def plain_filter(image: np.ndarray, guide: np.ndarray, size: int, space: float, grey: float) -> np.ndarray:
    half = size // 2
    padded, guides = np.pad(image, half, mode="reflect"), np.pad(guide, half, mode="reflect")
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    near = np.exp(-(x**2 + y**2) / (2 * space**2))
    result = np.empty_like(image)
    for i, j in np.ndindex(image.shape):
        alike = np.exp(-((guides[i : i + size, j : j + size] - guide[i, j]) ** 2) / (2 * grey**2))
        result[i, j] = (near * alike * padded[i : i + size, j : j + size]).sum() / (near * alike).sum()
    return result


def plain_strength(detail: np.ndarray, window: int) -> np.ndarray:
    padded = np.pad(detail, window // 2, mode="reflect")
    result = np.empty_like(detail)
    for i, j in np.ndindex(detail.shape):
        part = padded[i : i + window, j : j + window]
        result[i, j] = sum(np.linalg.eigvalsh(np.cov(x)).sum() for x in (part, part.T))
    return result


@pytest.mark.parametrize("shape", [(13, 17), (3, 20), (1, 1)])
def test_whole_rule_against_plain_loops(shape: tuple[int, int]) -> None:
    a, b = np.random.default_rng(0).random((2, *shape))
    details = [x - plain_filter(x, guide, 11, 1.8, 25 / 255) for x, guide in ((a, b), (b, a))]
    weights = [plain_strength(x, 5) for x in details]
    total = weights[0] + weights[1]
    share = np.divide(weights[0], total, out=np.full(shape, 0.5), where=total > 0)
    found = create_model("cbf", SPEC).combine(*(torch.from_numpy(x)[None, None] for x in (a, b)))
    assert found[0, 0].numpy() == pytest.approx(share * a + (1 - share) * b, abs=1e-12)


@pytest.mark.parametrize("shape", [(6, 9), (2, 3), (1, 4), (1, 1)])
def test_mirror_against_numpy(shape: tuple[int, int]) -> None:
    """Also where the margin is wider than the image."""
    x = np.random.default_rng(1).random(shape)
    found = mirrored(torch.from_numpy(x)[None, None], 5)[0, 0].numpy()
    assert np.array_equal(found, np.pad(x, 5, mode="reflect"))


def test_guided_by_itself_is_opencvs_bilateral_filter() -> None:
    """OpenCV's square is round and its exponential a table: inside the border, at two digits less than float32."""
    image = pair(40, 50).views[0, 0, 0].double()
    model = create_model("cbf", SPEC, size=21, sigma_space=1.8, sigma_range=0.1)
    found = model.filtered(image[None, None], image[None, None])[0, 0].numpy()
    expected = cv2.bilateralFilter(image.float().numpy(), 21, 0.1, 1.8, borderType=cv2.BORDER_REFLECT_101)
    assert found == pytest.approx(expected, abs=2e-5)


def test_strength_is_zero_on_flat_places_and_never_negative() -> None:
    flat = torch.full((1, 1, 9, 9), 0.7, dtype=torch.float64)
    assert float(strength(flat, 5).max()) < 1e-14
    assert float(strength(flat + 1e-9 * torch.rand(1, 1, 9, 9, dtype=torch.float64), 3).min()) >= 0


def test_the_source_with_detail_is_nearer() -> None:
    batch = pair(37, 50)
    a, b = batch.views[0, :, 0].numpy()
    fused = fuse("cbf", batch)
    left, right = np.s_[:, 4:18], np.s_[:, 32:46]
    assert np.abs(fused - a)[left].mean() < 0.6 * np.abs(fused - b)[left].mean()
    assert np.abs(fused - b)[right].mean() < 0.6 * np.abs(fused - a)[right].mean()


@pytest.mark.parametrize("shape", [(21, 26), (2, 9), (1, 1)])
def test_two_equal_sources_come_back(shape: tuple[int, int]) -> None:
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, *shape)))
    assert create_model("cbf", SPEC).combine(image, image).numpy() == pytest.approx(image.numpy(), abs=1e-15)


def test_bad_parameters() -> None:
    for values in ({"size": 4}, {"window": 1}):
        with pytest.raises(UsageError, match="must be odd"):
            create_model("cbf", SPEC, **values)
    with pytest.raises(UsageError, match="positive"):
        create_model("cbf", SPEC, sigma_range=0.0)
