"""Oracle: the printed formulas with probabilities instead of logits. Tolerance: assert_close's default."""

import pytest
import torch
from torch import nn

from fusionbench.models._discriminators import (
    ADVERSARIAL,
    Discriminator,
    deception_loss,
    discriminator_loss,
    frozen,
)

REAL, MADE = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([-0.5, 0.1, 1.5])


@pytest.mark.parametrize("kind", ["saturating", "non-saturating"])
def test_discriminator_loss_is_the_printed_one(kind: str) -> None:
    expected = -REAL.sigmoid().log().mean() - (1 - MADE.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(REAL, MADE, kind), expected)


def test_deception_losses() -> None:
    torch.testing.assert_close(deception_loss(MADE, "non-saturating"), -MADE.sigmoid().log().mean())
    torch.testing.assert_close(deception_loss(MADE, "saturating"), (1 - MADE.sigmoid()).log().mean())
    torch.testing.assert_close(deception_loss(MADE, "least-squares"), ((MADE - 1) ** 2).mean())
    torch.testing.assert_close(
        discriminator_loss(REAL, MADE, "least-squares"), ((REAL - 1) ** 2).mean() + (MADE**2).mean()
    )


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_deceiving_means_looking_real(kind: str) -> None:
    """The sign that eq. 14 has wrong: a step down the loss must raise the discriminator's belief in the image."""
    logit = torch.tensor([-0.7], requires_grad=True)
    deception_loss(logit, kind).backward()
    assert logit.grad is not None and float(logit.grad) < 0


def test_only_the_saturating_gradient_vanishes_before_a_sure_discriminator() -> None:
    gradients = {}
    for kind in ADVERSARIAL:
        logit = torch.tensor([-20.0], requires_grad=True)
        deception_loss(logit, kind).backward()
        assert logit.grad is not None
        gradients[kind] = abs(float(logit.grad))
    assert gradients["saturating"] < 1e-8 < 0.99 < gradients["non-saturating"] < gradients["least-squares"]


def test_size_and_freedom_of_size() -> None:
    judge = Discriminator()
    assert sum(parameter.numel() for parameter in judge.parameters()) == 389_057
    judge.eval()
    for size in ((1, 1), (7, 30), (64, 64)):
        assert judge(torch.rand(3, 1, *size)).shape == (3,)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_compare_judges_both_in_one_batch(norm: str) -> None:
    judge = Discriminator(widths=(4, 8), norm=norm)
    real, made = torch.rand(3, 1, 16, 16), torch.rand(2, 1, 16, 16)
    of_real, of_made = judge.compare(real, made)
    together = judge(torch.cat((real, made)))
    assert of_real.shape == (3,) and of_made.shape == (2,)
    torch.testing.assert_close(torch.cat((of_real, of_made)), together)
    apart = torch.allclose(judge(real), of_real, atol=1e-5)
    assert apart == (norm == "group")  # batch statistics of one side alone would differ


def test_learns_to_tell_noise_from_flat() -> None:
    torch.manual_seed(0)
    judge = Discriminator(widths=(4, 8))
    optimizer = torch.optim.Adam(judge.parameters(), 0.01)
    for _ in range(30):
        real, made = torch.rand(8, 1, 16, 16), torch.rand(8, 1, 1, 1).expand(-1, -1, 16, 16)
        optimizer.zero_grad()
        loss = discriminator_loss(*judge.compare(real, made))
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7  # undecided is 2 ln 2 = 1.39


def test_frozen_stops_parameters_and_not_inputs() -> None:
    judge = Discriminator(widths=(4, 8))
    bystander = judge.score.bias.requires_grad_(False)
    statistics = judge.features[2].running_mean.clone()
    image = torch.rand(2, 1, 8, 8, requires_grad=True)
    with frozen(judge, evaluation=True):
        assert not judge.training
        loss = judge(image).sum()
    loss.backward()
    assert judge.training and all(module.training for module in judge.modules())
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judge.parameters())
    assert torch.equal(judge.features[2].running_mean, statistics)
    assert not bystander.requires_grad and judge.score.weight.requires_grad


def test_frozen_restores_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="stop"), frozen(layer, evaluation=True):
        raise RuntimeError("stop")
    assert layer.training and layer.weight.requires_grad


def test_refuses_unknown_words() -> None:
    with pytest.raises(ValueError, match="'hinge' is not one of"):
        deception_loss(MADE, "hinge")
    with pytest.raises(ValueError, match="'hinge' is not one of"):
        discriminator_loss(REAL, MADE, "hinge")
    with pytest.raises(ValueError, match="norm is 'batch' or 'group'"):
        Discriminator(norm="layer")
