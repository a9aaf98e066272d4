"""What Q_P computes between the sums under its windows, for numba, with NumPy's bits.

As in :mod:`fusionbench.metrics._fmi_compiled`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from fusionbench.synth.compiled_types import OPTIONS as _OPTIONS
from fusionbench.synth.compiled_types import given as _given
from fusionbench.synth.compiled_types import made as _made

_THRESHOLD, _CONSTANT = 0.1, 1e-4  # as in qp.py


@njit(types.void(*[_given(2)] * 4, _made(3)), **_OPTIONS)
def qp_masked(congruency_a: Any, congruency_b: Any, map_a: Any, map_b: Any, out: Any) -> None:
    """``qp._masked``: maps of A, of B and of the stronger of both where each has a feature, into ``out`` (3,h,w)."""
    for row in range(out.shape[1]):
        of_a, of_b, a, b = congruency_a[row], congruency_b[row], map_a[row], map_b[row]
        to_a, to_b, to_both = out[0, row], out[1, row], out[2, row]
        for n in range(out.shape[2]):
            x = a[n] if of_a[n] > _THRESHOLD else 0.0
            y = b[n] if of_b[n] > _THRESHOLD else 0.0
            to_a[n] = x
            to_b[n] = y
            to_both[n] = x if of_a[n] > of_b[n] else y


@njit(types.void(_given(2), _given(2), types.int64, *[_given(2)] * 7, _made(2)), **_OPTIONS)
def qp_best(
    congruency_a: Any,
    congruency_b: Any,
    halo: int,
    variance: Any,
    variance_a: Any,
    variance_b: Any,
    variance_both: Any,
    covariance_a: Any,
    covariance_b: Any,
    covariance_both: Any,
    best: Any,
) -> None:
    """``qp._best``: the largest of three correlations; of the congruencies ``halo`` pixels at each side are skipped."""
    for row in range(best.shape[0]):
        of_a, of_b = congruency_a[row + halo, halo:], congruency_b[row + halo, halo:]
        of_fused, to = variance[row], best[row]
        v, c = variance_a[row], covariance_a[row]
        for n in range(best.shape[1]):
            value = (c[n] + _CONSTANT) / (np.sqrt(abs(v[n] * of_fused[n])) + _CONSTANT)
            to[n] = value if of_a[n] > _THRESHOLD else 0.0
        v, c = variance_b[row], covariance_b[row]
        for n in range(best.shape[1]):
            value = (c[n] + _CONSTANT) / (np.sqrt(abs(v[n] * of_fused[n])) + _CONSTANT)
            value = value if of_b[n] > _THRESHOLD else 0.0
            to[n] = value if value > to[n] else to[n]
        v, c = variance_both[row], covariance_both[row]
        for n in range(best.shape[1]):
            value = (c[n] + _CONSTANT) / (np.sqrt(abs(v[n] * of_fused[n])) + _CONSTANT)
            stronger = of_a[n] if of_a[n] > of_b[n] else of_b[n]
            value = value if stronger > _THRESHOLD else 0.0
            to[n] = value if value > to[n] else to[n]
