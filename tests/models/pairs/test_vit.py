"""Oracle: torch.nn.TransformerEncoderLayer with the same weights (tolerance 1e-5, float32 sums in another order)."""

import pytest
import torch
from torch import nn

from fusionbench.models.pairs.vit import PatchTransformer, TransformerBlock


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_block_equals_torch_encoder_layer() -> None:
    block = TransformerBlock(12, heads=3)
    peer = nn.TransformerEncoderLayer(12, 3, 48, dropout=0, activation="gelu", batch_first=True, norm_first=True)
    for name, parameter in block.named_parameters():
        nn.init.normal_(parameter, std=0.3)
        mine = {"qkv": "self_attn.in_proj", "project": "self_attn.out_proj", "widen": "linear1", "narrow": "linear2"}
        layer, kind = name.split(".")
        separator = "_" if layer == "qkv" else "."
        peer.get_parameter(f"{mine.get(layer, layer)}{separator}{kind}").data.copy_(parameter.data)
    tokens = random(0, 2, 7, 12)
    torch.testing.assert_close(block(tokens), peer(tokens), atol=1e-5, rtol=1e-5)


def test_published_size() -> None:
    assert sum(parameter.numel() for parameter in PatchTransformer(64).parameters()) == 5_326_592


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (13, 22), (40, 24)])
def test_takes_any_size_and_reaches_all_parameters(size: tuple[int, int]) -> None:
    branch = PatchTransformer(4, width=16, blocks=2, heads=2, patch=4, grid=3)
    x = random(0, 2, 4, *size)
    y = branch(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    for name, parameter in branch.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_patches_come_back_where_they_were() -> None:
    """With an identity embedding and no blocks, patch p is changed by the layer norm of its own pixels alone."""
    branch = PatchTransformer(1, width=4, blocks=0, heads=1, patch=2, grid=2)
    with torch.no_grad():
        branch.embed.weight.copy_(torch.eye(4).view(4, 1, 2, 2))
        branch.embed.bias.zero_()
        branch.positions.zero_()
        branch.unembed.weight.copy_(torch.eye(4))
        branch.unembed.bias.zero_()
    x = random(0, 1, 1, 4, 6)
    expected = torch.empty_like(x)
    for row in range(0, 4, 2):
        for column in range(0, 6, 2):
            patch = x[0, 0, row : row + 2, column : column + 2]
            centred = patch - patch.mean()
            expected[0, 0, row : row + 2, column : column + 2] = centred / (patch.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(branch(x), expected, atol=1e-5, rtol=1e-5)


def test_positions_tell_equal_patches_apart() -> None:
    branch = PatchTransformer(1, width=8, blocks=1, heads=2, patch=4, grid=2)
    out = branch(torch.ones(1, 1, 16, 16))
    assert not torch.allclose(out[..., :4, :4], out[..., -4:, -4:])
