"""MI against scikit-learn, to 1e-11."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from fusionbench.metrics.en import en
from fusionbench.metrics.mi import mi
from tests.metrics.scenes import stacks


def test_against_scikit_learn() -> None:
    triples = stacks()
    nats = mi(*triples, unit="nats")
    for value, f, a, b in zip(nats, *triples, strict=True):
        expected = mutual_info_score(f.ravel(), a.ravel()) + mutual_info_score(f.ravel(), b.ravel())
        assert value == pytest.approx(expected, rel=1e-11)
    assert mi(*triples) == pytest.approx(nats / math.log(2), rel=1e-15)


def test_information_of_an_image_with_itself_is_its_entropy() -> None:
    fused, *_ = stacks()
    assert mi(fused, fused, fused) == pytest.approx(2 * en(fused), rel=1e-13)
    flat = np.full_like(fused, 3)
    assert mi(flat, fused, fused).tolist() == [0, 0, 0]


def test_merged_top_levels() -> None:
    """Only the joint histogram merges 254 and 255, so the value can only rise."""
    f, a, b = (np.maximum(stack, 253 * (stack > 180)).astype(np.uint8) for stack in stacks(1))
    f[0, 0, :9], f[0, 0, 9:20] = 255, 254
    merged = [np.minimum(image, 254).ravel() for image in (f, a, b)]

    def entropy(*columns: np.ndarray) -> float:
        counts = np.unique(np.stack(columns), axis=1, return_counts=True)[1]
        return float(-(counts / counts.sum() * np.log2(counts / counts.sum())).sum())

    expected = sum(
        entropy(f.ravel()) + entropy(x.ravel()) - entropy(merged[0], m) for x, m in ((a, merged[1]), (b, merged[2]))
    )
    assert mi(f, a, b, top=254)[0] == pytest.approx(expected, rel=1e-12)
    assert mi(f, a, b, top=254)[0] > mi(f, a, b)[0]


def test_ignored_joint_is_twice_the_entropy() -> None:
    triples = stacks()
    assert mi(*triples, joint="ignored") == pytest.approx(2 * en(triples[0]), rel=1e-15)


def test_histograms_are_counted_exactly_past_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV counts in float32: large images are counted in bands."""
    from fusionbench.metrics import _histograms

    triples = stacks(1)
    expected = mi(*triples)
    monkeypatch.setattr(_histograms, "_EXACT", 500)
    assert mi(*triples).tolist() == expected.tolist()
