"""Oracles: the published size, the generator as plain convolutions, the losses in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.fusiongan import FusionGAN, soft_labels
from tests.helpers.pairs import SPEC, depends_at, learn, pair_batch, smallest


def test_paper_size() -> None:
    """The 0.93 M of the literature are the generator's; the paper's layers make 924,673 of them without the norms."""
    model = FusionGAN(SPEC, **FusionGAN.PRESETS["paper"].model)
    layers = [(5, 2, 256), (5, 256, 128), (3, 128, 64), (3, 64, 32), (1, 32, 1)]
    convolutions = sum(kernel**2 * channels * out + out for kernel, channels, out in layers)
    assert convolutions == 924_673
    assert sum(p.numel() for p in model.generator.parameters()) == convolutions + 2 * (256 + 128 + 64 + 32)
    assert sum(p.numel() for p in model.critic.parameters()) == 389_057


def test_generator_shrinks_the_widened_image_back() -> None:
    model, batch = smallest(FusionGAN).eval(), pair_batch(1)
    a, b = batch.views[:, 0], batch.views[:, 1]
    x = np.pad(2 * torch.cat((a, b), 1).numpy() - 1, ((0, 0), (0, 0), (6, 6), (6, 6)), mode="edge")
    x = torch.from_numpy(x)
    for index in range(0, 12, 3):
        convolution = model.generator[index]
        x = F.leaky_relu(F.conv2d(x, convolution.weight, convolution.bias) / (1 + 1e-5) ** 0.5, 0.2)
    x = torch.tanh(F.conv2d(x, model.generator[12].weight, model.generator[12].bias))
    torch.testing.assert_close(model.combine(a, b), x / 2 + 0.5, atol=1e-5, rtol=1e-5)


def test_labels_are_soft_and_a_function_of_seed_and_step() -> None:
    labels = soft_labels((0.7, 1.2), "real", 4000, seed=3, step=5)
    assert float(labels.min()) >= 0.7 and float(labels.max()) <= 1.2
    assert float(labels.mean()) == pytest.approx(0.95, abs=0.01) and float(labels.std()) == pytest.approx(
        0.144, abs=0.01
    )
    assert torch.equal(labels, soft_labels((0.7, 1.2), "real", 4000, seed=3, step=5))
    for other in ({"seed": 4, "step": 5}, {"seed": 3, "step": 6}):
        assert not torch.equal(labels, soft_labels((0.7, 1.2), "real", 4000, **other))


def test_losses_in_numpy() -> None:
    model, batch = smallest(FusionGAN).eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    with torch.no_grad():
        fused = model.combine(a, b)
        real, fake = (model.critic(2 * image - 1).double().numpy() for image in (b, fused))
    labels = {
        name: soft_labels(limits, name, 2, model.seed, 9).double().numpy()
        for name, limits in (("real", (0.7, 1.2)), ("fused", (0.0, 0.3)), ("wanted", (0.7, 1.2)))
    }
    critic = ((real - labels["real"]) ** 2).mean() + ((fake - labels["fused"]) ** 2).mean()
    assert float(model.loss(batch, "critic", 9).total.detach()) == pytest.approx(critic, rel=1e-4)
    f, x, y = (2 * image.double().numpy()[:, 0] - 1 for image in (fused, a, b))
    slopes = [np.stack([ndimage.laplace(each, mode="nearest") for each in image]) for image in (f, y)]
    content = ((f - x) ** 2).mean() + 5 * ((slopes[0] - slopes[1]) ** 2).mean()
    expected = ((fake - labels["wanted"]) ** 2).mean() + 100 * content
    assert float(model.loss(batch, "generator", 9).total.detach()) == pytest.approx(expected, rel=1e-4)


def test_receptive_radius() -> None:
    assert FusionGAN.receptive_radius == 6
    assert depends_at(smallest(FusionGAN), range(6, 7), 12, 24)
    assert not depends_at(smallest(FusionGAN), range(7, 99), 12, 24)


def test_ten_steps_lower_the_content_loss_and_teach_the_discriminator() -> None:
    torch.manual_seed(0)
    history = learn(FusionGAN(SPEC, **FusionGAN.PRESETS["tiny"].model), pair_batch(), steps=11, lr=3e-3)
    contents = [terms["intensity"] + 5 * terms["gradient"] for terms in history]
    assert contents[-1] < 0.9 * contents[0]
    assert history[-1]["critic"] < history[0]["critic"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [({"widths": [4, 8]}, "four widths, not .4, 8."), ({"critic_widths": [0]}, "critic_widths")],
)
def test_refuses_wrong_parameters(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(FusionGAN, **choice)
