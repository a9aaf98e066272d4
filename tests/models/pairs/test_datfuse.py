"""Oracles: the published size, the layers by their published names with the attention in full, the losses spelt out.

Tolerance 1e-5 where sums are made in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.datfuse import DATFuse, OneTokenBlock, mean_slope_loss
from fusionbench.models.pairs.losses import texture_loss, torch_ssim
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


# queries and keys of two blocks, their position biases, and a normalisation of patches that nothing makes
WITHOUT_EFFECT = 2 * (2 * 16 * 16 + 2 * 16) + 2 * 8 + 2 * 96


def test_published_size_less_what_has_no_effect() -> None:
    model = DATFuse(SPEC)
    assert sum(parameter.numel() for parameter in model.parameters()) == 10_760 - WITHOUT_EFFECT == 9_464


def attend(block: Mapping[str, Tensor], tokens: Tensor, heads: int) -> Tensor:
    """A transformer block with window attention in full, for windows of one token: tokens (T,C)."""
    width = tokens.shape[-1]
    normed = F.layer_norm(tokens, (width,), block["norm1.weight"], block["norm1.bias"])
    q, k, v = F.linear(normed, block["qkv.weight"], block["qkv.bias"]).view(-1, 1, 3, heads, width // heads).unbind(2)
    scores = torch.einsum("tihc,tjhc->thij", q, k) * (width // heads) ** -0.5 + block["position_bias"].view(-1, 1, 1)
    attended = torch.einsum("thij,tjhc->tihc", scores.softmax(-1), v).reshape(-1, width)
    tokens = tokens + F.linear(attended, block["project.weight"], block["project.bias"])
    normed = F.layer_norm(tokens, (width,), block["norm2.weight"], block["norm2.bias"])
    hidden = F.gelu(F.linear(normed, block["widen.weight"], block["widen.bias"]))
    return tokens + F.linear(hidden, block["narrow.weight"], block["narrow.bias"])


def test_a_block_equals_attention_over_windows_of_one_token() -> None:
    torch.manual_seed(0)
    block, tokens = OneTokenBlock(8, 3), torch.randn(7, 8)
    state = block.state_dict() | {"position_bias": torch.randn(1, 4)}
    for kind in ("weight", "bias"):
        value = block.state_dict()[f"value.{kind}"]
        state[f"qkv.{kind}"] = torch.cat((torch.randn(16, *value.shape[1:]), value))
    torch.testing.assert_close(block(tokens), attend(state, tokens, 4), **CLOSE)


def test_raster_tokens_are_neighbours_along_the_rows() -> None:
    """Every block multiplies a token's first entry by ten: with 8 channels that is every eighth pixel of a channel."""
    model = smallest(DATFuse)
    model.blocks = torch.nn.Sequential(_TenTimesTheFirst())
    x = torch.ones(1, 8, 3, 8)
    assert model._transform(x)[0, 5].tolist() == [[10.0] + [1.0] * 7] * 3
    model = smallest(DATFuse, tokens="pixels")
    model.blocks = torch.nn.Sequential(_TenTimesTheFirst())
    made = model._transform(x)
    assert torch.equal(made[:, :1], 10 * x[:, :1]) and torch.equal(made[:, 1:], x[:, 1:])


