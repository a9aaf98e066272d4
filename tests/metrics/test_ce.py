"""CE against a plain loop over the levels, and SciPy's entropy where every level occurs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy

from fusionbench.metrics import get_metric
from fusionbench.metrics.ce import ce
from tests.metrics.scenes import stacks


def one_way(source: np.ndarray, fused: np.ndarray) -> float:
    p, q = (np.bincount(image.ravel(), minlength=256) / image.size for image in (source, fused))
    return sum(x * math.log2(x / y) for x, y in zip(p, q, strict=True) if x and y)


def test_against_a_plain_loop() -> None:
    fused, a, b = stacks(2)
    for value, f, x, y in zip(ce(fused, a, b), fused, a, b, strict=True):
        assert value == pytest.approx((one_way(x, f) + one_way(y, f)) / 2, rel=1e-12)


def test_it_is_the_divergence_of_all_levels_where_all_occur() -> None:
    rng = np.random.default_rng(1)
    fused, a, b = (rng.binomial(4, 0.2 + 0.2 * place, (1, 40, 40)).astype(np.uint8) for place in range(3))
    p, p_a, p_b = (np.bincount(image.ravel(), minlength=5) for image in (fused, a, b))
    assert p.all() and p_a.all() and p_b.all()
    assert ce(fused, a, b)[0] == pytest.approx((entropy(p_a, p, base=2) + entropy(p_b, p, base=2)) / 2, rel=1e-12)


def test_a_constant_image_can_be_below_a_copy() -> None:
    """What the record says of its range: the least of p log2 p is at p = 1/e."""
    a = np.zeros((1, 50, 50), np.uint8)
    a.flat[:1580] = 7 + np.arange(1580) % 200  # 920 of 2,500 pixels stay 0: 36.8 %
    value = ce(np.zeros_like(a), a, a)[0]
    low = get_metric("ce").range[0]
    assert ce(a, a, a)[0] == 0
    assert value == pytest.approx(0.368 * math.log2(0.368), rel=1e-12) and 0 <= value - low < 1e-3
    assert ce(np.full_like(a, 250), a, a)[0] == 0, "no level in common"
