"""Oracle: the formulas, written as loops over heads, channels and pixels in float64 NumPy.

Tolerance 1e-5: float32 activations of order one, sums over a few dozen terms.
"""

import numpy as np
import pytest
import torch
from torch import nn

from fusionbench.models.pairs.restormer import (
    BaseBlock,
    ChannelNorm,
    CrossAttention,
    GatedFeedForward,
    RestormerBlock,
    TransposedAttention,
    channel_attention,
)


def looped_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    images, channels, height, width = q.shape
    per_head = channels // len(temperature)
    out = np.zeros_like(v)
    for n in range(images):
        for head, t in enumerate(temperature):
            own = range(head * per_head, (head + 1) * per_head)
            for i in own:
                scores = []
                for j in own:
                    product = sum(q[n, i, y, x] * k[n, j, y, x] for y in range(height) for x in range(width))
                    scores.append(t * product / np.sqrt((q[n, i] ** 2).sum()) / np.sqrt((k[n, j] ** 2).sum()))
                weights = np.exp(scores) / np.exp(scores).sum()
                out[n, i] = sum(weight * v[n, j] for weight, j in zip(weights, own, strict=True))
    return out


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_attention_equals_loops() -> None:
    q, k, v = (random(seed, 2, 6, 3, 5) for seed in range(3))
    temperature = torch.tensor([0.7, 3.0])
    expected = looped_attention(*(x.double().numpy() for x in (q, k, v, temperature)))
    np.testing.assert_allclose(channel_attention(q, k, v, temperature).numpy(), expected, atol=1e-5)


def test_attention_is_finite_on_constant_and_half_precision_features() -> None:
    zeros = torch.zeros(1, 4, 3, 3, requires_grad=True)
    out = channel_attention(zeros, zeros, zeros, torch.ones(2))
    out.sum().backward()
    assert torch.isfinite(out).all() and zeros.grad is not None and torch.isfinite(zeros.grad).all()

    q, k, v = (random(seed, 1, 4, 64, 64) for seed in range(3))
    exact = channel_attention(q, k, v, torch.ones(2))
    half = channel_attention(*((200 * x).half() for x in (q, k, v)), torch.ones(2))  # 64²·200² is far above 65504
    assert half.dtype == torch.half
    torch.testing.assert_close(half.float() / 200, exact, atol=5e-3, rtol=0)  # half of v alone is 1e-3


def test_channel_norm_equals_numpy() -> None:
    norm, x = ChannelNorm(5), random(0, 2, 5, 3, 4)
    with torch.no_grad():
        norm.weight.copy_(random(1, 5))
        norm.bias.copy_(random(2, 5))
    y = x.double().numpy()
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    y = y * norm.weight.detach().numpy()[:, None, None] + norm.bias.detach().numpy()[:, None, None]
    np.testing.assert_allclose(norm(x).detach().numpy(), y, atol=1e-5)


def test_gated_feed_forward_gates_with_the_first_half() -> None:
    layer = GatedFeedForward(2, 1.0)
    with torch.no_grad():
        layer.widen.weight.copy_(torch.eye(2).repeat(2, 1).view(4, 2, 1, 1))
        layer.local.weight.zero_()
        layer.local.weight[:, 0, 1, 1] = torch.tensor([1.0, 1.0, 2.0, 2.0])
        layer.project.weight.copy_(torch.eye(2).view(2, 2, 1, 1))
    x = random(0, 1, 2, 3, 3)
    torch.testing.assert_close(layer(x), nn.functional.gelu(x) * 2 * x)


def test_untrained_cross_attention_is_the_identity_and_can_learn() -> None:
    layer, x, other = CrossAttention(8, 2), random(0, 2, 8, 5, 4), random(1, 2, 8, 5, 4)
    assert torch.equal(layer(x, other), x)
    nn.init.normal_(layer.project.weight)
    assert not torch.allclose(layer(x, other), layer(x, other.flip(0)))
    layer(x, other).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_cross_attention_equals_loops() -> None:
    layer, x, other = CrossAttention(4, 2), random(0, 1, 4, 3, 3), random(1, 1, 4, 3, 3)
    nn.init.normal_(layer.project.weight)
    with torch.no_grad():
        q = layer.query(layer.norm(x))
        k, v = layer.key_value(layer.norm_other(other)).split(4, dim=1)
        attended = looped_attention(*(y.double().numpy() for y in (q, k, v, layer.temperature)))
        expected = x + layer.project(torch.from_numpy(attended).float())
        torch.testing.assert_close(layer(x, other), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("block", "count"), [(RestormerBlock(64, 8, 2), 45_256), (BaseBlock(64, 8), 363_016)])
def test_published_parameter_counts(block: nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in block.parameters()) == count


@pytest.mark.parametrize("block", [RestormerBlock(8, 2), BaseBlock(8, 4)])
@pytest.mark.parametrize("size", [(1, 1), (7, 12)])
def test_blocks_take_any_size_and_train(block: nn.Module, size: tuple[int, int]) -> None:
    x = random(0, 2, 8, *size)
    y = block(x)
    assert y.shape == x.shape
    block.zero_grad()
    y.square().sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_images_of_a_batch_do_not_meet() -> None:
    block, x = RestormerBlock(8, 2), random(0, 3, 8, 6, 5)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layer", [TransposedAttention, CrossAttention])
@pytest.mark.parametrize("heads", [0, 3])
def test_refuses_heads_that_do_not_divide(layer: type, heads: int) -> None:
    with pytest.raises(ValueError, match=f"8 channels cannot be split over {heads}"):
        layer(8, heads)
