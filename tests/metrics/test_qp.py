"""Q_P: properties here, its value on real images in test_golden.py (six published ones, to 1e-7)."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import _phase_congruency as congruency_of
from fusionbench.metrics import qp as module
from fusionbench.metrics.qp import qp
from tests.metrics.scenes import stacks


def test_equal_images_are_nearly_perfect() -> None:
    a = stacks(1)[1]
    assert 0.9 < qp(a, a, a)[0] <= 1 + 1e-12


def test_noise_keeps_fewer_features_than_a_copy() -> None:
    fused, a, b = stacks(1)
    noise = np.random.default_rng(0).integers(0, 256, a.shape, dtype=np.uint8)
    assert qp(noise, a, b)[0] < qp(fused, a, b)[0] < qp(a, a, a)[0]


def test_a_constant_image_beats_every_fusion() -> None:
    """The measure's known exploit, which the metric's card tells: 0/0 of the local correlations is taken for 1."""
    fused, a, b = stacks(1)
    assert qp(np.full_like(a, 128), a, b)[0] > 0.99 > max(qp(image, a, b)[0] for image in (fused, a, b))


def test_flat_sources_have_no_feature() -> None:
    fused, *_ = stacks(1)
    flat = np.full_like(fused, 60)
    assert np.isnan(qp(fused, flat, flat)[0])


def test_a_pair_keeps_what_its_sources_need_and_gives_the_same_bits() -> None:
    from fusionbench.metrics.engine import SourcePair

    fused, a, b = stacks(1, (40, 45))
    pair = SourcePair(a, b, ["qp"])
    for image in (fused, a, np.full_like(fused, 9)):
        assert pair.score(image)["qp"].tolist() == qp(image, a, b).tolist()


def test_bands_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    fused, a, b = stacks(1, (60, 45))
    whole = qp(fused, a, b)[0]
    monkeypatch.setattr(module, "BAND_PIXELS", 45 * 7)
    monkeypatch.setattr(congruency_of, "PIECE", 45 * 11)
    assert qp(fused, a, b)[0] == pytest.approx(whole, rel=1e-13)
