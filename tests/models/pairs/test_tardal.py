"""Oracles: the published size, the layers by their published names, saliency by a plain loop, the losses spelt out.

Tolerance 1e-5 where sums are made in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.losses import torch_ssim
from fusionbench.models.pairs.tardal import TarDAL, histogram_saliency, slope, target_mask
from tests.helpers.pairs import (
    SPEC,
    learn,
    pair_batch,
    published_files,
    reach,
    smallest,
    tno_pair,
    with_published_weights,
)

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def test_published_size() -> None:
    model = TarDAL(SPEC)
    assert sum(parameter.numel() for parameter in model.generator.parameters()) == 296_577
    assert sum(parameter.numel() for parameter in model.critics["target"].parameters()) == 92_801


def test_saliency_equals_a_plain_loop() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 5))
    expected = np.abs(grey[:, :, :, :, None, None] - grey[:, :, None, None]).sum((-1, -2)).astype(float)
    expected /= expected.max((-1, -2), keepdims=True)
    made = histogram_saliency(torch.from_numpy(grey / 255).float())
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-6)
    assert torch.equal(histogram_saliency(torch.full((1, 1, 3, 3), 0.4)), torch.zeros(1, 1, 3, 3))


def test_targets_are_warmer_than_the_mean_by_so_many_deviations() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((3, 1, 6, 7)))
    for image, mask in zip(images.numpy(), target_mask(images, 0.5).numpy(), strict=True):
        assert np.array_equal(mask, image > image.mean() + 0.5 * image.std())
    assert not target_mask(torch.full((1, 1, 3, 3), 0.25), 1.0).any()


def test_slope_of_a_ramp_is_its_step() -> None:
    ramp = (0.02 * torch.arange(6.0)).expand(1, 1, 5, 6)
    torch.testing.assert_close(slope(ramp)[..., 1:-1], torch.full((1, 1, 5, 4), 0.02), atol=1e-5, rtol=0)


def test_generator_loss_is_structure_pixels_and_verdicts() -> None:
    weights = {"structure_weight": 2, "pixel_weight": 3, "adversarial_weight": 5, "target_weight": 0.5}
    model, batch = smallest(TarDAL, detail_weight=0.25, mask_deviations=0.5, **weights), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    fused = model.generator(a, b)
    structure = ((1 - torch_ssim(fused, a)) / 2 + (1 - torch_ssim(fused, b)) / 2).mean()
    infrared = 0.5 + 0.5 * (histogram_saliency(a) - histogram_saliency(b))
    visible = 0.5 + 0.5 * (histogram_saliency(b) - histogram_saliency(a))
    pixel = (infrared * (fused - a).abs() + visible * (fused - b).abs()).mean()
    mask = (a > a.mean((2, 3), keepdim=True) + 0.5 * a.std((2, 3), keepdim=True, unbiased=False)).float()
    verdict = -0.5 * model.critics["target"](fused * mask).mean()
    verdict = verdict - 0.25 * model.critics["detail"](slope(fused) * (1 - mask)).mean()
    expected = 2 * structure + 3 * pixel + 5 * verdict
    torch.testing.assert_close(model.loss(batch, "generator", 0).total, expected, **CLOSE)


def test_critics_see_targets_and_background_slopes() -> None:
    model, batch = smallest(TarDAL, penalty_weight=0), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    fused, mask = model.eval().combine(a, b), target_mask(a, 1.0)
    model.train()
    target, detail = model.critics["target"], model.critics["detail"]
    expected = (target(fused * mask) - target(a * mask)).mean()
    expected = expected + (detail(slope(fused) * (1 - mask)) - detail(slope(b) * (1 - mask))).mean()
    torch.testing.assert_close(model.loss(batch, "critic", 0).total, expected, **CLOSE)


def test_penalty_bounds_the_slope_of_a_critic_whatever_the_size() -> None:
    """A critic of one convolution of ones at even pixels has the same slope everywhere: the penalty is known."""
    for size in (8, 16):
        model = smallest(TarDAL, critic_widths=[1], penalty_weight=3, penalty_power=6)
        with torch.no_grad():
            for critic in model.critics.values():
                critic.features[0].weight.zero_()
                critic.features[0].weight[..., 1, 1] = 1
                critic.features[0].bias.fill_(1)  # above zero: the LeakyReLU is the identity
                critic.score.weight.fill_(1.5)
        batch = pair_batch(2, size, size)
        with_penalty = model.loss(batch, "critic", 0).total.detach()
        plain = smallest(TarDAL, critic_widths=[1], penalty_weight=0)
        plain.load_state_dict(model.state_dict())
        # a quarter of the pixels are seen, each with a slope of 1.5 / (HW / 4): √(HW) · |∇| is 3
        expected = plain.loss(batch, "critic", 0).total.detach() + 2 * 3 * 3.0**6
        torch.testing.assert_close(with_penalty, expected, atol=0.5, rtol=1e-4)


def test_points_of_the_penalty_follow_the_seed_and_the_step() -> None:
    model, batch = smallest(TarDAL), pair_batch()
    with torch.no_grad():
        for parameter in model.critics.parameters():
            parameter.mul_(3)  # steep enough for the penalty to show
    losses = [float(model.loss(batch, "critic", step).total.detach()) for step in (0, 0, 1)]
    model.plan(10, seed=9)
    losses.append(float(model.loss(batch, "critic", 0).total.detach()))
    assert losses[0] == losses[1] and len(set(losses)) == 3


def test_the_critics_step_leaves_the_generator_as_it_is() -> None:
    model = smallest(TarDAL)
    before = {name: value.clone() for name, value in model.generator.state_dict().items()}
    model.loss(pair_batch(), "critic", 0).total.backward()
    assert all(torch.equal(value, before[name]) for name, value in model.generator.state_dict().items())
    assert model.generator.training


def test_training_comes_closer_to_both_images() -> None:
    torch.manual_seed(0)
    history = learn(TarDAL(SPEC, **TarDAL.PRESETS["tiny"].model), pair_batch(2), steps=15, lr=5e-3)
    assert history[-1]["pixel"] < 0.7 * history[0]["pixel"]
    assert history[-1]["structure"] < history[0]["structure"]
    assert all(np.isfinite(list(terms.values())).all() for terms in history)


def test_pixels_depend_on_those_within_the_declared_radius() -> None:
    assert reach(smallest(TarDAL)) == smallest(TarDAL).receptive_radius == 8


def layers(state: Mapping[str, Tensor], a: Tensor, b: Tensor, running: bool) -> Tensor:
    """The generator by the names of the published file, normalised by its running moments or the images' own."""

    def block(name: str, x: Tensor, number: int = 0) -> Tensor:
        x = F.conv2d(x, state[f"{name}.{number}.weight"], state[f"{name}.{number}.bias"], padding=1)
        norm = f"{name}.1."
        if f"{norm}running_mean" not in state:
            return x
        if running:
            mean, variance = (state[norm + part].view(1, -1, 1, 1) for part in ("running_mean", "running_var"))
        else:
            mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        scale, shift = (state[norm + part].view(1, -1, 1, 1) for part in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = block("encoder", torch.cat((a, b), 1)).relu()
    for number in range(3):
        x = torch.cat((x, block(f"dense.{number}", x).relu()), 1)
    for number in range(3):
        x = block(f"fuse.{number}", x).relu()
    return block("fuse.3", x).tanh()


def test_published_weights_give_the_published_layers(real_data: Path) -> None:
    states = published_files(TarDAL, real_data / "weights" / "TarDAL", "tardal.pt")
    model = with_published_weights(TarDAL, states)
    for stem in ("36", "08"):
        a, b = (image[..., :64, :80] for image in tno_pair(real_data, stem))
        with torch.no_grad():
            made, expected = model.combine(a, b), layers(states[0], a, b, running=False)
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)
    assert float(made.min()) < -0.5, "it leaves [0,1], which fuse clamps"


@torch.no_grad()
def test_statistics_are_those_of_training_or_of_the_image() -> None:
    batch = pair_batch(3, 20, 17)
    a, b = batch.views[:1, 0], batch.views[:1, 1]
    for statistics in ("running", "image"):
        model = smallest(TarDAL, statistics=statistics)
        for norm in model.generator.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
        state = {key.replace("merge", "fuse"): value.clone() for key, value in model.generator.state_dict().items()}
        wanted = layers(state, a, b, running=statistics == "running")
        torch.testing.assert_close(model.eval().combine(a, b), wanted, **CLOSE)
        assert torch.equal(model.fuse(batch)[:1], model.combine(a, b).clamp(0, 1)), "no pair has a say in another"
        assert all(
            torch.equal(value, state[key.replace("merge", "fuse")])
            for key, value in model.generator.state_dict().items()
        )
        assert tuple(model.fuse(pair_batch(1, 1, 1)).shape) == (1, 1, 1, 1)
    assert smallest(TarDAL, statistics="image").receptive_radius is None
    with pytest.raises(UsageError, match="statistics of tardal 'batch'"):
        smallest(TarDAL, statistics="batch")
