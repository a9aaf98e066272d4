"""FCN and FCN+S: an exact likelihood, skips that see the views, and a trained tensor where there are none."""

from __future__ import annotations

import pytest
import torch

from fusionbench.models import create_model
from fusionbench.models.vae.fcn import FCN, FCNWithSkips
from tests.helpers.learning import SPEC, batch_of


def test_skips_let_the_decoder_see_the_views() -> None:
    """Behind the maximum with the state, at full resolution too; without views FCN+S is FCN."""
    torch.manual_seed(0)
    plain, skips = create_model("fcn", SPEC, "tiny"), create_model("fcn+s", SPEC, "tiny")
    skips.load_state_dict(plain.state_dict())
    batch = batch_of(2)
    torch.testing.assert_close(plain.fuse(batch.with_inputs(0)), skips.fuse(batch.with_inputs(0)))
    assert not torch.allclose(plain.fuse(batch), skips.fuse(batch))


def test_fcn_has_an_exact_likelihood() -> None:
    model = create_model("fcn", SPEC, "tiny").eval()
    batch = batch_of(3)
    weights = model.log_weights(batch, 5, seed=0)
    assert torch.equal(weights, weights[:1].expand(5, -1)) and weights.dtype == torch.float64
    assert float(-weights.mean()) == pytest.approx(float(model.loss(batch, "main", 1).total.detach()), rel=1e-6)
    assert not hasattr(model, "sample")


def test_without_views_the_decoder_starts_from_the_trained_tensor() -> None:
    """The same image for every sample, decoded from ``start``, which learns from these samples alone."""
    model = create_model("fcn", SPEC, "tiny")
    batch = batch_of(3)
    images = model.fuse(batch.with_inputs(0))
    torch.testing.assert_close(images, images[:1].expand_as(images))
    with torch.no_grad():
        model.eval()
        state = model.start.expand(1, -1, -1, -1)
        logits = model.head(model.decoder(state, model.post, [], torch.zeros(1, dtype=torch.bool)))
    torch.testing.assert_close(images[:1, :, 2:14, 2:14], logits.sigmoid()[:, :, 2:14, 2:14])
    model.train()
    model.loss(batch, "main", 1).total.backward()
    assert model.start.grad is not None and not model.start.grad.any(), "all samples have views"
    model.loss(batch.with_inputs(0), "main", 1).total.backward()
    assert model.start.grad.any()


def test_views_are_joined_by_their_maximum() -> None:
    """Order and repetition of the views do not matter."""
    model, batch = create_model("fcn", SPEC, "tiny").eval(), batch_of(2)
    fused = model.fuse(batch)
    turned = type(batch)(batch.target, batch.views[:, [2, 0, 1]], batch.present, batch.ids)
    torch.testing.assert_close(model.fuse(turned), fused)
    twice = type(batch)(batch.target, batch.views[:, [0, 0, 0]], batch.present, batch.ids)
    torch.testing.assert_close(model.fuse(twice), model.fuse(batch.with_inputs(1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cls", "given", "skips"), [(FCN, {}, False), (FCN, {"skips": True}, True), (FCNWithSkips, {}, True)]
)
def test_skips_by_name_or_by_parameter(cls: type[FCN], given: dict[str, bool], skips: bool) -> None:
    model = cls(SPEC, **cls.PRESETS["tiny"].model, **given)
    assert model.skips is skips
    assert len(model.prepare(model.encoder(batch_of(1), with_target=False))[1]) == (4 if skips else 0)


def test_a_name_can_be_overruled() -> None:
    torch.manual_seed(0)
    plain = create_model("fcn", SPEC, "tiny")
    torch.manual_seed(0)
    overruled = create_model("fcn+s", SPEC, "tiny", skips=False)
    torch.testing.assert_close(plain.fuse(batch_of(2)), overruled.fuse(batch_of(2)))


def test_there_is_no_kl() -> None:
    model = create_model("fcn", SPEC, "tiny", regularise=0.0)
    terms = model.loss(batch_of(2), "main", 0)
    assert set(terms.log) == {"reconstruction", "elbo"}
    assert float(terms.total.detach()) == float(terms.log["reconstruction"].float())
