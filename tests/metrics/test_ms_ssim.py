"""MS-SSIM against a composition of scikit-image's SSIM maps (1e-9) and piq where it imports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce
from skimage.metrics import structural_similarity

from fusionbench.metrics.ms_ssim import WEIGHTS, _average_2x2, ms_ssim
from tests.metrics.scenes import floats, stacks

SHAPE = (177, 190)


def contrast_structure(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Map of contrast-structure, inside the image."""

    def smooth(z: np.ndarray) -> np.ndarray:
        return gaussian_filter(z, 1.5, radius=5)[5:-5, 5:-5]

    mx, my, c2 = smooth(x), smooth(y), (0.03 * 255) ** 2
    return (2 * (smooth(x * y) - mx * my) + c2) / (smooth(x * x) - mx**2 + smooth(y * y) - my**2 + c2)


def terms(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(mean contrast-structure, mean SSIM) with SciPy's Gaussian of 11 taps, inside the image."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def smooth(z: np.ndarray) -> np.ndarray:
        return gaussian_filter(z, 1.5, radius=5)[5:-5, 5:-5]

    mx, my = smooth(x), smooth(y)
    sx, sy, sxy = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
    structure = (2 * sxy + c2) / (sx + sy + c2)
    return structure.mean(), ((2 * mx * my + c1) / (mx**2 + my**2 + c1) * structure).mean()


def halved(x: np.ndarray, odd: str) -> np.ndarray:
    """2×2 means of an image lengthened by its rule, pixel by pixel."""
    rows, columns = ([*range(side)] for side in x.shape)
    for places in (rows, columns):
        if len(places) % 2:
            if odd == "drop":
                places.pop()
            elif odd == "zero":
                places.insert(0, -1)
            else:
                places.append(places[-2])
    at = lambda r, c: 0.0 if min(r, c) < 0 else float(x[r, c])  # noqa: E731
    return np.array(
        [
            [sum(at(r, c) for r in rows[i : i + 2] for c in columns[j : j + 2]) / 4 for j in range(0, len(columns), 2)]
            for i in range(0, len(rows), 2)
        ]
    )


def plainly(x: np.ndarray, y: np.ndarray, odd: str | None = None) -> float:
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        structure, both = terms(x, y)
        product *= (both if scale == 4 else structure) ** weight
        if odd is not None:
            x, y = halved(x, odd), halved(y, odd)
            continue
        x, y = (block_reduce(z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2], (2, 2), np.mean) for z in (x, y))
    return product


def test_against_a_composition() -> None:
    triples = floats(*stacks(2, SHAPE))
    for value, f, a, b in zip(ms_ssim(*triples), *triples, strict=True):
        assert value == pytest.approx((plainly(f, a) + plainly(f, b)) / 2, rel=1e-9)
    assert ms_ssim(*triples, over="sum") == pytest.approx(2 * ms_ssim(*triples), rel=1e-15)


@pytest.mark.parametrize("odd", ["drop", "zero", "reflect"])
def test_odd_sides_against_a_loop(odd: str) -> None:
    f, a, b = floats(*(stack[0] for stack in stacks(1, (179, 181))))
    expected = (plainly(f, a, odd) + plainly(f, b, odd)) / 2
    value = ms_ssim(f[None], a[None], b[None], odd=odd)[0]  # type: ignore[arg-type]
    assert value == pytest.approx(expected, rel=1e-9)
    device = _average_2x2(torch.from_numpy(f)[None], odd)[0].numpy()
    assert device == pytest.approx(halved(f, odd), rel=1e-14) and device.shape == halved(f, odd).shape


def test_opposite_structure_counts_as_nothing_window_by_window() -> None:
    f, a, b = (stack[0] for stack in floats(*stacks(1, SHAPE)))
    f[:60] = 255 - a[:60]
    images = [f[None], a[None], b[None]]
    expected = 0.0
    for source in (a, b):
        product, x, y = 1.0, f, source
        for scale, weight in enumerate(WEIGHTS):
            both, structure = (
                structural_similarity(
                    x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255.0, full=True
                )[1],
                contrast_structure(x, y),
            )
            term = np.where(structure > 0, both[5:-5, 5:-5] if scale == 4 else structure, 0)
            product *= term.mean() ** weight
            x, y = (block_reduce(z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2], (2, 2), np.mean) for z in (x, y))
        expected += product / 2
    assert ms_ssim(*images, opposite="is nothing")[0] == pytest.approx(expected, rel=1e-9)
    assert ms_ssim(*images)[0] < expected


def test_zero_padding_of_odd_sides_against_torch_pooling() -> None:
    x = stacks(1, (7, 8))[0][0].astype(np.float64)
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(x)[None, None], 2, padding=(1, 0))[0, 0]
    assert _average_2x2(x, "zero") == pytest.approx(expected.numpy(), rel=1e-15)


def test_against_piq() -> None:
    try:
        from piq import multi_scale_ssim
    except (ImportError, RuntimeError) as error:  # piq needs a torchvision that belongs to the torch at hand
        pytest.skip(f"piq does not import: {error}")
    triples = stacks(1, (176, 192))
    f, a, b = (torch.from_numpy(stack.astype(np.float64))[:, None] for stack in triples)
    expected = (multi_scale_ssim(f, a, data_range=255.0) + multi_scale_ssim(f, b, data_range=255.0)) / 2
    assert ms_ssim(*triples)[0] == pytest.approx(float(expected), rel=1e-6)


def test_one_for_equal_images() -> None:
    fused = stacks(1, SHAPE)[0]
    assert ms_ssim(fused, fused, fused)[0] == pytest.approx(1, abs=1e-12)
    assert ms_ssim(255 - fused, fused, fused)[0] == 0  # negative structure counts as none
