"""CVAE and CVAE+S: one latent at the coarsest resolution, whose prior sees the views and whose posterior the target."""

from __future__ import annotations

import pytest
import torch

from fusionbench.models import create_model
from fusionbench.models.vae.cvae import CVAE, CVAEWithSkips
from fusionbench.models.vae.normal import DiagonalNormal
from tests.helpers.learning import SPEC, batch_of


def latent(model: CVAE, inputs: int, count: int = 2) -> tuple[DiagonalNormal, DiagonalNormal, torch.Tensor]:
    """Prior, posterior and latent, without noise."""
    batch = batch_of(count).with_inputs(inputs)
    with torch.no_grad():
        result = model.top_down(model.prepare(model.encoder(batch, True)), count, None, posterior=True)
    ((prior, posterior, z),) = result.groups
    assert posterior is not None
    return prior, posterior, z


def test_there_is_one_latent_group_at_the_coarsest_resolution() -> None:
    """tiny: blocks and scales halve 16 pixels three times, and a latent has eight channels."""
    prior, posterior, z = latent(create_model("cvae", SPEC, "tiny").eval(), 3)
    assert z.shape == prior.mean.shape == posterior.scale.shape == (2, 8, 2, 2)
    assert create_model("cvae", SPEC, "tiny", latents=3).balance_shares() == [1.0]


def test_without_views_the_prior_is_standard_normal() -> None:
    model = create_model("cvae", SPEC, "tiny").eval()
    prior = latent(model, 0)[0]
    assert prior.mean.eq(0).all() and prior.scale.eq(1).all()
    assert latent(model, 1)[0].mean.abs().max() > 0


def test_the_posterior_sees_the_target_alone_and_the_prior_the_views_alone() -> None:
    model = create_model("cvae", SPEC, "tiny").eval()
    torch.testing.assert_close(latent(model, 0)[1].mean, latent(model, 3)[1].mean)
    batch = batch_of(2)
    assert batch.target is not None
    other = type(batch)(1 - batch.target, batch.views, batch.present, batch.ids)
    priors, posteriors = [], []
    for case in (batch, other):
        with torch.no_grad():
            prior, posterior, _ = model.top_down(model.prepare(model.encoder(case, True)), 2, None, True).groups[0]
        priors.append(prior.mean)
        posteriors.append(posterior.mean)
    torch.testing.assert_close(*priors)
    assert not torch.allclose(*posteriors)


def test_the_latent_is_the_mean_or_mean_and_noise() -> None:
    model, batch = create_model("cvae", SPEC, "tiny").eval(), batch_of(2)
    with torch.no_grad():
        prepared = model.prepare(model.encoder(batch, True))
        asked = []

        def noise(group: int, shape: tuple[int, ...]) -> torch.Tensor:
            asked.append((group, tuple(shape)))
            return torch.full((2, *shape), 2.0)

        _, posterior, z = model.top_down(prepared, 2, noise, posterior=True).groups[0]  # type: ignore[arg-type]
        prior, nothing, drawn = model.top_down(prepared, 2, noise, posterior=False).groups[0]  # type: ignore[arg-type]
    assert asked == [(0, (8, 2, 2))] * 2 and nothing is None
    torch.testing.assert_close(z, posterior.mean + 2 * posterior.scale)
    torch.testing.assert_close(drawn, prior.mean + 2 * prior.scale)
    torch.testing.assert_close(latent(model, 3)[2], posterior.mean)


def test_the_decoder_of_cvae_sees_z_alone_and_that_of_cvae_s_the_views() -> None:
    torch.manual_seed(0)
    plain, skips = create_model("cvae", SPEC, "tiny").eval(), create_model("cvae+s", SPEC, "tiny").eval()
    skips.load_state_dict(plain.state_dict())

    def decoded(model: CVAE, inputs: int) -> torch.Tensor:
        """From the posterior's mean, which no view can change."""
        with torch.no_grad():
            prepared = model.prepare(model.encoder(batch_of(2).with_inputs(inputs), True))
            return model.top_down(prepared, 2, None, posterior=True).output

    torch.testing.assert_close(decoded(plain, 0), decoded(plain, 3), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoded(skips, 0), decoded(plain, 0))
    assert not torch.allclose(decoded(skips, 3), decoded(plain, 3), rtol=1e-2)


def test_nothing_is_left_of_the_trained_tensor() -> None:
    model = create_model("cvae", SPEC, "tiny")
    assert not hasattr(model, "start") and "start" not in model.state_dict()
    assert sum(p.numel() for p in create_model("cvae", SPEC, "tiny", regularise=0.0).parameters()) == 90_934


BY_NAME: list[tuple[type[CVAE], dict[str, bool], bool]] = [
    (CVAE, {}, False),
    (CVAE, {"skips": True}, True),
    (CVAEWithSkips, {}, True),
    (CVAEWithSkips, {"skips": False}, False),
]


@pytest.mark.parametrize(("cls", "given", "skips"), BY_NAME)
def test_skips_by_name_or_by_parameter(cls: type[CVAE], given: dict[str, bool], skips: bool) -> None:
    model = cls(SPEC, **cls.PRESETS["tiny"].model, **given)
    assert model.skips is skips
    assert len(model.prepare(model.encoder(batch_of(1), with_target=False))[2]) == (4 if skips else 0)


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model, batch = create_model("cvae+s", SPEC, "tiny"), batch_of(8)
    model.plan(30, seed=0)
    optimizer = torch.optim.Adamax(model.parameters(), lr=5e-3)
    losses = []
    for step in range(12):
        terms = model.loss(batch, "main", step)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        losses.append(float(terms.log["reconstruction"]))
    assert losses[-1] < 0.8 * losses[0], losses
