"""What FusionVAE and its baselines share: objective, annealing, scoring in chunks, and where draws come from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.distributions import Normal, kl_divergence

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import create_model
from fusionbench.models.vae import draws
from fusionbench.models.vae.base import Family, FamilyConfig, LatentFamily, TopDown, _row_noise
from fusionbench.models.vae.cells import UpSkip
from fusionbench.models.vae.encoder import Shape
from fusionbench.training.checkpoints import load_weights
from tests.helpers.learning import SPEC, batch_of

MNIST = ImageSpec(1, 32, 32, 3, (28, 28))


def test_annealing() -> None:
    model = create_model("fusionvae", SPEC, "tiny")
    assert model.beta(10**6) == 1.0  # nothing planned
    model.plan(1000, seed=0)
    assert model.beta(0) == 1e-4
    assert model.beta(150) == pytest.approx((150 - 0.1) / 300)
    assert model.beta(301) == 1.0


def test_balancer_follows_the_formula() -> None:
    model = create_model("fusionvae", MNIST, "fusionmnist")
    kls = torch.tensor([4.0, 1.0, 0.5, 0.5, 0.2, 0.1, 0.0])
    share = torch.tensor([1 / 2, 1 / 2, *[4 / 5] * 5])
    scaled = (kls + 0.01) / (share / share.min())
    torch.testing.assert_close(model._balance(kls), scaled / scaled.mean())


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    model = create_model("fusionvae", SPEC, "tiny", regularise=0.0).eval()
    batch = batch_of(4)
    terms = model.loss(batch, "main", 5)
    assert float(terms.total.detach()) == pytest.approx(float(terms.log["reconstruction"] + terms.log["kl"]), rel=1e-6)
    # with one draw each, −ELBO by importance weights has the same mean up to the noise of the KL's estimate
    weights = model.log_weights(batch, 400, seed=1)
    assert float(-weights.mean()) == pytest.approx(float(terms.log["elbo"]), rel=0.03)


def test_penalty_comes_every_fourth_step_with_four_times_its_weight() -> None:
    torch.manual_seed(0)
    model = create_model("fusionvae", SPEC, "tiny", regularise=0.5).eval()
    batch = batch_of(2)
    with_penalty, without = model.loss(batch, "main", 4), model.loss(batch, "main", 5)
    assert "penalty" in with_penalty.log and "penalty" not in without.log
    rest = with_penalty.log["reconstruction"] + with_penalty.log["kl"]
    assert float(with_penalty.total.detach() - rest) == pytest.approx(
        4 * 0.5 * float(with_penalty.log["penalty"]), rel=1e-4
    )


def test_a_model_with_fewer_planned_steps_anneals_faster() -> None:
    model = create_model("cvae", SPEC, "tiny", kl_warmup=0.5)
    model.plan(100, seed=0)
    assert [model.beta(step) for step in (0, 25, 50, 51)] == pytest.approx([1e-4, (25 - 0.01) / 50, 0.9998, 1.0])
    assert create_model("cvae", SPEC, "tiny", kl_warmup=0.0).beta(0) == 1.0


def test_while_beta_rises_the_groups_are_balanced_and_afterwards_not() -> None:
    """total = reconstruction + β Σ γ_l KL_l, γ of the formula; γ = 1 once β is 1."""
    model = create_model("fusionvae", SPEC, "tiny", regularise=0.0).eval()
    model.plan(1000, seed=4)
    batch = batch_of(3)
    terms = model.loss(batch, "main", 100)
    with torch.no_grad():
        prepared = model.prepare(model.encoder(batch, with_target=True))
        noise = _row_noise(batch.ids, torch.zeros_like(batch.ids), draws.noise_key(4, "train", 100))
        groups = model.top_down(prepared, 3, noise, posterior=True).groups
    kls = torch.stack(
        [kl_divergence(Normal(q.mean, q.scale), Normal(p.mean, p.scale)).flatten(1).sum(1).mean() for p, q, _ in groups]
    )
    share = torch.tensor([1.0, 2.0, 2.0])  # 4^s / G_s of one group at the coarsest scale and two at the next
    gamma = (kls + 0.01) / share
    gamma = gamma / gamma.mean()
    beta = (100 - 0.1) / 300
    expected = float(terms.log["reconstruction"]) + beta * float((gamma * kls).sum())
    assert float(terms.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert abs(float((gamma * kls).sum() / kls.sum()) - 1) > 0.01, "the balance is seen in the total"


def test_the_kl_term_is_the_distributions() -> None:
    """Against torch.distributions, summed over groups and values, mean over the batch; β weights it in training."""
    model = create_model("fusionvae", SPEC, "tiny", regularise=0.0).eval()
    batch = batch_of(3)
    model.plan(1000, seed=4)
    terms = model.loss(batch, "main", 700)
    with torch.no_grad():
        prepared = model.prepare(model.encoder(batch, with_target=True))
        noise = _row_noise(batch.ids, torch.zeros_like(batch.ids), draws.noise_key(4, "train", 700))
        result = model.top_down(prepared, 3, noise, posterior=True)
    expected = 0.0
    for prior, q, _ in result.groups:
        assert q is not None
        kl = kl_divergence(Normal(q.mean, q.scale), Normal(prior.mean, prior.scale))
        expected += float(kl.flatten(1).sum(1).mean())
    assert float(terms.log["kl"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms.log["beta"]) == 1.0
    likelihood = (
        -torch.nn.functional.binary_cross_entropy_with_logits(
            result.output[..., 2:14, 2:14], batch.target[..., 2:14, 2:14], reduction="none"
        )
        .flatten(1)
        .sum(1)
    )
    assert float(terms.log["reconstruction"]) == pytest.approx(-float(likelihood.mean()), rel=1e-5)
    assert float(terms.log["elbo"]) == pytest.approx(expected - float(likelihood.mean()), rel=1e-4)


def test_log_weights_are_the_densities_of_their_own_draws() -> None:
    """log p(y|z) + Σ log p(z) − Σ log q(z), with the densities of torch.distributions."""
    model = create_model("fusionvae", SPEC, "tiny").eval()
    batch = batch_of(2)
    found = model.log_weights(batch, 2, seed=9)
    with model._scoring():
        ((_, result),) = model._passes(batch, 2, 9, posterior=True)
    total = torch.zeros(4, dtype=torch.float64)
    logits, target = (x.double()[..., 2:14, 2:14] for x in (result.output, batch.target.repeat(2, 1, 1, 1)))
    total += (target * torch.nn.functional.logsigmoid(logits)).flatten(1).sum(1)
    total += ((1 - target) * torch.nn.functional.logsigmoid(-logits)).flatten(1).sum(1)
    for prior, q, z in result.groups:
        assert q is not None
        for sign, normal in ((1, prior), (-1, q)):
            density = Normal(normal.mean.double(), normal.scale.double()).log_prob(z.double())
            total += sign * density.flatten(1).sum(1)
    torch.testing.assert_close(found.flatten(), total, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["fusionvae", "cvae+s", "fcn+s", "fusionvae-plus"])
def test_scores_do_not_depend_on_the_rows_of_a_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = create_model(name, SPEC, "tiny").eval(), batch_of(3)
    whole = model.log_weights(batch, 5, seed=1)
    samples = model.sample(batch, 5, seed=1) if hasattr(model, "sample") else None
    monkeypatch.setattr(Family, "rows_per_pass", lambda self, device: 6)  # two draws of three samples a pass
    torch.testing.assert_close(model.log_weights(batch, 5, seed=1), whole, rtol=1e-5, atol=1e-3)
    if samples is not None:
        torch.testing.assert_close(model.sample(batch, 5, seed=1), samples, rtol=1e-5, atol=1e-5)


def test_rows_per_pass_fall_with_the_size_of_an_image() -> None:
    """Six float32 activations of 6·C·H·W each are budgeted; at least one row always runs."""
    device = torch.device("cpu")
    model = create_model("fcn", SPEC, "tiny")
    small = model.rows_per_pass(device)
    assert small == (48 << 20) // (4 * 6 * 4 * 16 * 16 * 4)
    model.spec = replace(SPEC, height=4096, width=4096)
    assert model.rows_per_pass(device) == 1


@pytest.mark.parametrize("training", [True, False])
def test_scoring_restores_the_mode_and_builds_no_graph(training: bool) -> None:
    model = create_model("fusionvae", SPEC, "tiny").train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for image in (model.fuse(batch_of(2)), model.reconstruct(batch_of(2)), model.log_weights(batch_of(2), 1, 0)):
        assert not image.requires_grad
    assert model.training is training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(RuntimeError), model._scoring():
        raise RuntimeError("a failure inside")
    assert model.training is training


def test_the_noise_of_training_depends_on_seed_and_step() -> None:
    model, batch = create_model("fusionvae", SPEC, "tiny", regularise=0.0).eval(), batch_of(2)

    def reconstruction(step: int, seed: int) -> float:
        model.plan(1, seed=seed)
        return float(model.loss(batch, "main", step).log["reconstruction"])

    first = reconstruction(3, 0)
    torch.manual_seed(5)  # the global generator is not used
    assert reconstruction(3, 0) == first
    assert len({first, reconstruction(4, 0), reconstruction(3, 1)}) == 3


class Constant(LatentFamily):
    """Decodes to its bias: a family with the least that a subclass has to have."""

    title = "constant"

    class Config(FamilyConfig, frozen=True, kw_only=True):
        model = "constant"  # type: ignore[misc]

    def build(self) -> None:
        self.bias = torch.nn.Parameter(torch.zeros(()))
        self.convolution = torch.nn.Conv2d(1, 1, 1)

    def prepare(self, encoding: object) -> None:
        return None

    def top_down(self, prepared: object, rows: int, noise: object, posterior: bool) -> TopDown:
        return TopDown(self.bias.expand(rows, 1, 16, 16))


def test_a_new_family_is_its_layers_and_one_pass() -> None:
    model = Constant(SPEC, channels=4, groups=[1], blocks=1)
    assert model.penalty is not None, "built after the layers of the subclass"
    convolutions = {id(layer) for convs in model.penalty._convs for layer in convs}
    assert id(model.convolution) in convolutions and Constant(SPEC, groups=[1], regularise=0.0).penalty is None
    batch = batch_of(2)
    # 144 values of the centre crop at p = ½, whatever they are
    assert float(model.loss(batch, "main", 1).total.detach()) == pytest.approx(144 * math.log(2), rel=1e-6)
    assert model.log_weights(batch, 3, 0).flatten().tolist() == pytest.approx([-144 * math.log(2)] * 6)
    images = model.sample(batch, 2, 0)
    assert images.shape == (2, 2, 1, 16, 16)
    assert images[..., 2:14, 2:14].eq(0.5).all() and images[..., :2, :].eq(0).all()
    with pytest.raises(UsageError, match=r"Unknown parameter of constant 'latent'. Did you mean 'latents'"):
        Constant(SPEC, latent=2)


def test_sizes_of_a_config() -> None:
    assert FamilyConfig(channels=3, groups=(4, 1), cells=2, blocks=1, block_cells=3).shape == Shape(3, (4, 1), 2, 1, 3)
    for groups in ((), (2, 0), (-1,)):
        with pytest.raises(UsageError, match="every latent scale needs at least one group"):
            FamilyConfig(groups=groups)


def test_images_that_cannot_be_halved_and_data_without_targets() -> None:
    with pytest.raises(UsageError, match=r"Images of 20×20 cannot be halved 3 times; use sizes that 8 divides"):
        create_model("fusionvae", ImageSpec(1, 20, 20, 3), "fusionmnist")
    with pytest.raises(UsageError, match="at least one group"):
        create_model("fusionvae", SPEC, "tiny", groups=[])
    views = Batch(
        None, torch.rand(1, 3, 1, 16, 16), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)
    )
    with pytest.raises(UsageError, match="FCN learns from targets and this data set has none"):
        create_model("fcn", SPEC, "tiny").loss(views)


def test_the_last_part_of_training_has_the_bound_of_several_draws() -> None:
    """−log of the mean of 5 importance weights, each computed by a pass of its own with torch's distributions."""
    torch.manual_seed(0)
    model = create_model("fusionvae", SPEC, "tiny", regularise=0.0, importance_draws=5, importance_share=0.25).eval()
    model.plan(100, seed=4)
    assert [model.draws_of_step(step) for step in (0, 74, 75, 99)] == [1, 1, 5, 5]
    batch = batch_of(3)
    terms = model.loss(batch, "main", 77)
    weights = []
    with torch.no_grad():
        prepared = model.prepare(model.encoder(batch, with_target=True))
        for draw in range(5):
            noise = _row_noise(batch.ids, torch.full_like(batch.ids, draw), draws.noise_key(4, "train", 77))
            made = model.top_down(prepared, 3, noise, posterior=True)
            weight = model.output.log_prob(made.output, batch.target)
            for p, q, z in made.groups:
                ratio = Normal(p.mean, p.scale).log_prob(z) - Normal(q.mean, q.scale).log_prob(z)
                weight = weight + ratio.flatten(1).double().sum(1)
            weights.append(weight)
    expected = -(torch.stack(weights).logsumexp(dim=0) - math.log(5)).mean()
    assert float(terms.total.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert (
        float(terms.log["bound"]) == pytest.approx(float(expected), rel=1e-5) and "bound" not in model.loss(batch).log
    )
    assert float(terms.total.detach()) < float(terms.log["elbo"])
    with pytest.raises(UsageError, match="importance_share"):
        create_model("fusionvae", SPEC, "tiny", importance_share=0.0)


def test_the_log_has_the_kl_of_every_group() -> None:
    model, batch = create_model("fusionvae", SPEC, "tiny").eval(), batch_of(3)
    log = model.loss(batch, "main", 1).log
    parts = [float(log[f"kl_{index}"]) for index in range(3)]
    assert sum(parts) == pytest.approx(float(log["kl"]), rel=1e-6) and "kl_3" not in log


def test_posterior_of_a_batch() -> None:
    """Mean and KL of every group, along the means of the posteriors: those of the pass that reconstructs."""
    torch.manual_seed(0)
    model, batch = create_model("fusionvae", SPEC, "tiny").eval(), batch_of(3)
    found = model.posterior_of(batch)
    with torch.no_grad():
        made = model.top_down(model.prepare(model.encoder(batch, True)), 3, None, posterior=True).groups
    assert len(found) == len(made) == 3
    for (mean, kl), (p, q, _) in zip(found, made, strict=True):
        torch.testing.assert_close(mean, q.mean, rtol=1e-4, atol=1e-5)
        expected = kl_divergence(Normal(q.mean, q.scale), Normal(p.mean, p.scale)).flatten(1).sum(1)
        torch.testing.assert_close(kl, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["fcn", "cvae+s", "fusionvae", "fusionvae-plus"])
def test_weights_of_earlier_versions_whose_up_cells_had_biases_still_load(name: str, tmp_path: Path) -> None:
    """They give what they gave: the skip of an up cell plus a constant per channel."""
    torch.manual_seed(0)
    old = create_model(name, SPEC, "tiny").eval()
    cells = [layer for layer in old.modules() if isinstance(layer, UpSkip)]
    state = old.state_dict()
    names = [key for key, layer in old.named_modules() if isinstance(layer, UpSkip)]
    biases = {f"{key}.conv.bias": torch.randn(layer.conv.out_channels) for key, layer in zip(names, cells, strict=True)}
    save_file({key: value.contiguous() for key, value in {**state, **biases}.items()}, tmp_path / "old.safetensors")
    new = create_model(name, SPEC, "tiny").eval()
    load_weights(new, tmp_path / "old.safetensors")
    for layer, bias in zip(cells, biases.values(), strict=True):
        layer.register_forward_hook(lambda _layer, _args, out, bias=bias: out + bias[:, None, None])
    torch.testing.assert_close(new.fuse(batch_of(2)), old.fuse(batch_of(2)), rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match="weights of another model"):  # a bias that no version had
        save_file(
            {**{k: v.contiguous() for k, v in state.items()}, "post.9.skip.conv.bias": torch.zeros(2)}, tmp_path / "x"
        )
        load_weights(create_model(name, SPEC, "tiny"), tmp_path / "x")
