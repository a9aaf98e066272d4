"""Q_P: properties here, its value on real images in test_golden.py (six published ones, to 1e-7)."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics._images import Image
from fusionbench.metrics.qp import _filters, _maps, qp
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


def test_phase_congruency_is_blind_to_brightness_and_marks_a_step() -> None:
    step = np.full((48, 48), 60.0)
    step[:, 24:] = 180
    congruency, largest, smallest = _maps(Image(step), "centred")
    assert ((congruency >= 0) & (congruency <= 1)).all() and (largest >= smallest).all()
    # the image is continued periodically, so its left border is a step as well
    assert set(np.argsort(congruency[20])[-4:]) <= {0, 23, 24, 47}
    brighter = _maps(Image(step + 30), "centred")[0]
    assert brighter == pytest.approx(congruency, abs=1e-9)


def test_low_pass_placement_matters_at_odd_sides_only() -> None:
    even, odd = (48, 54), (49, 55)
    assert np.array_equal(_filters(*even, 0, "centred")[0], _filters(*even, 0, "off by one")[0])
    assert not np.array_equal(_filters(*odd, 0, "centred")[0], _filters(*odd, 0, "off by one")[0])
