"""Log-Gabor filters and responses against whole spectra, as Kovesi writes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.metrics import _log_gabor
from fusionbench.metrics._images import Image
from fusionbench.metrics._log_gabor import filters_of
from fusionbench.metrics.qp import qp
from tests.metrics.scenes import stacks


def test_low_pass_placement_matters_at_odd_sides_only() -> None:
    def of(size: tuple[int, int], low_pass: str) -> np.ndarray:
        return np.stack(filters_of(*size, low_pass).angular(1))  # type: ignore[arg-type]

    assert np.array_equal(of((48, 54), "centred"), of((48, 54), "off by one"))
    assert not np.array_equal(of((49, 55), "centred"), of((49, 55), "off by one"))


def plain_filters(height: int, width: int, orientation: int, low_pass: str) -> np.ndarray:
    """Log-Gabor filters (4,H,W) of one orientation, over the whole spectrum as Kovesi writes them."""

    def bins(n: int) -> np.ndarray:
        centred = np.arange(n) - n // 2
        return np.fft.ifftshift(centred) / (n - 1 if n % 2 else n)

    x, y = np.meshgrid(bins(width), bins(height))
    radius, theta = np.hypot(x, y), np.arctan2(-y, x)
    radius[0, 0] = 1
    shift = np.fft.ifftshift if low_pass == "centred" else np.fft.fftshift
    low_x, low_y = np.meshgrid(*(shift(np.arange(n) - n // 2) / n for n in (width, height)))
    smooth = 1 / (1 + (np.hypot(low_x, low_y) / 0.45) ** 30)
    angle = orientation * np.pi / 6
    turn = np.abs(np.arctan2(np.sin(theta - angle), np.cos(theta - angle)))
    angular = np.exp(-(turn**2) / (2 * (np.pi / 6 / 1.2) ** 2))
    filters = np.empty((4, height, width))
    for scale in range(4):
        radial = np.exp(-(np.log(radius * 3 * 2.1**scale) ** 2) / (2 * np.log(0.55) ** 2)) * smooth
        radial[0, 0] = 0
        filters[scale] = radial * angular
    return filters


@pytest.mark.parametrize("low_pass", ["centred", "off by one"])
@pytest.mark.parametrize("size", [(30, 32), (31, 33), (30, 33), (29, 28)])
def test_half_spectra_give_the_responses_and_the_noise_gain_of_whole_filters(
    size: tuple[int, int], low_pass: _log_gabor.LowPass
) -> None:
    image = np.random.default_rng(3).uniform(0, 255, size)
    filters = filters_of(*size, low_pass)
    half = _log_gabor.half_spectrum(Image(image))
    tensors = Image(torch.from_numpy(image)[None])
    rows = _log_gabor.Responses(size, 12)
    for orientation in (0, 2, 5):
        plain = plain_filters(*size, orientation, low_pass)
        expected = np.fft.ifft2(np.fft.fft2(image) * plain)
        rows.load(half, filters, orientation, None)
        found = np.concatenate([np.stack([plane for planes in rows.of(n) for plane in planes]) for n in range(3)], 1)
        assert found == pytest.approx(np.concatenate([expected.real, expected.imag]), abs=1e-10)
        both = _log_gabor.responses(tensors, _log_gabor.half_spectrum(tensors), filters, orientation)
        assert torch.cat([*both[0], *both[1]]).numpy() == pytest.approx(found, abs=1e-10)
        kernels = np.fft.ifft2(plain).real
        gain = (kernels.sum(0) ** 2).sum() * image.size / (plain[0] ** 2).sum()
        assert filters.noise_gain(orientation) == pytest.approx(gain, rel=1e-12)


def test_many_sizes_keep_few_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log_gabor, "_cache", type(_log_gabor._cache)())
    one = filters_of(40, 40, "centred")
    assert filters_of(40, 40, "centred") is one
    monkeypatch.setattr(_log_gabor, "CACHE_BYTES", 3 * one.nbytes)
    for width in range(28, 60):
        filters_of(40, width, "centred").angular(0)
    assert 1 <= len(_log_gabor._cache) <= 4
    assert sum(each.nbytes for each in _log_gabor._cache.values()) <= _log_gabor.CACHE_BYTES
    assert (40, 59, "centred") in _log_gabor._cache and (40, 40, "centred") not in _log_gabor._cache
    large = filters_of(400, 400, "centred")  # more than all that may be kept
    assert large.angular(0)[0] is not large.angular(0)[0]
    assert (400, 400, "centred") not in _log_gabor._cache


@pytest.mark.parametrize("size", [(40, 45), (33, 52)])
def test_transforms_of_either_library_give_the_same_value(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fused, a, b = stacks(1, size)
    found = []
    for by_opencv in (True, False):
        monkeypatch.setattr(_log_gabor, "_by_opencv", lambda by_opencv=by_opencv: by_opencv)
        found.append(qp(fused, a, b)[0])
    assert found[0] == pytest.approx(found[1], rel=1e-12)
