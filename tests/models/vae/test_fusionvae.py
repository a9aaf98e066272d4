"""FusionVAE and its baselines at the published sizes, and what their objective must do."""

from __future__ import annotations

import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.vae.fusionvae import FusionVAE
from tests.helpers.learning import SPEC, batch_of

MNIST = ImageSpec(1, 32, 32, 3, (28, 28))
CELEBA = ImageSpec(3, 64, 64, 3)
TLESS = ImageSpec(1, 64, 64, 3)
SIZES = {
    "fusionmnist": (MNIST, 671_950, 326_144),
    "fusionceleba": (CELEBA, 18_371_132, 10_543_680),
    "fusiontless": (TLESS, 18_341_846, 10_543_104),
}


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("preset", SIZES)
def test_published_sizes(preset: str) -> None:
    """The first two are the numbers of the authors' code; the baselines within 5 %."""
    spec, total, encoder = SIZES[preset]
    with torch.device("meta"):
        model = create_model("fusionvae", spec, preset, regularise=0.0)
        assert (count(model), count(model.encoder)) == (total, encoder)
        for name in ("fcn", "fcn+s", "cvae", "cvae+s"):
            assert abs(count(create_model(name, spec, preset, regularise=0.0)) / total - 1) < 0.05, name


def test_groups_in_the_order_of_the_table() -> None:
    """The supplement's table, read literally, has 1.02 M parameters for FusionMNIST and 50.8 M for FusionCelebA."""
    with torch.device("meta"):
        small = create_model("fusionvae", MNIST, "fusionmnist", group_order="table", regularise=0.0)
        large = create_model("fusionvae", CELEBA, "fusionceleba", group_order="table", regularise=0.0)
    assert small.shape.groups == (2, 5) and count(small) == pytest.approx(1.02e6, rel=0.01)
    assert count(large) == pytest.approx(50.8e6, rel=0.01)
    with pytest.raises(UsageError, match="code"):
        create_model("fusionvae", MNIST, "fusionmnist", group_order="papre")


def test_latents_of_the_published_configuration() -> None:
    """3520 latent values for FusionMNIST: two groups at 4×4 and five at 8×8, ten channels each."""
    model = create_model("fusionvae", MNIST, "fusionmnist").eval()
    batch = batch_of(2, MNIST)
    with torch.no_grad():
        result = model.top_down(model.prepare(model.encoder(batch, False)), 2, None, posterior=False)
    assert [tuple(z.shape[1:]) for _, _, z in result.groups] == [(10, 4, 4)] * 2 + [(10, 8, 8)] * 5
    assert sum(z[0].numel() for _, _, z in result.groups) == 3520


def test_a_full_size_step_learns() -> None:
    torch.manual_seed(0)
    model = create_model("fusionvae", MNIST, "fusionmnist")
    model.plan(1000, seed=0)
    batch = batch_of(8, MNIST).with_inputs(2)
    optimizer = torch.optim.Adamax(model.parameters(), lr=1e-2, eps=1e-3)
    losses = []
    for _ in range(4):
        terms = model.loss(batch, "main", 0)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        losses.append(float(terms.log["reconstruction"]))
    assert terms.total.dtype == torch.float32
    assert losses[-1] < 0.9 * losses[0], losses


def test_without_views_the_first_prior_is_standard_normal_and_the_rest_is_learned() -> None:
    model = create_model("fusionvae", SPEC, "tiny").eval()
    batch = batch_of(2).with_inputs(0)
    with torch.no_grad():
        result = model.top_down(model.prepare(model.encoder(batch, True)), 2, None, posterior=True)
    first, second = result.groups[0][0], result.groups[1][0]
    assert torch.equal(first.mean, torch.zeros_like(first.mean))
    assert torch.equal(first.scale, torch.ones_like(first.scale))
    assert second.mean.abs().max() > 0


def test_posterior_sees_the_target_alone() -> None:
    """q(z|y): the first posterior does not change when views come or go."""
    model = create_model("fusionvae", SPEC, "tiny").eval()
    batch = batch_of(2)
    with torch.no_grad():
        posteriors = [
            model.top_down(model.prepare(model.encoder(batch.with_inputs(n), True)), 2, None, True).groups[0][1].mean
            for n in (0, 3)
        ]
    torch.testing.assert_close(posteriors[0], posteriors[1])


@pytest.mark.parametrize("aggregation", ["mean-add", "bayes-add", "max-all", "mean-all", "bayes-all"])
def test_every_aggregation_trains_and_scores(aggregation: str) -> None:
    model = create_model("fusionvae", SPEC, "tiny", aggregation=aggregation)
    for inputs in (0, 1, 3):
        batch = batch_of(3).with_inputs(inputs)
        model.loss(batch, "main", 0).total.backward()
        assert torch.isfinite(model.log_weights(batch, 2, seed=0)).all()
        assert model.sample(batch, 2, seed=0).shape == (2, 3, 1, 16, 16)


def test_colour_models_with_a_logistic_mixture() -> None:
    spec = ImageSpec(3, 16, 16, 3)
    model = create_model("fusionvae", spec, "tiny", output="logistic-mixture")
    terms = model.loss(batch_of(2, spec), "main", 0)
    terms.total.backward()
    assert torch.isfinite(terms.total)
    assert model.fuse(batch_of(2, spec)).shape == (2, 3, 16, 16)


def test_posterior_on_views_and_target() -> None:
    """q(z|x,y) moves with the views; without any it is q(z|y) of the same weights."""
    torch.manual_seed(0)
    plain = create_model("fusionvae", SPEC, "tiny").eval()
    joint = create_model("fusionvae", SPEC, "tiny", posterior="xy").eval()
    joint.load_state_dict(plain.state_dict())
    batch = batch_of(2)

    def posterior(model: FusionVAE, inputs: int) -> torch.Tensor:
        with torch.no_grad():
            prepared = model.prepare(model.encoder(batch.with_inputs(inputs), True))
            q = model.top_down(prepared, 2, None, posterior=True).groups[0][1]
        assert q is not None
        return q.mean

    torch.testing.assert_close(posterior(joint, 0), posterior(plain, 0))
    assert not torch.allclose(posterior(joint, 3), posterior(plain, 3))


def test_a_residual_posterior_without_a_change_is_the_prior() -> None:
    model = create_model("fusionvae", SPEC, "tiny", residual=True).eval()
    with torch.no_grad():
        for group in model._groups():
            group.posterior.log_norm.fill_(-50.0)
            group.posterior.bias.zero_()
        result = model.top_down(model.prepare(model.encoder(batch_of(3), True)), 3, None, posterior=True)
        for prior, q, _ in result.groups:
            torch.testing.assert_close(q.mean, prior.mean)
            assert float(q.kl(prior).abs().max()) < 1e-4
        weights = model.log_weights(batch_of(3), 4, seed=0)
    # prior and posterior agree, so that what is left is the likelihood under prior samples
    assert torch.isfinite(weights).all()
