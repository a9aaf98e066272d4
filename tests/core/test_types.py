"""Batches, shapes and the records of models and metrics: values by hand, and that nothing shared is changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from fusionbench.core import interfaces, types
from fusionbench.core.types import Batch, ImageSpec, LossTerms, Metric, Preset, Tolerance


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (ImageSpec(1, 32, 32, 3, (28, 28)), 28 * 28),
        (ImageSpec(1, 32, 32, 3), 32 * 32),
        (ImageSpec(3, 64, 48, 3), 3 * 64 * 48),
        (ImageSpec(3, 64, 48, 3, (60, 1)), 3 * 60),
    ],
)
def test_a_likelihood_sums_over_the_crop_of_all_channels(spec: ImageSpec, values: int) -> None:
    """Counted in an image whose centre is marked."""
    image = np.zeros((spec.channels, spec.height, spec.width), bool)
    height, width = spec.crop or (spec.height, spec.width)
    top, left = (spec.height - height) // 2, (spec.width - width) // 2
    image[:, top : top + height, left : left + width] = True
    assert spec.likelihood_dims == image.sum() == values


def batch(target: bool = True) -> Batch:
    views = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 1, 2, 2) / 24
    present = torch.tensor([[True, False, True], [True, True, True]])
    return Batch(views[:, 0].clone() if target else None, views, present, torch.tensor([7, 3]))


@pytest.mark.parametrize(
    ("count", "row"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (5, [1, 1, 1])]
)
def test_with_inputs_is_the_same_samples_with_the_first_views(count: int, row: list[int]) -> None:
    whole = batch()
    before = whole.present.clone()
    part = whole.with_inputs(count)
    assert part.present.dtype == torch.bool and part.present.int().tolist() == [row, row]
    assert part.views is whole.views and part.target is whole.target and part.ids is whole.ids
    assert torch.equal(whole.present, before), "the batch that was given is left alone"


@pytest.mark.parametrize("target", [True, False])
def test_to_moves_every_tensor(target: bool) -> None:
    there = batch(target).to("meta")
    tensors = [there.views, there.present, there.ids, *([there.target] if target else [])]
    assert all(tensor is not None and tensor.device.type == "meta" for tensor in tensors)
    assert (there.target is None) != target and len(there) == 2
    here = batch(target).to(torch.device("cpu"))
    assert torch.equal(here.views, batch(target).views) and torch.equal(here.ids, batch(target).ids)


def test_the_length_is_the_number_of_samples() -> None:
    assert len(batch()) == 2
    empty = Batch(None, torch.zeros(0, 2, 1, 4, 4), torch.ones(0, 2, dtype=torch.bool), torch.arange(0))
    assert len(empty) == 0 and empty.with_inputs(1).present.shape == (0, 2)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (ImageSpec(1, 4, 4, 2), "views"),
        (batch(), "target"),
        (Tolerance(0.1, 0.0, "why"), "atol"),
        (Preset(), "note"),
        (LossTerms(torch.zeros(())), "total"),
    ],
)
def test_records_cannot_be_changed(record: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)


def test_records_do_not_share_what_they_hold() -> None:
    assert Preset().model is not Preset().model and Preset().training == {} == Preset().model
    assert LossTerms(torch.zeros(())).log is not LossTerms(torch.zeros(())).log


def test_a_metric_has_what_every_other_one_has_by_default() -> None:
    """Only what a definition cannot do without is asked for; it is compared by value."""
    tolerance = Tolerance(0.0, 1e-9, "exact")
    given = {
        "name": "m", "version": "1", "title": "M", "function": len, "needs": "fused", "better": "higher",
        "unit": "", "range": (0.0, 1.0), "tolerance": tolerance, "reference": "nobody",
    }  # fmt: skip
    metric = Metric(**given)  # type: ignore[arg-type]
    assert (metric.dialect, metric.min_side, metric.min_pixels) == ("standard/1", 1, 1)
    assert not metric.differentiable and metric.gradient == "" and metric([1, 2]) == 2, "called like its function"
    assert metric.choices == metric.invariances == metric.undefined == () and metric.exploits == metric.label == ""
    assert metric == Metric(**given) != Metric(**{**given, "version": "2"})  # type: ignore[arg-type]
    for name in given:
        with pytest.raises(TypeError, match=name):
            Metric(**{key: value for key, value in given.items() if key != name})  # type: ignore[arg-type]


def test_the_interfaces_can_be_imported_from_here() -> None:
    for name in ("DatasetLike", "Model", "Source", "StreamLike"):
        assert getattr(types, name) is getattr(interfaces, name) and name in types.__all__
    assert all(hasattr(types, name) for name in types.__all__)


def test_a_batch_never_keeps_the_count_of_other_views() -> None:
    views = torch.zeros(4, 3, 1, 2, 2)
    batch = Batch(None, views, torch.ones(4, 3, dtype=torch.bool), torch.arange(4))
    assert batch.present_count is None, "nobody has counted"
    counted = batch.with_present(batch.present, 12)
    assert counted.present_count == 12 and counted.to("meta").present_count == 12 and batch.present_count is None
    assert replace(counted, present=torch.zeros(4, 3, dtype=torch.bool)).present_count is None
    for inputs in (0, 1, 2, 3, 5):
        given = batch.with_inputs(inputs)
        assert given.present_count == int(given.present.sum()) == 4 * min(inputs, 3)