class _TenTimesTheFirst(torch.nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat((10 * tokens[..., :1], tokens[..., 1:]), -1)


@pytest.mark.parametrize("gradient", ["pixels", "mean"])
def test_loss_is_pixels_structure_and_slopes(gradient: str) -> None:
    weights = {"pixel_weight": 3, "structure_weight": 5, "gradient_weight": 7}
    model, batch = smallest(DATFuse, gradient=gradient, **weights).eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    fused = model.combine(a, b)
    slopes = texture_loss(fused, a, b).mean() if gradient == "pixels" else mean_slope_loss(fused, a, b)
    expected = 3 * (F.mse_loss(fused, a) + F.mse_loss(fused, b)) + 7 * slopes
    expected += 5 * (1 - torch_ssim(fused, torch.maximum(a, b))).mean()
    torch.testing.assert_close(model.loss(batch, "main", 0).total, expected, **CLOSE)


def test_mean_slopes_keep_their_signs() -> None:
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    images = torch.rand(3, 2, 1, 6, 7)
    means = []
    for image in images:
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
        both = F.conv2d(padded, kernel[None, None]) + F.conv2d(padded, kernel.T[None, None])
        means.append(both.mean())
    expected = (means[0] - max(means[1:])).abs()
    torch.testing.assert_close(mean_slope_loss(*images), expected, **CLOSE)
    checks = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(4, 4)[None, None]
    assert float(mean_slope_loss(torch.zeros_like(checks), checks, checks)) < 1e-6  # it cannot see a chequerboard


def test_training_comes_closer_to_the_target() -> None:
    torch.manual_seed(0)
    history = learn(DATFuse(SPEC, **DATFuse.PRESETS["tiny"].model), pair_batch(2), steps=15, lr=1e-2)
    assert history[-1]["gradient"] < 0.9 * history[0]["gradient"]
    assert history[-1]["structure"] < history[0]["structure"]


def test_every_pixel_depends_on_the_whole_image() -> None:
    assert DATFuse.receptive_radius is None
    assert reach(smallest(DATFuse), size=31) == 15


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"tokens": "rows"}, "Unknown tokens of datfuse 'rows'"),
        ({"gradient": "sum"}, "Unknown gradient of datfuse"),
        ({"reduction": 9}, "reduction=9 leaves nothing of 8 channels"),
    ],
)
def test_refuses_unknown_choices(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(DATFuse, **choice)


def layers(state: Mapping[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """The network by the names of the published file."""

    def convolved(name: str, x: Tensor, padding: int = 0) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    def normed(name: str, x: Tensor) -> Tensor:
        moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"])

    def edged(x: Tensor, by: int) -> Tensor:
        return F.pad(x, (by,) * 4, mode="replicate")

    def features(x: Tensor) -> Tensor:
        x = normed("fem.bn", convolved("fem.conv", edged(x, 1))).relu()
        return normed("fem.bn", convolved("fem.conv", edged(x, 1)))

    def weighted(x: Tensor) -> Tensor:
        channels = convolved("cam.fc.2", convolved("cam.fc.0", F.adaptive_avg_pool2d(x, 1)).relu()).sigmoid()
        places = normed("sam.body.1", convolved("sam.body.0", x, 1)).relu()
        return x * channels + x * normed("sam.body.4", convolved("sam.body.3", places, 1)).sigmoid()

    first = normed("convolutional.bn", convolved("convolutional.conv", edged(torch.cat((a, b), 1), 2))).relu()
    encoded = (weighted(features(first)) + first).relu()
    tokens = encoded.reshape(-1, 16)
    ours = {"attn.qkv": "qkv", "attn.proj": "project", "mlp.fc1": "widen", "mlp.fc2": "narrow"}
    for number in range(2):
        prefix = f"basicLayer.blocks.{number}."
        block = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        for theirs, our in ours.items():
            block |= {f"{our}.{kind}": block[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
        tokens = attend(block | {"position_bias": block["attn.relative_position_bias_table"]}, tokens, 8)
    features_of_tokens = features(tokens.view(encoded.shape))
    return convolved("convolutional_out.conv", weighted(features_of_tokens) + features_of_tokens).tanh()


def test_published_weights_give_the_published_layers(real_data: Path) -> None:
    states = published_files(DATFuse, real_data / "weights" / "DATFuse", "model_10.pth")
    learned = {key: value for key, value in states[0].items() if value.is_floating_point() and "running" not in key}
    assert sum(value.numel() for value in learned.values()) == 10_760
    model = with_published_weights(DATFuse, states)
    for stem, width in (("36", 160), ("08", 157)):  # rows of tokens that end with the image's, and that do not
        a, b = (image[..., :120, :width] for image in tno_pair(real_data, stem))
        with torch.no_grad():
            made, expected = model.combine(a, b), layers(states[0], a, b)
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
        assert float(made.min()) > 0
        # it shows both: it correlates with the mean of its sources more than either source does with the other
        stack = torch.stack([x.flatten() for x in (made, (a + b) / 2, a, b)])
        correlation = torch.corrcoef(stack)
        assert correlation[0, 1] > 0.8 and correlation[0, 1] > correlation[2, 3]
