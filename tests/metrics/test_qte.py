"""Q_TE against plain loops over pairs of grey levels."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.metrics.qte import ORDER, qte
from tests.metrics.scenes import scene, stacks


def information(x: np.ndarray, y: np.ndarray, exchanged: bool = False, q: float = ORDER) -> float:
    n = x.size
    pairs = Counter(zip(x.ravel().tolist(), y.ravel().tolist(), strict=True))
    first, second = Counter(x.ravel().tolist()), Counter(y.ravel().tolist())
    if exchanged:
        first, second = second, first
    cells = [(c / n, first[i] / n * second[j] / n) for (i, j), c in pairs.items()]
    total = sum(p**q * product ** (1 - q) for p, product in cells if product)
    return (1 - total) / (1 - q)


def shares(x: np.ndarray) -> list[float]:
    return [count / x.size for count in Counter(x.ravel().tolist()).values()]


def test_against_a_plain_loop() -> None:
    for value, f, a, b in zip(qte(*stacks(2)), *stacks(2), strict=True):
        own = sum((sum(p**ORDER for p in shares(x)) - 1) / (1 - ORDER) for x in (a, b))
        expected = (information(a, f) + information(b, f)) / (own - information(a, b))
        assert value == pytest.approx(expected, rel=1e-11)


def test_the_published_code_exchanges_marginals() -> None:
    images = [image // 2 + 30 for image in scene(2)]
    value = qte(*(image[None] for image in images), form="liu-2012")[0]
    f, a, b = (np.floor((x - x.min()) / float(np.ptp(x)) * 255 + 0.5).astype(int) for x in images)
    powers = sum((-sum(p * math.log2(p) for p in shares(x))) ** ORDER for x in (a, b))
    expected = (information(a, f, True) + information(b, f, True)) / (powers + information(a, b, True))
    assert value == pytest.approx(expected, rel=1e-11)


def test_mefb_takes_another_order_and_no_denominator() -> None:
    """Above an order of 1, exchanged marginals of 0 would be divided by."""
    images = [image // 2 + 30 for image in scene(2)]
    value = get_metric("qte", "mefb").function(*(image[None] for image in images))[0]
    f, a, b = (np.floor((x - x.min()) / float(np.ptp(x)) * 255 + 0.5).astype(int) for x in images)
    assert value == pytest.approx(information(a, f, True, 1.85) + information(b, f, True, 1.85), rel=1e-11)


@pytest.mark.parametrize("form", ["tsallis", "liu-2012"])
def test_flat_images(form: str) -> None:
    fused, a, b = stacks(1)
    flat = np.full_like(a, 77)
    assert not math.isfinite(qte(fused, flat, flat + 8, form=form)[0])
    assert math.isfinite(qte(flat, a, b, form=form)[0]) and math.isfinite(qte(fused, a, flat, form=form)[0])
    assert qte(flat, a, b)[0] == 0


def test_a_copy_has_more_than_a_fusion() -> None:
    fused, a, b = stacks(1)
    assert qte(a, a, b)[0] > qte(fused, a, b)[0] > 0
    assert qte(255 - fused, a, b)[0] == pytest.approx(qte(fused, a, b)[0], rel=1e-12)
