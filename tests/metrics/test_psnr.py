"""PSNR against scikit-image, to 1e-12."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from fusionbench.metrics.psnr import psnr, psnr_target
from tests.metrics.scenes import stacks


def test_target_against_scikit_image() -> None:
    fused, target, _ = stacks()
    for value, f, t in zip(psnr_target(fused, target), fused, target, strict=True):
        assert value == pytest.approx(peak_signal_noise_ratio(t, f, data_range=255), rel=1e-12)


def test_pair_and_its_peaks() -> None:
    triples = stacks()
    for row, (f, a, b) in enumerate(zip(*triples, strict=True)):
        single = [stack[row : row + 1] for stack in triples]
        error = (mean_squared_error(f, a) + mean_squared_error(f, b)) / 2
        assert psnr(*single)[0] == pytest.approx(10 * math.log10(255**2 / error), rel=1e-12)
        assert psnr(*single, peak="max of fused")[0] == pytest.approx(10 * math.log10(int(f.max()) ** 2 / error))
        assert psnr(*single, peak="65025")[0] == pytest.approx(psnr(*single)[0] + 20 * math.log10(255), rel=1e-12)
        roots = sum(math.sqrt(((f.astype(float) - x) ** 2).sum()) / f.size for x in (a, b)) / 2
        each = [10 * math.log10(1 / (mean_squared_error(f / 255, x / 255) + 1e-8)) for x in (a, b)]
        assert psnr(*single, of="each source")[0] == pytest.approx(sum(each) / 2, rel=1e-12)
        assert psnr(*single, peak="root of sums")[0] == pytest.approx(10 * math.log10(255**2 / roots), rel=1e-12)


def test_no_error_is_infinite() -> None:
    fused, *_ = stacks(1)
    assert psnr(fused, fused, fused, of="each source")[0] == pytest.approx(80)
    assert np.isposinf(psnr(fused, fused, fused)[0]) and np.isposinf(psnr_target(fused, fused)[0])
