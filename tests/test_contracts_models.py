"""What every registered model must do; a new model is under these tests the moment it is registered."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusionbench.contracts import Batch, ImageSpec
from fusionbench.errors import UsageError
from fusionbench.models import MODELS, create_model
from tests.learning import SPEC, batch_of

PAIRS = ImageSpec(1, 32, 32, 2)
MODEL_NAMES = MODELS.names()
# float32 sums in another order: libraries choose their loops by the size of the batch
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}


def make(name: str) -> tuple[Any, Batch]:
    """A small model of its kind and a batch that it takes."""
    presets = MODELS.get(name).PRESETS
    preset = "tiny" if "tiny" in presets else next(iter(presets))
    torch.manual_seed(0)
    try:
        model, batch = create_model(name, SPEC, preset), batch_of(4)
    except UsageError:
        model, batch = create_model(name, PAIRS, preset), replace(batch_of(4, PAIRS), target=None)
    if hasattr(model, "fit"):
        model.fit([batch])
    return model, batch


@lru_cache
def made(name: str) -> tuple[Any, Batch]:
    model, batch = make(name)
    return model.eval(), batch


def with_ability(*abilities: str) -> list[str]:
    return [name for name in MODEL_NAMES if all(hasattr(MODELS.get(name), ability) for ability in abilities)]


def answers(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """Everything that a model says about a batch, samples first."""
    found = {}
    with torch.no_grad():
        if hasattr(model, "fuse"):
            found["fuse"] = model.fuse(batch)
        if hasattr(model, "sample"):
            found["sample"] = model.sample(batch, 3, seed=5).transpose(0, 1)
        if hasattr(model, "log_weights"):
            found["log_weights"] = model.log_weights(batch, 3, seed=5).transpose(0, 1)
    return found


def part(batch: Batch, rows: list[int]) -> Batch:
    target = None if batch.target is None else batch.target[rows]
    return Batch(target, batch.views[rows], batch.present[rows], batch.ids[rows])


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_says_what_it_is(name: str) -> None:
    cls = MODELS.get(name)
    assert cls.title and cls.reference and cls.version and cls.PRESETS
    for preset in cls.PRESETS.values():
        assert preset.note


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_shapes_ranges_and_types(name: str) -> None:
    model, batch = made(name)
    size = batch.views.shape[2:]
    found = answers(model, batch)
    assert found
    if "fuse" in found:
        assert found["fuse"].shape == (4, *size)
    if "sample" in found:
        assert found["sample"].shape == (4, 3, *size)
    for key in found.keys() & {"fuse", "sample"}:
        assert found[key].dtype == torch.float32 and found[key].min() >= 0 and found[key].max() <= 1
    if "log_weights" in found:
        assert found["log_weights"].shape == (4, 3) and found["log_weights"].dtype == torch.float64


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_the_same_question_has_the_same_answer(name: str) -> None:
    model, batch = made(name)
    torch.manual_seed(1)
    first = answers(model, batch)
    torch.manual_seed(2)
    for key, value in answers(model, batch).items():
        assert torch.equal(value, first[key]), key


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_batch_and_order_do_not_matter(name: str) -> None:
    model, batch = made(name)
    whole = answers(model, batch)
    for rows in ([2], [3, 1], [1, 0, 3, 2]):
        for key, value in answers(model, part(batch, rows)).items():
            torch.testing.assert_close(value, whole[key][rows], **TOLERANCE, msg=f"{key} {rows}")


@pytest.mark.parametrize("name", with_ability("sample"))
def test_draws_do_not_depend_on_their_number_and_differ(name: str) -> None:
    model, batch = made(name)
    three = model.sample(batch, 3, seed=5)
    torch.testing.assert_close(model.sample(batch, 1, seed=5), three[:1], **TOLERANCE)
    assert not torch.equal(three[0], three[1])
    assert not torch.equal(model.sample(batch, 1, seed=6), three[:1])


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if make(name)[1].target is not None])
def test_absent_views_do_not_matter(name: str) -> None:
    model, batch = made(name)
    for inputs in range(batch.views.shape[1]):
        given = batch.with_inputs(inputs)
        views = given.views.clone()
        views[:, inputs:] = torch.rand_like(views[:, inputs:])
        expected = answers(model, given)
        for key, value in answers(model, replace(given, views=views)).items():
            assert torch.equal(value, expected[key]), (key, inputs)
        if hasattr(model, "loss"):
            model.train()
            before = {k: v.clone() for k, v in model.state_dict().items()}
            clean = model.loss(given, next(iter(model.parameter_groups())), 1).total
            model.load_state_dict(before)
            dirty = model.loss(replace(given, views=views), next(iter(model.parameter_groups())), 1).total
            model.load_state_dict(before)
            model.eval()
            assert torch.equal(clean, dirty), inputs


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if make(name)[1].target is not None])
def test_rows_with_different_numbers_of_views_can_share_a_batch(name: str) -> None:
    model, batch = made(name)
    counts = [0, 3, 1, 2]
    present = torch.arange(3) < torch.tensor(counts)[:, None]
    mixed = answers(model, replace(batch, present=present))
    for row, inputs in enumerate(counts):
        for key, value in answers(model, part(batch.with_inputs(inputs), [row])).items():
            torch.testing.assert_close(value[0], mixed[key][row], **TOLERANCE, msg=f"{key} {row}")


@pytest.mark.parametrize("name", with_ability("loss"))
def test_every_parameter_learns(name: str) -> None:
    model, batch = make(name)
    if hasattr(model, "plan"):
        model.plan(8, 0)
    present = batch.present.clone()
    if batch.target is not None:
        present = torch.arange(3) < torch.tensor([0, 3, 1, 2])[:, None]
    model.train()
    reached: set[int] = set()
    groups = model.parameter_groups()
    assert sorted(id(p) for group in groups.values() for p in group) == sorted(id(p) for p in model.parameters())
    for step in (0, 7):
        for group, parameters in groups.items():
            model.zero_grad(set_to_none=True)
            terms = model.loss(replace(batch, present=present), group, step)
            assert terms.total.ndim == 0 and torch.isfinite(terms.total)
            terms.total.backward()
            reached |= {id(p) for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()}
    lost = [key for key, p in model.named_parameters() if id(p) not in reached]
    assert not lost, lost


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_weights_survive_a_file(name: str, tmp_path: Any) -> None:
    model, batch = made(name)
    state = {key: value.clone().contiguous() for key, value in model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    torch.manual_seed(9)
    other, _ = make(name)
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    other.eval()
    for key, value in answers(other, batch).items():
        assert torch.equal(value, answers(model, batch)[key]), key
