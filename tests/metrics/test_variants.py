"""What dialects are made of: identities with versions, and shared variants that do what their notes say."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.metrics._variants import INNER, MERGED, NATS, UNIT_MSE, WRONG_PEAK, Dialect, Variant
from tests.metrics.scenes import stacks


def test_an_identity_has_the_version() -> None:
    made = Dialect("mine", "Mine", "nobody", {"mi": NATS}, "exact")
    assert made.id == "mine/1" and made.grey == "bt601"
    assert dataclasses.replace(made, version="3").id == "mine/3"


def test_a_variant_changes_nothing_by_itself() -> None:
    plain = Variant()
    assert not plain.parameters and plain.swap == (0, 1, 2) and plain.differentiable
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.note = "other"  # type: ignore[misc]


def test_shared_variants_have_the_effect_of_their_notes() -> None:
    images = stacks(1)
    mi, psnr, mse, ag = (get_metric(name).function for name in ("mi", "psnr", "mse", "ag"))
    assert mi(*images, **NATS.parameters) == pytest.approx(mi(*images) * math.log(2), rel=1e-12)
    assert psnr(*images, **WRONG_PEAK.parameters) == pytest.approx(psnr(*images) + 20 * math.log10(255), rel=1e-12)
    assert mse(*images, **UNIT_MSE.parameters) == pytest.approx(mse(*images) / 255**2, rel=1e-12)
    height, width = images[0].shape[1:]
    more = height * width / ((height - 1) * (width - 1))
    assert ag(images[0], **INNER.parameters) == pytest.approx(ag(images[0]) * more, rel=1e-12)
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert mi(levels, levels, levels, **MERGED.parameters) > mi(levels, levels, levels)
