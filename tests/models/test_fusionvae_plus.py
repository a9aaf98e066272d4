"""FusionVAE+: what is added starts at nothing, costs few parameters, and sees the views."""

from __future__ import annotations

import pytest
import torch

from fusionbench.contracts import ImageSpec
from fusionbench.errors import UsageError
from fusionbench.models import create_model
from fusionbench.models._encoder import Packing
from fusionbench.models.fusionvae_plus import SoftmaxPool
from tests.learning import SPEC, batch_of


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
    assert not torch.equal(model.enter(0, state, prepared), state)
    for inputs in (0, 3):
        given = model.prepare(model.encoder(batch.with_inputs(inputs), False))
        z[inputs] = model.enter(0, state, given)
    torch.testing.assert_close(z[0], state + model.enters[0].bias.view(-1, 1, 1))  # no views, nothing to add


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
    for params in ({"context": False}, {"pooling": "max"}, {"residual": False}, {"posterior": "y"}):
        model = create_model("fusionvae-plus", SPEC, "tiny", **params)
        model.loss(batch_of(3), "main", 0).total.backward()
        assert torch.isfinite(model.log_weights(batch_of(3), 2, seed=0)).all()
    with pytest.raises(UsageError, match="softmax"):
        create_model("fusionvae-plus", SPEC, "tiny", pooling="sofmax")
