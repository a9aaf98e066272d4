"""Oracle: the printed formulas with probabilities instead of logits. Tolerance: assert_close's default."""

import pytest
import torch
from torch import nn

from fusionbench.models.pairs.discriminators import (
    ADVERSARIAL,
    Discriminator,
    discriminator_loss,
    frozen,
    generator_loss,
)

REAL, FAKE = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([-0.5, 0.1, 1.5])


@pytest.mark.parametrize("kind", ["saturating", "non-saturating"])
def test_discriminator_loss_is_the_printed_one(kind: str) -> None:
    expected = -REAL.sigmoid().log().mean() - (1 - FAKE.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(REAL, FAKE, kind), expected)


def test_generator_losses() -> None:
    torch.testing.assert_close(generator_loss(FAKE, "non-saturating"), -FAKE.sigmoid().log().mean())
    torch.testing.assert_close(generator_loss(FAKE, "saturating"), (1 - FAKE.sigmoid()).log().mean())
    torch.testing.assert_close(generator_loss(FAKE, "least-squares"), ((FAKE - 1) ** 2).mean())
    torch.testing.assert_close(
        discriminator_loss(REAL, FAKE, "least-squares"), ((REAL - 1) ** 2).mean() + (FAKE**2).mean()
    )


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_the_generator_is_rewarded_for_looking_real(kind: str) -> None:
    """The sign that eq. 14 has wrong: a step down the loss must raise the discriminator's belief in the image."""
    logit = torch.tensor([-0.7], requires_grad=True)
    generator_loss(logit, kind).backward()
    assert logit.grad is not None and float(logit.grad) < 0


def test_only_the_saturating_gradient_vanishes_before_a_sure_discriminator() -> None:
    gradients = {}
    for kind in ADVERSARIAL:
        logit = torch.tensor([-20.0], requires_grad=True)
        generator_loss(logit, kind).backward()
        assert logit.grad is not None
        gradients[kind] = abs(float(logit.grad))
    assert gradients["saturating"] < 1e-8 < 0.99 < gradients["non-saturating"] < gradients["least-squares"]


def test_size_and_freedom_of_size() -> None:
    discriminator = Discriminator()
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 389_057
    discriminator.eval()
    for size in ((1, 1), (7, 30), (64, 64)):
        assert discriminator(torch.rand(3, 1, *size)).shape == (3,)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_compare_computes_both_in_one_batch(norm: str) -> None:
    discriminator = Discriminator(widths=(4, 8), norm=norm)
    real, fake = torch.rand(3, 1, 16, 16), torch.rand(2, 1, 16, 16)
    of_real, of_fake = discriminator.compare(real, fake)
    together = discriminator(torch.cat((real, fake)))
    assert of_real.shape == (3,) and of_fake.shape == (2,)
    torch.testing.assert_close(torch.cat((of_real, of_fake)), together)
    apart = torch.allclose(discriminator(real), of_real, atol=1e-5)
    assert apart == (norm == "group")  # batch statistics of one side alone would differ


def test_learns_to_tell_noise_from_flat() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(widths=(4, 8))
    optimizer = torch.optim.Adam(discriminator.parameters(), 0.01)
    for _ in range(30):
        real, fake = torch.rand(8, 1, 16, 16), torch.rand(8, 1, 1, 1).expand(-1, -1, 16, 16)
        optimizer.zero_grad()
        loss = discriminator_loss(*discriminator.compare(real, fake))
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7  # undecided is 2 ln 2 = 1.39


def test_frozen_stops_parameters_and_not_inputs() -> None:
    discriminator = Discriminator(widths=(4, 8))
    bystander = discriminator.score.bias.requires_grad_(False)
    statistics = discriminator.features[2].running_mean.clone()
    image = torch.rand(2, 1, 8, 8, requires_grad=True)
    with frozen(discriminator, evaluation=True):
        assert not discriminator.training
        loss = discriminator(image).sum()
    loss.backward()
    assert discriminator.training and all(module.training for module in discriminator.modules())
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert torch.equal(discriminator.features[2].running_mean, statistics)
    assert not bystander.requires_grad and discriminator.score.weight.requires_grad


def test_frozen_restores_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="stop"), frozen(layer, evaluation=True):
        raise RuntimeError("stop")
    assert layer.training and layer.weight.requires_grad


def test_refuses_unknown_words() -> None:
    with pytest.raises(ValueError, match="'hinge' is not one of"):
        generator_loss(FAKE, "hinge")
    with pytest.raises(ValueError, match="'hinge' is not one of"):
        discriminator_loss(REAL, FAKE, "hinge")
    with pytest.raises(ValueError, match="norm is 'batch' or 'group'"):
        Discriminator(norm="layer")
