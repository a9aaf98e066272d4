"""Fixed rules on stacks of three views or more: the same as on pairs where a view adds nothing, and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fusionbench import create_model
from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import MODELS
from fusionbench.models.classical.pyramids import STACKS, PairRow

ROWS = {name: cls for name in MODELS.names() if issubclass(cls := MODELS.get(name), PairRow)}
MANY = [name for name, cls in ROWS.items() if cls.takes_stacks()]
STACK = torch.rand(2, 4, 1, 21, 26, generator=torch.Generator().manual_seed(1))


def fused(name: str, views: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
    count = views.shape[1]
    model: Any = create_model(name, ImageSpec(1, *views.shape[-2:], count))
    there = torch.ones(len(views), count).bool() if present is None else present
    result: torch.Tensor = model.fuse(Batch(None, views, there, torch.arange(len(views))))
    return result


def test_those_that_take_stacks_are_these() -> None:
    assert set(STACKS) <= {*MANY}
    assert {*ROWS} - {*MANY} == {"cbf", "gradient-domain", "gtf", "jsr-sd"}
    for name in {*ROWS} - {*MANY}:
        with pytest.raises(UsageError, match=r"fuses two grey views.* has 3 view\(s\).*`exposure-fusion` do"):
            create_model(name, ImageSpec(1, 16, 16, 3))


@pytest.mark.parametrize("name", MANY)
def test_an_absent_view_counts_for_nothing(name: str) -> None:
    present = torch.tensor([[True, True, False, False], [False, True, True, True]])
    mixed = fused(name, STACK, present)
    assert torch.equal(mixed[0], fused(name, STACK[:1, :2])[0])
    assert torch.allclose(mixed[1], fused(name, STACK[1:, 1:])[0], atol=1e-6)
    alone = fused(name, STACK, torch.tensor([[False, False, True, False], [False] * 4]))
    assert torch.equal(alone[0], STACK[0, 2]) and (alone[1] == 0.5).all()


# copies are of a place, and the wavelet's votes can be equal
@pytest.mark.parametrize("name", [name for name in MANY if name not in ("copy-a", "copy-b", "wavelet")])
def test_the_order_of_the_views_does_not_matter(name: str) -> None:
    assert torch.allclose(fused(name, STACK[:, [3, 1, 0, 2]]), fused(name, STACK), atol=1e-6)


@pytest.mark.parametrize("name", ["laplacian-pyramid", "contrast-pyramid", "wavelet", "guided-filter"])
def test_what_only_one_view_shows_is_kept(name: str) -> None:
    """A point that one of five views has: the average keeps a fifth of it, the rules most of it."""
    views = torch.full((1, 5, 1, 32, 32), 0.5)
    views[0, 3, 0, 16, 16] = 0.9
    assert 0.75 < float(fused(name, views)[0, 0, 16, 16]) <= 0.92


def test_the_mean_and_the_sharpest_by_hand() -> None:
    assert torch.allclose(fused("average", STACK), STACK.mean(1), atol=1e-6)
    flat = STACK.clone()
    flat[:, [0, 1, 3]] = flat[:, [0, 1, 3]].mean((-2, -1), keepdim=True)
    assert torch.equal(fused("better-copy", flat), flat[:, 2])
    assert torch.equal(fused("copy-b", STACK), STACK[:, 1])


def test_the_guided_filter_of_two_is_that_of_two_and_a_view_that_never_wins() -> None:
    """A third view without any detail is salient nowhere, so that its weights are 0 up to rounding."""
    pair = STACK[:1, :2].double()
    model: Any = create_model("guided-filter", ImageSpec(1, 21, 26, 3))
    two = model.combine(pair[:, 0], pair[:, 1])
    three = model.combine_all([pair[:, 0], pair[:, 1], torch.full_like(pair[:, 0], 0.5)])
    assert torch.allclose(two, three, atol=1e-12)


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_pictures(name: str, size: tuple[int, int]) -> None:
    image = fused(name, torch.rand(1, 3, 1, *size))
    assert tuple(image.shape) == (1, 1, *size) and torch.isfinite(image).all()
