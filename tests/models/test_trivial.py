"""Trivial rows: what they give is written out by hand."""

from __future__ import annotations

import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import create_model

SPEC = ImageSpec(channels=1, height=1, width=2, views=3)
VIEWS = torch.tensor([[0.25, 0.5], [0.75, 0.125], [1.0, 1.0]]).view(1, 3, 1, 1, 2)


def batch(*present: bool, target: list[float] | None = None) -> Batch:
    given = None if target is None else torch.tensor(target).view(1, 1, 1, 2)
    return Batch(given, VIEWS, torch.tensor([present]), torch.arange(1))


@pytest.mark.parametrize(
    ("present", "first", "largest"),
    [
        ((True, True, False), [0.25, 0.5], [0.75, 0.5]),
        ((False, True, False), [0.75, 0.125], [0.75, 0.125]),
        ((False, True, True), [0.75, 0.125], [1.0, 1.0]),
        ((True, True, True), [0.25, 0.5], [1.0, 1.0]),
        ((False, False, False), [0.5, 0.25], [0.5, 0.25]),
    ],
)
def test_present_views_count_and_without_any_the_mean_does(
    present: tuple[bool, ...], first: list[float], largest: list[float]
) -> None:
    for name, expected in (("first-view", first), ("max-view", largest), ("mean-image", [0.5, 0.25])):
        model = create_model(name, SPEC)
        model.fit([batch(True, True, True, target=[0.25, 0.0]), batch(True, True, True, target=[0.75, 0.5])])
        assert model.fuse(batch(*present)).flatten().tolist() == expected, name


def test_a_mean_over_batches_of_other_sizes_is_over_images() -> None:
    model, targets = create_model("mean-image", SPEC), torch.tensor([0.0, 1.0, 0.5, 0.25]).view(4, 1, 1, 1)
    parts = [targets[:1].expand(1, 1, 1, 2), targets[1:].expand(3, 1, 1, 2)]
    model.fit(Batch(part, VIEWS.expand(len(part), 3, 1, 1, 2), torch.ones(len(part), 3).bool(), None) for part in parts)
    assert model.fuse(batch(True, True, True)).flatten().tolist() == [0.4375, 0.4375]


def test_the_mean_loses_nothing_over_many_images() -> None:
    """In float32 a sum of 2^24 ones stops growing; here 0.1 is added 20,000 times to a large start."""
    model = create_model("mean-image", SPEC)
    one = [batch(True, True, True, target=[float(1 << 24), 0.1])] + [batch(True, True, True, target=[1.0, 0.1])] * 999
    model.fit(one)
    assert model.mean.flatten().tolist() == pytest.approx([((1 << 24) + 999) / 1000, 0.1], rel=1e-7)


def test_no_targets_and_no_images_are_refused() -> None:
    for name in ("mean-image", "first-view", "max-view"):
        with pytest.raises(UsageError, match="has none"):
            create_model(name, SPEC).fit([batch(True, True, True)])
        with pytest.raises(UsageError, match="no training images"):
            create_model(name, SPEC).fit([])


def test_what_is_given_can_be_changed_without_a_change_of_the_model() -> None:
    model = create_model("mean-image", SPEC)
    model.fuse(batch(True, True, True)).zero_()
    assert model.fuse(batch(True, True, True)).flatten().tolist() == [0.5, 0.5]
    assert not list(model.parameters()) and model.family == "trivial"
