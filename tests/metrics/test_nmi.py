"""NMI against scikit-learn and SciPy, to 1e-11."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from fusionbench.metrics.nmi import nmi
from tests.metrics.scenes import stacks


def test_against_scikit_learn() -> None:
    triples = stacks()
    for value, f, a, b in zip(nmi(*triples), *triples, strict=True):
        expected = sum(normalized_mutual_info_score(f.ravel(), x.ravel()) for x in (a, b))
        assert value == pytest.approx(expected, rel=1e-11)


def test_divided_by_the_sources() -> None:
    triples = stacks()
    for value, f, a, b in zip(nmi(*triples, by="sources"), *triples, strict=True):
        both = sum(mutual_info_score(f.ravel(), x.ravel()) for x in (a, b))
        assert value == pytest.approx(2 * both / sum(entropy(np.bincount(x.ravel())) for x in (a, b)), rel=1e-11)


def test_extremes() -> None:
    fused, a, _ = stacks(1)
    assert nmi(fused, fused, fused)[0] == pytest.approx(2, rel=1e-14)
    flat = np.full_like(fused, 3)
    assert nmi(flat, fused, a)[0] == 0
    assert np.isnan(nmi(flat, flat, a)[0])


def test_two_flat_images_have_no_value_at_any_size() -> None:
    """log n - n log n / n is not 0 in floating point at some sizes: its quotient with itself was taken for a value."""
    a = stacks(1)[1]
    for height in range(1, 60, 7):
        for width in range(1, 60, 5):
            flat = np.full((1, height, width), 77, np.uint8)
            assert np.isnan(nmi(flat, flat + 8, flat)[0]), (height, width)
    flat = np.full_like(a, 5)
    assert nmi(flat, a, a)[0] == pytest.approx(0, abs=1e-15)
