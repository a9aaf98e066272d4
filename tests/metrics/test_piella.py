"""What Q_S, Q_W, Q_E and Q_C share, against explicit windows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import prewitt

from fusionbench.metrics._images import Image, to_images
from fusionbench.metrics._piella import SSIM, UNGUARDED, UNIVERSAL, Index, bands, moments, prewitt_image, similarity
from tests.metrics.scenes import scene, stacks


def window_weights(index: Index) -> np.ndarray:
    line = np.ones(index.size)
    if index.sigma is not None:
        line = np.exp(-((np.arange(index.size) - index.size // 2) ** 2) / (2 * index.sigma**2))
    square = np.outer(line, line)
    return square / square.sum()


def explicit(x: np.ndarray, y: np.ndarray, index: Index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(similarity, covariance, variance of x) of every window, by sums over its pixels; no flat windows."""
    w = window_weights(index)
    x, y = (sliding_window_view(image.astype(float), w.shape) for image in (x, y))

    def mean(z: np.ndarray) -> np.ndarray:
        return (w * z).sum((-2, -1))

    mx, my = mean(x), mean(y)
    dx, dy = x - mx[..., None, None], y - my[..., None, None]
    vx, vy, cov = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    q = (2 * mx * my + index.c1) / (mx**2 + my**2 + index.c1) * (2 * cov + index.c2) / (vx + vy + index.c2)
    return q, cov, vx


def rough(seed: int = 0) -> list[np.ndarray]:
    """(fused, a, b) without flat windows."""
    rng = np.random.default_rng(seed)
    return [np.clip(image + rng.integers(-9, 10, image.shape), 0, 255).astype(np.uint8) for image in scene(seed)]


@pytest.mark.parametrize("index", [UNIVERSAL, SSIM, UNGUARDED], ids=lambda index: index.name)
def test_moments_and_similarity(index: Index) -> None:
    fused, a, _ = rough()
    x, y = to_images(fused[None])[0], to_images(a[None])[0]
    q, covariance, variance = explicit(fused, a, index)
    assert moments(x, index)[1] == pytest.approx(variance, rel=1e-9)
    assert similarity(x, y, index)[0] == pytest.approx(q, rel=1e-8, abs=1e-9)
    assert similarity(x, y, index)[1] == pytest.approx(covariance, rel=1e-9, abs=1e-8)


def test_flat_windows() -> None:
    def image(level: float) -> Image:
        return to_images(np.full((1, 16, 16), level))[0]

    for level in (0, 77, 77.3):
        assert not moments(image(level), UNIVERSAL)[1].any() and not moments(image(level), SSIM)[1].any()
    assert (similarity(image(0), image(0), UNIVERSAL)[0] == 1).all(), "two black ones"
    assert similarity(image(40), image(80), UNIVERSAL)[0] == pytest.approx(2 * 40 * 80 / (40**2 + 80**2))
    texture = to_images(rough()[0][None, :16, :16])[0]
    assert not similarity(image(40), texture, UNIVERSAL)[0].any()


@pytest.mark.parametrize("height", [8, 103, 104, 240])
def test_every_window_lies_in_one_band(height: int) -> None:
    image = to_images(stacks(1, (height, 20))[0])[0]
    means = [moments(band, UNIVERSAL)[0] for (band,) in bands(UNIVERSAL, image)]
    whole = moments(to_images(stacks(1, (height, 20))[0])[0], UNIVERSAL)[0]
    assert np.array_equal(np.concatenate(means), whole) and len(whole) == height - 7


@pytest.mark.parametrize(("border", "mode"), [("replicate", "nearest"), ("zero", "constant")])
def test_prewitt_images(border: str, mode: str) -> None:
    fused = rough()[0]
    found = prewitt_image(to_images(fused[None])[0], border).pixels
    assert found == pytest.approx(np.hypot(*(prewitt(fused.astype(float), axis, mode=mode) for axis in (0, 1))))
