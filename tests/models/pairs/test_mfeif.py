"""Oracles: the published sizes, scikit-image for the losses, and the network's equations spelt out per path.

Tolerance 1e-5 where sums are made in another order; exact elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.edges import central_edge_image, edge_image
from fusionbench.models.pairs.losses import TEXTURES, content_loss, intensity_loss
from fusionbench.models.pairs.mfeif import MFEIF, complementary_corruptions
from fusionbench.models.pairs.published_state import flat_state
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


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_public_code_sizes() -> None:
    model = MFEIF(SPEC, **MFEIF.PRESETS["public-code"].model)
    assert count(model.extractor) == 139_728
    assert count(model.constructor) == 37_203
    assert count(model.attention) == 194_209
    assert count(model) - count(model.critic) == 371_140


def test_public_code_work() -> None:
    """23.0 GFLOP for the auto-encoder on 256×256 and 92 for a pair; all layers are convolutions of stride 1."""
    model = MFEIF(SPEC, **MFEIF.PRESETS["public-code"].model).eval()
    image, share = torch.zeros(1, 1, 32, 32), (32 / 256) ** 2
    for work, published in ((lambda: model.reconstruct(image), 23.0), (lambda: model.combine(image, image), 92.0)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
        assert counter.get_total_flops() / 1e9 == pytest.approx(published * share, rel=5e-3)


def test_paper_sizes() -> None:
    """Dense: the second convolutions of three paths see 16 maps more, the third ones 48 more; 3×3 kernels."""
    model = MFEIF(SPEC, **MFEIF.PRESETS["paper"].model)
    assert count(model.extractor) == 139_728 + 3 * 9 * (16 * 48 + 48 * 64)
    assert count(model.constructor) == 37_203 - 2  # no batch normalisation at the output
    assert count(model.attention) == 194_209 + 63 * 33  # 64 maps instead of one


@pytest.mark.parametrize("dense", [False, True])
def test_extractor_equals_its_paths(dense: bool) -> None:
    extractor, image = (
        smallest(MFEIF, dense=dense, path_weights=(0.1, 0.2, 1.0)).extractor.eval(),
        torch.rand(2, 1, 9, 7),
    )
    stem = extractor.stem(image)
    sums = [torch.zeros(()) for _ in range(3)]
    for weight, path in zip((0.1, 0.2, 1.0), extractor.paths, strict=True):
        first = path[0](stem)
        second = path[1](torch.cat((stem, first), 1) if dense else first)
        third = path[2](torch.cat((stem, first, second), 1) if dense else second)
        sums = [total + maps for total, maps in zip(sums, (first, second, weight * third), strict=True)]
    for made, expected in zip(extractor(image), sums, strict=True):
        torch.testing.assert_close(made, expected, **CLOSE)


def test_only_first_convolutions_are_dilated() -> None:
    for dilation, path in enumerate(smallest(MFEIF).extractor.paths, 1):
        assert [block[0].dilation[0] for block in path] == [dilation, 1, 1]


def test_attention_sees_the_image_and_its_edges() -> None:
    model, image = smallest(MFEIF), torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(model.attention(image), model.attention.layers(image + edge_image(image)))
    model = smallest(MFEIF, edges="central")
    torch.testing.assert_close(model.attention(image), model.attention.layers(image + central_edge_image(image)))


@pytest.mark.parametrize("skip", ["attention", "mean-min", "mean"])
@pytest.mark.parametrize("maps", [1, 10])
def test_an_image_fused_with_itself_is_its_reconstruction(skip: str, maps: int) -> None:
    model = smallest(MFEIF, skip=skip, attention_maps=maps).eval()
    image = pair_batch().views[:, 0]
    torch.testing.assert_close(model.combine(image, image), model.reconstruct(image), **CLOSE)


@pytest.mark.parametrize("skip", ["attention", "mean-min", "mean", "sum"])
def test_fusion_by_sources_is_a_weighted_mean(skip: str) -> None:
    model, batch = smallest(MFEIF, skip=skip).eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    weights = torch.softmax(torch.stack((model.attention(a), model.attention(b))), 0)
    features = [torch.stack(pair) for pair in zip(model.extractor(a), model.extractor(b), strict=True)]
    joined = []
    for pair in features[:2]:
        joined.append(
            {
                "attention": (weights.mean(2, keepdim=True) * pair).sum(0),
                "mean-min": torch.stack((*pair, pair.amin(0))).mean(0),
                "mean": pair.mean(0),
                "sum": pair.sum(0),
            }[skip]
        )
    joined.append((weights * features[2]).sum(0))
    torch.testing.assert_close(model.combine(a, b), model.constructor(joined), **CLOSE)


@pytest.mark.parametrize("gate", ["sigmoid", "none"])
def test_equation_3_as_printed(gate: str) -> None:
    model, batch = smallest(MFEIF, fusion="eq3", gate=gate, skip="mean-min").eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    shape = torch.sigmoid if gate == "sigmoid" else torch.Tensor.clone
    low, middle, deep = (torch.stack(pair) for pair in zip(model.extractor(a), model.extractor(b), strict=True))
    total = deep[0] * shape(model.attention(a)) + deep[1] * shape(model.attention(b))
    fused = total.exp() / total.exp().sum(1, keepdim=True)
    skips = [torch.stack((*pair, pair.amin(0))).mean(0) for pair in (low, middle)]
    torch.testing.assert_close(model.combine(a, b), model.constructor([*skips, fused]), **CLOSE)


def test_stage_one_loss_is_pixels_structure_and_least_squares() -> None:
    model, batch = smallest(MFEIF, pixel_weight=2, ssim_weight=3, adversarial_weight=0.5), pair_batch()
    images = torch.cat((batch.views[:, 0], batch.views[:, 1]))
    with torch.no_grad():
        made = model.reconstruct(images)
        verdicts = model.critic(torch.cat((images, made)))
    real, fake = verdicts[:4], verdicts[4:]
    critic = model.loss(batch, "critic", 0).total.detach()
    torch.testing.assert_close(critic, ((real - 1) ** 2).mean() + (fake**2).mean(), **CLOSE)
    generator = model.loss(batch, "generator", 0).total.detach()
    expected = content_loss(made, images, 2, 3).mean() + 0.5 * ((fake - 1) ** 2).mean()
    torch.testing.assert_close(generator, expected, **CLOSE)


@pytest.mark.parametrize("texture", sorted(TEXTURES))
def test_stage_two_loss_on_pairs(texture: str) -> None:
    model, batch = smallest(MFEIF, phase_steps=0, texture_weight=3, intensity_weight=2, texture=texture), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    fused = model.fuse(batch)  # in evaluation mode: stage 2 takes the frozen statistics
    expected = 3 * TEXTURES[texture](fused, a, b).mean() + 2 * intensity_loss(fused, a, b).mean()
    torch.testing.assert_close(model.loss(batch, "generator", 0).total.detach(), expected, **CLOSE)


@pytest.mark.parametrize("stage2", ["pairs", "corruption"])
def test_stage_two_moves_the_attention_alone(stage2: str) -> None:
    model, batch = smallest(MFEIF, phase_steps=0, stage2=stage2), pair_batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameter_groups()["generator"], 1e-2)
    model.loss(batch, "generator", 0).total.backward()
    optimizer.step()
    assert model.extractor.training
    for name, value in model.state_dict().items():
        if not name.startswith("attention"):
            assert torch.equal(value, before[name]), name
        elif "weight" in name:
            assert not torch.equal(value, before[name]), name


def test_the_critic_of_stage_two_has_nothing_to_learn() -> None:
    model = smallest(MFEIF, phase_steps=0)
    loss = model.loss(pair_batch(), "critic", 0)
    loss.total.backward()
    assert float(loss.total.detach()) == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("fusion", ["sources", "eq3"])
def test_two_steps_reach_every_parameter(fusion: str) -> None:
    model = smallest(MFEIF, fusion=fusion, phase_steps=1)
    for step in (0, 1):
        for group in ("critic", "generator"):
            model.loss(pair_batch(), group, step).total.backward()
    # no ReLU follows these two: they shift both images' logits alike, which a softmax over the images does not see
    unseen = ["attention.layers.8.bias", "attention.layers.9.bias"] if fusion == "sources" else []
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0 or name in unseen, name


def test_corruptions_complement_each_other_and_follow_the_seed() -> None:
    images = torch.rand(3, 1, 24, 20)
    one, other = complementary_corruptions(images, seed=1, step=5)
    sharp = one == images
    assert bool((sharp | (other == images)).all())
    for share in sharp.float().mean((1, 2, 3)):
        assert 0.1 < float(share) < 0.9
    flat = torch.full_like(images, 0.5)
    torch.testing.assert_close(complementary_corruptions(flat, 1, 5)[0], flat)
    again = complementary_corruptions(images, seed=1, step=5)
    assert torch.equal(again[0], one) and torch.equal(again[1], other)
    for seed, step in ((1, 6), (2, 5)):
        assert not torch.equal(complementary_corruptions(images, seed, step)[0], one)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"fusion": "eq4"}, "Unknown fusion of mfeif 'eq4'"),
        ({"skip": "max"}, "Unknown skip of mfeif"),
        ({"edges": "canny"}, "Unknown edges of mfeif"),
        ({"gate": "relu"}, "Unknown gate of mfeif"),
        ({"output": "tanh"}, "Unknown output of mfeif"),
        ({"stage2": "coco"}, "Unknown stage2 of mfeif"),
        ({"attention_maps": 2}, "attention_maps 1 or 10"),
        ({"widths": [4, 8]}, "four widths and three attention_widths, not .4, 8."),
    ],
)
def test_refuses_unknown_choices(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(MFEIF, **choice)


def test_public_code_output_is_not_negative() -> None:
    model = smallest(MFEIF, output="norm-relu", fusion="eq3", gate="none")
    made = model.reconstruct(pair_batch().views[:, 0]).detach().numpy()
    assert made.min() >= 0 and np.isfinite(made).all()


def test_tiny_preset_overfits_one_batch() -> None:
    """Both stages must move; how well it fuses is not a matter for 120 steps."""
    torch.manual_seed(0)
    model, batch = MFEIF(SPEC, **MFEIF.PRESETS["tiny"].model, phase_steps=80), pair_batch(4)
    history = learn(model, batch, steps=120, lr=3e-3)
    assert [terms["phase"] for terms in history] == [1] * 80 + [2] * 40
    assert history[79]["content"] < 0.5 * history[0]["content"]
    assert history[-1]["texture"] + history[-1]["intensity"] < history[80]["texture"] + history[80]["intensity"]


def test_pixels_depend_on_those_within_the_declared_radius() -> None:
    assert reach(smallest(MFEIF)) == smallest(MFEIF).receptive_radius == 15
    assert reach(smallest(MFEIF, **{**MFEIF.PUBLISHED.params, "attention_maps": 10})) <= 15


def layers(state: Mapping[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """The public inference code's network, by the names of the published file."""

    def block(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        x = F.conv2d(x, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], padding=dilation, dilation=dilation)
        values = (state[f"{name}.bn.{value}"] for value in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *values).relu()

    def extract(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stem, low, middle, deep = block("ext.conv_1", image), [], [], []
        for dilation, path in enumerate("abc", 1):
            low.append(block(f"ext.conv_{path}1", stem, dilation))
            middle.append(block(f"ext.conv_{path}2", low[-1]))
            deep.append(block(f"ext.conv_{path}3", middle[-1]))
        return low[0] + low[1] + low[2], middle[0] + middle[1] + middle[2], 0.1 * deep[0] + 0.1 * deep[1] + deep[2]

    def attend(image: Tensor) -> Tensor:
        def convolved(name: str, x: Tensor, dilation: int) -> Tensor:
            weights = state[f"att.{name}.weight"], state[f"att.{name}.bias"]
            return F.conv2d(x, *weights, padding=dilation, dilation=max(dilation, 1))

        kernel = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
        slopes = F.conv2d(padded, torch.stack((kernel, kernel.T))[:, None])
        x = image + F.max_pool2d(slopes.square().sum(1, keepdim=True).sqrt(), 3, 1, 1)
        for number in (1, 2, 3):
            x = convolved(f"conv_{number}.conv_2", convolved(f"conv_{number}.conv_1", x, 1).relu(), 2)
        return convolved("conv_4", x, 0)

    (low_a, middle_a, deep_a), (low_b, middle_b, deep_b) = extract(a), extract(b)
    x = block("con.conv_1", (deep_a * attend(a) + deep_b * attend(b)).softmax(1))
    x = block("con.conv_2", torch.cat((x, (middle_a + middle_b + torch.minimum(middle_a, middle_b)) / 3), 1))
    x = block("con.conv_3", torch.cat((x, (low_a + low_b + torch.minimum(low_a, low_b)) / 3), 1))
    return block("con.conv_4", x)


def test_published_weights_give_the_public_code(real_data: Path) -> None:
    states = published_files(MFEIF, real_data / "weights" / "MFEIF", "default.pth")
    model = with_published_weights(MFEIF, states)
    for stem in ("36", "08"):
        a, b = (image[..., :48, :64] for image in tno_pair(real_data, stem))
        with torch.no_grad():
            made, expected = model.combine(a, b), layers(flat_state(states[0]), a, b)
            torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)
            logits = model.attention(a)  # has no say in the image (see the card), so it is compared by itself
            others = model.attention.layers(a + central_edge_image(a))
        torch.testing.assert_close(logits, others, atol=1e-6, rtol=0)
