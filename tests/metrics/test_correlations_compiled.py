"""Compiled correlations of Q_P against the formula written out, place by place."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.synth import kernel


@pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
def test_the_best_correlation_where_a_map_has_a_feature() -> None:
    loops = kernel.import_compiled("fusionbench.metrics._correlations_compiled")
    rng = np.random.default_rng(3)
    of_a, of_b, map_a, map_b = rng.random((4, 9, 12)) * 0.2
    masked = np.empty((3, 9, 12))
    loops.qp_masked(of_a, of_b, map_a, map_b, masked)
    variance, *others = rng.random((7, 5, 8)) - 0.3
    best = np.empty((5, 8))
    loops.qp_best(of_a, of_b, 2, variance, *others, best)
    for row, column in np.ndindex(9, 12):
        a, b = of_a[row, column], of_b[row, column]
        x, y = map_a[row, column] * (a > 0.1), map_b[row, column] * (b > 0.1)
        assert masked[:, row, column].tolist() == [x, y, x if a > b else y]
        if 2 <= row < 7 and 2 <= column < 10:
            here = row - 2, column - 2
            features = (a > 0.1, b > 0.1, max(a, b) > 0.1)
            values = [
                (others[3 + k][here] + 1e-4) / (np.sqrt(abs(others[k][here] * variance[here])) + 1e-4) * features[k]
                for k in range(3)
            ]
            assert best[here] == max(values)
