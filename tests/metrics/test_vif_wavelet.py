"""Wavelet VIF against plain loops over the blocks, to 1e-9; the pyramid against pyrtools where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate

from fusionbench.metrics._images import Image
from fusionbench.metrics.vif_wavelet import _BAND, _LOW, _LOW_0, _subbands, vif_wavelet
from tests.metrics.scenes import scene, stacks

SHAPE = (75, 82)


def window(eighth: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Entry (i, j) from the distances to the nearer border, the smaller one first."""
    side = 2 * len(eighth) - 1
    near = [min(i, side - 1 - i) for i in range(side)]
    return np.array([[eighth[min(i, j)][max(i, j) - min(i, j)] for j in near] for i in near])


def pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Two orientations of four levels, by SciPy."""
    across = np.array([[_BAND[min(i, 6 - i)][min(j, 6 - j)] * np.sign(3 - j) if j != 3 else 0 for j in range(7)]
                       for i in range(7)])  # fmt: skip
    low, bands = correlate(image.astype(float), window(_LOW_0), mode="mirror"), []
    for level in range(4):
        low = correlate(low, window(_LOW), mode="mirror")[::2, ::2] if level else low
        bands += [correlate(low, across, mode="mirror"), correlate(low, across.T, mode="mirror")]
    return bands


def plainly(f: np.ndarray, source: np.ndarray) -> float:
    """Block by block, as the paper's formulas read."""
    kept = there = 0.0
    for place, (x, y) in enumerate(zip(pyramid(source), pyramid(f), strict=True)):
        size = 2 ** (4 - place // 2) + 1
        rows, columns = x.shape[0] // 3, x.shape[1] // 3
        x, y = x[: rows * 3, : columns * 3], y[: rows * 3, : columns * 3]
        patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3)).reshape(-1, 9)
        covariance = np.cov(patches, rowvar=False, bias=True)
        inverse, eigenvalues = np.linalg.inv(covariance), np.linalg.eigvalsh(covariance)
        margin = -(-(size // 2) // 3)
        for i in range(margin, rows - margin):
            for j in range(margin, columns - margin):
                block = x[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].ravel()
                field = block @ inverse @ block / 9
                around = np.s_[3 * i + 1 - size // 2 : 3 * i + 2 + size // 2,
                               3 * j + 1 - size // 2 : 3 * j + 2 + size // 2]  # fmt: skip
                s, t = x[around].ravel(), y[around].ravel()
                gain = max(float(np.cov(s, t, bias=True)[0, 1] / s.var()), 0.0)
                noise = np.mean((t - t.mean() - gain * (s - s.mean())) ** 2)
                kept += np.log2(1 + gain**2 * field * eigenvalues / (noise + 0.4)).sum() if gain else 0.0
                there += np.log2(1 + field * eigenvalues / 0.4).sum()
    return kept / there


def test_against_plain_loops() -> None:
    f, a, b = scene(6, SHAPE)
    b[30:60, 30:60] = 255 - f[30:60, 30:60]  # negative gains
    parts = plainly(f, a), plainly(f, b)
    assert vif_wavelet(f[None], a[None], b[None])[0] == pytest.approx(sum(parts), rel=1e-9)
    assert vif_wavelet(f[None], a[None], b[None], over="mean")[0] == pytest.approx(sum(parts) / 2, rel=1e-9)
    assert vif_wavelet(f[None], a[None], b[None], unit=True)[0] != pytest.approx(sum(parts), rel=1e-2)


def test_the_pyramid_is_that_of_pyrtools() -> None:
    pyramids = pytest.importorskip("pyrtools.pyramids")
    image = scene(1, SHAPE)[0]
    theirs = pyramids.SteerablePyramidSpace(image.astype(float), height=4, order=5, edge_type="reflect1").pyr_coeffs
    for place, band in enumerate(_subbands(Image(None, grey=image), False)):
        expected = theirs[place // 2, place % 2 * 3]
        # a sign for a whole band changes no information
        sign = np.sign((band * expected[: band.shape[0], : band.shape[1]]).sum())
        assert sign * band == pytest.approx(expected[: band.shape[0], : band.shape[1]], abs=1e-9)


def test_flat_and_striped_images() -> None:
    f, a, _ = stacks(1, SHAPE)
    flat = np.full_like(a, 90)
    stripes = np.broadcast_to((np.arange(SHAPE[1]) // 5 % 2 * 200).astype(np.uint8), a.shape).copy()
    assert vif_wavelet(a, a, a)[0] == pytest.approx(2, abs=1e-6)
    assert vif_wavelet(flat, a, a)[0] == pytest.approx(0, abs=1e-12)
    assert vif_wavelet(f, a, flat)[0] - vif_wavelet(f, a, a)[0] / 2 == pytest.approx(1, abs=1e-12)
    # no structure along one axis: the covariance of its band is 0, that of the other singular
    assert vif_wavelet(stripes, stripes, stripes)[0] == pytest.approx(2, abs=1e-6)
    assert vif_wavelet(f, stripes, stripes)[0] < 0.5
