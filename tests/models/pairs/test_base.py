"""What holds for every pair model. Equality is exact unless a test says otherwise."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import MODELS
from fusionbench.models.pairs.base import PairModel, TwoPhaseModel
from fusionbench.training.loop import train
from tests.helpers.pairs import SMALLEST, SPEC, PairDataset, last_group, pair_batch, smallest

every_model = pytest.mark.parametrize("model", SMALLEST, ids=lambda model: model.title)
two_phases = pytest.mark.parametrize(
    "model", [model for model in SMALLEST if issubclass(model, TwoPhaseModel)], ids=lambda model: model.title
)


def in_both_phases(model: type[PairModel]) -> PairModel:
    """A model whose steps 0 and 1 are of two phases, where it has two."""
    return smallest(model, **({"phase_steps": 1} if issubclass(model, TwoPhaseModel) else {}))


@every_model
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 40), (32, 32)])
def test_fuses_any_size(model: type[PairModel], size: tuple[int, int]) -> None:
    fused = smallest(model).fuse(pair_batch(2, *size))
    assert fused.shape == (2, 1, *size) and fused.dtype == torch.float32 and not fused.requires_grad
    assert float(fused.min()) >= 0 and float(fused.max()) <= 1


@every_model
def test_an_image_does_not_depend_on_its_batch_or_on_the_mode(model: type[PairModel]) -> None:
    built, batch = smallest(model), pair_batch(5, 20, 28)
    built.loss(batch, last_group(built), 0)  # moves the running statistics away from their start
    together = built.fuse(batch)
    assert built.training
    built.eval()
    for index in (0, 3):
        alone = replace(batch, views=batch.views[[index]], present=batch.present[[index]], ids=batch.ids[[index]])
        assert torch.equal(built.fuse(alone), together[[index]])
    assert torch.equal(built.fuse(batch), together) and not built.training


@every_model
def test_fuse_leaves_no_trace_and_restores_a_mixed_mode(model: type[PairModel]) -> None:
    built = smallest(model)
    frozen_part = next(built.children()).eval()
    before = {name: value.clone() for name, value in built.state_dict().items()}
    built.fuse(pair_batch())
    assert built.training and not frozen_part.training
    assert all(torch.equal(value, before[name]) for name, value in built.state_dict().items())


@every_model
def test_both_views_count(model: type[PairModel]) -> None:
    built, batch = smallest(model), pair_batch(1)
    for view in (0, 1):
        changed = batch.views.clone()
        changed[:, view] = 1 - changed[:, view]
        assert not torch.allclose(built.fuse(batch), built.fuse(replace(batch, views=changed)))


@every_model
def test_parameter_groups_hold_every_parameter_once(model: type[PairModel]) -> None:
    built = smallest(model)
    groups = built.parameter_groups()
    assert list(groups) in (["main"], ["critic", "generator"])  # discriminators learn first
    ids = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(ids) == sorted(map(id, built.parameters())) and len(set(ids)) == len(ids)


@every_model
@pytest.mark.parametrize("step", [0, 1])
def test_a_group_only_pulls_at_its_own_parameters(model: type[PairModel], step: int) -> None:
    built = in_both_phases(model)
    groups = built.parameter_groups()
    for name in groups:
        built.zero_grad()
        built.loss(pair_batch(), name, step).total.backward()
        assert any(parameter.grad is not None for parameter in groups[name])
        assert all(p.grad is None for other in groups.keys() - {name} for p in groups[other])
        assert all(parameter.requires_grad for parameter in built.parameters())


@two_phases
def test_phases_follow_the_plan_or_the_given_steps(model: type[PairModel]) -> None:
    built = smallest(model, phase_share=0.25)
    assert [built.phase(step) for step in (0, 1000)] == [1, 1]  # nothing planned yet
    built.plan(40, seed=3)
    assert [built.phase(step) for step in (0, 9, 10, 39)] == [1, 1, 2, 2]
    built = smallest(model, phase_steps=0)
    built.plan(40, seed=3)
    assert built.phase(0) == 2


@every_model
def test_weights_survive_a_file(model: type[PairModel], tmp_path: Path) -> None:
    built, batch = smallest(model), pair_batch()
    built.loss(batch, last_group(built), 0)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.fill_(0.01)  # some begin with a last layer of zeros
    save_file(built.state_dict(), tmp_path / "weights.safetensors")
    other = smallest(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not torch.equal(other.fuse(batch), built.fuse(batch))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other.fuse(batch), built.fuse(batch))


@every_model
def test_loss_is_finite_on_flat_and_tiny_images(model: type[PairModel]) -> None:
    built = in_both_phases(model)
    flat = replace(pair_batch(), views=torch.zeros(2, 2, 1, 16, 16))
    for batch in (flat, pair_batch(2, 3, 3)):
        for step in (0, 1):
            for group in built.parameter_groups():
                built.zero_grad()
                terms = built.loss(batch, group, step)
                terms.total.backward()
                assert terms.total.ndim == 0 and torch.isfinite(terms.total)
                for name, parameter in built.named_parameters():
                    assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@every_model
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ImageSpec(1, 32, 32, 3), "3 view"),
        (ImageSpec(1, 32, 32, 1), "1 view"),
        (ImageSpec(3, 32, 32, 2), "3 channels"),
    ],
)
def test_refuses_other_data(model: type[PairModel], spec: ImageSpec, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        model(spec, **SMALLEST[model])  # type: ignore[arg-type]


@two_phases
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"phase_share": 1.5}, "phase_share=1.5 is not between 0 and 1"),
        ({"phase_steps": -1}, "phase_steps=-1 is negative"),
    ],
)
def test_refuses_wrong_parameters(model: type[PairModel], parameters: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(model, **parameters)


@pytest.mark.parametrize(
    "model",
    [model for model in SMALLEST if "critic_norm" in model.Config.__struct_fields__],
    ids=lambda model: model.title,
)
def test_refuses_an_unknown_normalisation_of_discriminators(model: type[PairModel]) -> None:
    with pytest.raises(UsageError, match=r"Unknown critic_norm of .* 'layer'"):
        smallest(model, critic_norm="layer")


@every_model
def test_refuses_incomplete_pairs_and_unknown_groups(model: type[PairModel]) -> None:
    built, batch = smallest(model), pair_batch(3)
    present = batch.present.clone()
    present[1, 0] = False
    for call in (built.fuse, lambda incomplete: built.loss(incomplete, last_group(built), 0)):
        with pytest.raises(UsageError, match="sample 1 lacks one"):
            call(replace(batch, present=present))
        with pytest.raises(UsageError, match=r"not 2 view\(s\) of 3 channel"):
            call(replace(batch, views=batch.views.expand(-1, -1, 3, -1, -1)))
    with pytest.raises(UsageError, match=r"Unknown parameter group .* 'other'"):
        built.loss(batch, "other", 0)


@every_model
def test_memory_format_changes_rounding_at_most(model: type[PairModel]) -> None:
    plain, batch = in_both_phases(model), pair_batch()
    last = in_both_phases(model).to(memory_format=torch.channels_last)
    for step in (0, 1):
        for group in plain.parameter_groups():
            one, other = plain.loss(batch, group, step).total, last.loss(batch, group, step).total
            torch.testing.assert_close(one.detach(), other.detach(), atol=1e-4, rtol=1e-4)
            other.backward()
    torch.testing.assert_close(plain.fuse(batch), last.fuse(batch), atol=1e-4, rtol=0)


@every_model
def test_bfloat16_autocast_gives_finite_losses_and_gradients(model: type[PairModel]) -> None:
    built = in_both_phases(model)
    for step in (0, 1):
        for group in built.parameter_groups():
            built.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = built.loss(pair_batch(), group, step).total
            loss.backward()
            assert loss.dtype == torch.float32 and torch.isfinite(loss)
            assert all(p.grad is None or torch.isfinite(p.grad).all() for p in built.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = built.fuse(pair_batch())
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused, built.fuse(pair_batch()), atol=0.05, rtol=0)


@every_model
def test_presets_build(model: type[PairModel]) -> None:
    for preset in model.PRESETS.values():
        assert isinstance(model(SPEC, **preset.model), PairModel)


@pytest.mark.parametrize("name", ["dae-fuse", "mfeif"])
def test_a_run_killed_between_its_phases_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    params = SMALLEST[MODELS.get(name)] | {"phase_share": 0.5}
    asked = {"device": "cpu", "params": params, "training": {"batch": 4, "epochs": 4.0}}
    whole = train(name, PairDataset(), out=tmp_path / "whole", **asked)

    def stop(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(name, PairDataset(), out=tmp_path / "halves", on_step=stop, **asked)
    halves = train(name, PairDataset(), out=tmp_path / "halves", **asked)
    assert whole.info.steps == halves.info.steps == 8
    expected = load_file(tmp_path / "whole" / "weights.safetensors")
    for key, value in load_file(tmp_path / "halves" / "weights.safetensors").items():
        assert torch.equal(value, expected[key]), key
    batch = pair_batch()
    assert torch.equal(whole.load_model(SPEC).fuse(batch), halves.load_model(SPEC).fuse(batch))


@every_model
def test_degraded_pairs_are_compared_with_the_clean_ones_where_the_loss_is_of_a_fused_image(
    model: type[PairModel],
) -> None:
    batch, clean = pair_batch(2, 32, 32), pair_batch(2, 32, 32).views.flip(0)
    group = last_group(smallest(model))

    def loss(batch: Batch) -> torch.Tensor:
        torch.manual_seed(0)
        return smallest(model).loss(batch, group, 0).total

    plain = loss(batch)
    assert torch.equal(loss(replace(batch, clean=batch.views)), plain)
    degraded = loss(replace(batch, clean=clean))
    assert torch.equal(degraded, plain) != smallest(model).compares_with_the_truth
    if model.fusion_loss is not PairModel.fusion_loss:
        torch.manual_seed(0)
        built = smallest(model)
        fused = built.combine(batch.views[:, 0], batch.views[:, 1])
        assert torch.equal(degraded, built.fusion_loss(fused, clean[:, 0], clean[:, 1]).total)


def test_the_models_that_learn_from_clean_pairs_are_those_of_the_documentation() -> None:
    named = {model.title for model in SMALLEST if smallest(model).compares_with_the_truth}
    assert named == {"SeAFusion", "SwinFusion", "DATFuse", "U2Fusion", "gradient-domain network"}
