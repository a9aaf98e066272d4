"""CC against NumPy's corrcoef and SciPy's pearsonr, to 1e-11."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from fusionbench.metrics.cc import cc
from tests.metrics.scenes import stacks


@pytest.mark.parametrize("fraction", [0.0, 0.31])
def test_against_numpy_and_scipy(fraction: float) -> None:
    triples = [stack * 0.9 + fraction for stack in stacks()]
    for value, f, a, b in zip(cc(*triples), *triples, strict=True):
        by_numpy = (np.corrcoef(f.ravel(), a.ravel())[0, 1] + np.corrcoef(f.ravel(), b.ravel())[0, 1]) / 2
        assert value == pytest.approx(by_numpy, rel=1e-11)
        assert value == pytest.approx((pearsonr(f.ravel(), a.ravel())[0] + pearsonr(f.ravel(), b.ravel())[0]) / 2)


def test_extremes() -> None:
    fused, *_ = stacks(1)
    assert cc(fused, fused, fused)[0] == pytest.approx(1, abs=1e-15)
    assert cc(fused, 255 - fused, 255 - fused)[0] == pytest.approx(-1, abs=1e-15)
    assert cc(fused, fused, 255 - fused)[0] == pytest.approx(0, abs=1e-15)
    assert np.isnan(cc(fused, np.full_like(fused, 7), fused)[0])
    assert np.isnan(cc(np.full(fused.shape, 100.1), *(fused / 1.7,) * 2)[0])
