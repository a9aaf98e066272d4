"""The decoder tower of the baselines: its cells, the resolutions of its blocks, and how skips join."""

from __future__ import annotations

import torch
from torch import nn

from fusionbench.models.vae.base import _post_processing
from fusionbench.models.vae.baselines import CHANNELS, NOTES, BaselineConfig, Decoder
from fusionbench.models.vae.cells import DecoderCell
from fusionbench.models.vae.encoder import Shape

SHAPE = Shape(channels=2, groups=(3, 2), cells=2, blocks=1, block_cells=2)


def parts() -> tuple[Decoder, nn.Sequential]:
    torch.manual_seed(0)
    return Decoder(SHAPE).eval(), _post_processing(SHAPE).eval()


def test_the_tower_has_the_cells_of_fusionvae_without_its_first_group() -> None:
    """Coarsest scale first: two groups less the first, of two cells each, then three groups."""
    decoder, post = parts()
    assert [len(scale) for scale in decoder.scales] == [(2 - 1) * 2, 3 * 2]
    assert len(decoder.ups) == 1
    cells = [cell for cell in post if isinstance(cell, DecoderCell)]
    assert [cell.up for cell in cells] == [True, False]


def test_a_state_is_decoded_to_full_size() -> None:
    decoder, post = parts()
    state = torch.randn(3, SHAPE.top, 2, 2)
    with torch.no_grad():
        found = decoder(state, post, [], torch.ones(3, dtype=torch.bool))
        expected = post(decoder.scales[1](decoder.ups[0](decoder.scales[0](state))))
    assert found.shape == (3, SHAPE.channels, 8, 8)
    torch.testing.assert_close(found, expected)


def test_skips_join_by_the_maximum_before_every_resolution() -> None:
    """Written out: 2×2, 4×4 and 8×8, and at full size after the last block; only where a sample has views."""
    decoder, post = parts()
    state = torch.randn(2, SHAPE.top, 2, 2)
    skips = [torch.randn(2, 8, 2, 2), torch.randn(2, 4, 4, 4), torch.randn(2, 2, 8, 8)]
    has_views = torch.tensor([True, False])
    with torch.no_grad():
        found = decoder(state, post, skips, has_views)
        x = decoder.scales[0](torch.maximum(state, skips[0]))
        x = decoder.scales[1](torch.maximum(decoder.ups[0](x), skips[1]))
        expected = torch.maximum(post(x), skips[2])
        plain = decoder(state, post, [], has_views)
    torch.testing.assert_close(found[:1], expected[:1])
    torch.testing.assert_close(found[1:], plain[1:])
    assert not torch.allclose(found[:1], plain[:1])


def test_what_both_baselines_share() -> None:
    assert BaselineConfig().skips is None and set(BaselineConfig.__struct_fields__) >= {"skips", "latents", "channels"}
    assert CHANNELS == (9, 34) and len(NOTES) == 3
