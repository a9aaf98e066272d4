"""Oracles: the published size, what either discriminator sees, the losses in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.ddcgan import DDcGAN
from tests.helpers.pairs import SPEC, depends_at, learn, pair_batch, smallest


def test_paper_size() -> None:
    """1.1 M in the literature, for the generator."""
    model = DDcGAN(SPEC, **DDcGAN.PRESETS["paper"].model)
    counted = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]
    layers = [2 * 48, *(48 * depth * 48 for depth in (1, 2, 3, 4)), 240 * 240, 240 * 128, 128 * 64, 64 * 32, 32]
    biases, norms = 5 * 48 + 240 + 128 + 64 + 32 + 1, 2 * (5 * 48 + 128 + 64 + 32)
    assert sum(counted) == 9 * sum(layers) + biases + norms == 1_097_185
    assert [layer[0].in_channels for layer in model.encoder[1].layers] == [48, 96, 144, 192]


def seen(model: DDcGAN, group: str) -> tuple[list[Tensor], list[Tensor]]:
    """What the visible and the infrared discriminator are given in one loss."""
    images: tuple[list[Tensor], list[Tensor]] = ([], [])
    critics = (model.visible_critic, model.infrared_critic)
    hooks = [
        critic.register_forward_pre_hook(lambda module, given, found=found: found.append(given[0].detach()))
        for critic, found in zip(critics, images, strict=True)
    ]
    model.loss(pair_batch(), group, 0)
    for hook in hooks:
        hook.remove()
    return images


@pytest.mark.parametrize("group", ["critic", "generator"])
@pytest.mark.parametrize(("scale", "side"), [(4, 8), (1, 32)])
def test_infrared_discriminator_sees_means_of_blocks(group: str, scale: int, side: int) -> None:
    model, batch = smallest(DDcGAN, infrared_scale=scale).eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    (visible,), (infrared,) = seen(model, group)
    with torch.no_grad():
        fused = model.combine(a, b)
    torch.testing.assert_close(visible, torch.cat((b, fused)))
    means = torch.cat((a, fused)).reshape(4, 1, side, scale, side, scale).mean((3, 5))
    torch.testing.assert_close(infrared, means)


def test_losses_in_numpy() -> None:
    model, batch = smallest(DDcGAN).eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    with torch.no_grad():
        fused = model.combine(a, b)
        small = [image.reshape(2, 1, 8, 4, 8, 4).mean((3, 5)) for image in (a, fused)]
        logits = [model.visible_critic(image) for image in (b, fused)], [model.infrared_critic(x) for x in small]
    probabilities = [[1 / (1 + np.exp(-x.double().numpy())) for x in pair] for pair in logits]
    critic = sum(-np.log(real).mean() - np.log(1 - fake).mean() for real, fake in probabilities)
    assert float(model.loss(batch, "critic", 0).total.detach()) == pytest.approx(critic, rel=1e-4)
    adversarial = sum(-np.log(fake).mean() for _, fake in probabilities)
    kernel = np.full((3, 3), 1 / 8)
    kernel[1, 1] = -1
    f, y = (image.double().numpy()[:, 0] for image in (fused, b))
    slopes = np.stack([ndimage.convolve(image, kernel, mode="nearest") for image in f - y])
    # 84×84 pixels, and a sixteenth of them: the sums of the paper for its patches
    content = 441 * ((small[1] - small[0]).double().numpy() ** 2).mean() + 1.2 * 7056 * np.abs(slopes).mean()
    expected = adversarial + 0.6 * content
    assert float(model.loss(batch, "generator", 0).total.detach()) == pytest.approx(expected, rel=1e-4)


def test_receptive_radius() -> None:
    deep = {"dense_layers": 4, "decoder_widths": [6, 6, 6, 6]}  # as many layers as the paper has
    radius = smallest(DDcGAN, **deep).receptive_radius
    assert isinstance(radius, int) and radius == DDcGAN(SPEC).receptive_radius == 10
    assert depends_at(smallest(DDcGAN, **deep), range(radius, radius + 1), 20, 40)
    assert not depends_at(smallest(DDcGAN, **deep), range(radius + 1, 99), 20, 40)


def test_ten_steps_lower_the_content_loss_and_teach_the_discriminators() -> None:
    torch.manual_seed(0)
    history = learn(DDcGAN(SPEC, **DDcGAN.PRESETS["tiny"].model), pair_batch(), steps=11, lr=3e-3)
    contents = [terms["intensity"] + 1.2 * terms["gradient"] for terms in history]
    assert contents[-1] < 0.9 * contents[0]
    assert history[-1]["visible"] < history[0]["visible"] and history[-1]["infrared"] < history[0]["infrared"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [({"infrared_scale": 0}, "infrared_scale=0"), ({"decoder_widths": [4, 0]}, "decoder_widths")],
)
def test_refuses_wrong_parameters(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(DDcGAN, **choice)
