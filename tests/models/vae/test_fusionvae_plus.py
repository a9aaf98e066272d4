"""FusionVAE+: what is added starts at nothing, costs few parameters, and sees the views."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.vae.encoder import Packing
from fusionbench.models.vae.fusionvae_plus import SoftmaxPool
from tests.helpers.learning import SPEC, batch_of


@pytest.mark.parametrize(
    ("preset", "spec"),
    [
        ("fusionmnist", ImageSpec(1, 32, 32, 3, (28, 28))),
        ("fusionceleba", ImageSpec(3, 64, 64, 3)),
        ("fusiontless", ImageSpec(1, 64, 64, 3)),
    ],
)
def test_the_same_number_of_parameters_within_5_percent(preset: str, spec: ImageSpec) -> None:
    with torch.device("meta"):
        ours, theirs = (
            sum(p.numel() for p in create_model(name, spec, preset, regularise=0.0).parameters())
            for name in ("fusionvae-plus", "fusionvae")
        )
    assert abs(ours / theirs - 1) < 0.05, ours


def test_the_decoder_sees_the_views_only_after_it_has_learned_to() -> None:
    torch.manual_seed(0)
    model = create_model("fusionvae-plus", SPEC, "tiny").eval()
    batch = batch_of(2)
    z = {}
    prepared = model.prepare(model.encoder(batch, False))
    state = torch.randn(2, model.shape.top, 2, 2)
    assert torch.equal(model.enter(0, state, prepared), state)
    with torch.no_grad():
        model.enters[0].weight.normal_()
        model.enters[0].bias.normal_()
    prepared = model.prepare(model.encoder(batch, False))
    assert not torch.equal(model.enter(0, state, prepared), state)
    for inputs in (0, 3):
        given = model.prepare(model.encoder(batch.with_inputs(inputs), False))
        z[inputs] = model.enter(0, state, given)
    assert torch.equal(z[0], state)  # no views, nothing to add, not even a bias
    assert not torch.equal(z[3], state)


def test_without_views_nothing_of_the_context_reaches_the_output() -> None:
    torch.manual_seed(0)
    model = create_model("fusionvae-plus", SPEC, "tiny").eval()
    batch = batch_of(2)
    before = {inputs: model.fuse(batch.with_inputs(inputs)) for inputs in (0, 3)}
    with torch.no_grad():
        for part in (model.enters, model.pixels):
            for parameter in part.parameters():
                parameter.normal_()
    assert torch.equal(model.fuse(batch.with_inputs(0)), before[0])
    assert not torch.equal(model.fuse(batch.with_inputs(3)), before[3])


def test_the_views_of_a_share_of_the_samples_are_hidden_from_the_decoder_in_training_alone() -> None:
    torch.manual_seed(0)
    model, batch = create_model("fusionvae-plus", SPEC, "tiny", hide=0.25), batch_of(4)
    model.plan(10, seed=3)
    many = replace(batch, ids=torch.arange(4000))
    hidden = model._choose_hidden(many, 0)
    assert 0.22 < hidden.float().mean() < 0.28  # three deviations are 0.02
    assert torch.equal(model._choose_hidden(replace(many, ids=many.ids.flip(0)), 0).flip(0), hidden)
    assert not torch.equal(model._choose_hidden(many, 1), hidden)

    model._hidden = torch.tensor([True, False, True, False])
    _, _, has_views, *_, shown = model.prepare(model.encoder(batch, True))
    assert has_views.all() and torch.equal(shown, ~model._hidden)  # the prior still has them
    model._hidden = None
    model.loss(batch, "main", 0)
    assert model._hidden is None
    *_, shown = model.prepare(model.encoder(batch, True))
    assert shown.all()


def test_softmax_pooling_lies_between_mean_and_maximum() -> None:
    torch.manual_seed(0)
    pool = SoftmaxPool(4)
    present = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    packing = Packing(present)
    packed = torch.randn(4, 4, 5, 5)
    pool.sharpness.data.fill_(0.0)
    mean = pool(packed, packing)
    torch.testing.assert_close(mean[0], packed[:3].mean(dim=0))
    pool.sharpness.data.fill_(1e4)
    torch.testing.assert_close(pool(packed, packing)[0], packed[:3].amax(dim=0))
    pool.sharpness.data.fill_(1.0)
    between = pool(packed, packing)
    assert (between[0] >= mean[0] - 1e-6).all() and (between[0] <= packed[:3].amax(dim=0) + 1e-6).all()
    torch.testing.assert_close(between[1], packed[3])
    assert torch.equal(between[2], torch.zeros(4, 5, 5))
    assert torch.equal(pool(packed[:0], Packing(torch.zeros(2, 3, dtype=torch.bool))), torch.zeros(2, 4, 5, 5))


def test_switches() -> None:
    for params in ({"context": False}, {"pooling": "max"}, {"residual": True}, {"posterior": "xy"}, {"hide": 0.0}):
        model = create_model("fusionvae-plus", SPEC, "tiny", **params)
        model.loss(batch_of(3), "main", 0).total.backward()
        assert torch.isfinite(model.log_weights(batch_of(3), 2, seed=0)).all()
    with pytest.raises(UsageError, match="softmax"):
        create_model("fusionvae-plus", SPEC, "tiny", pooling="sofmax")
    for share in (-0.1, 1.5):
        with pytest.raises(UsageError, match="from 0 to 1"):
            create_model("fusionvae-plus", SPEC, "tiny", hide=share)
