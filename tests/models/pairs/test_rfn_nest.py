"""Oracles: the published size, the decoder's nodes and the residual fusion spelt out, the feature loss in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.losses import torch_ssim
from fusionbench.models.pairs.rfn_nest import NestDecoder, ResidualFusion, RFNNest
from tests.helpers.pairs import SPEC, depends_at, learn, pair_batch, smallest


def test_paper_size_is_the_smaller_of_the_published_ones() -> None:
    """7.52 M, layer by layer; the other figure in the literature is 10.9 M."""
    model = RFNNest(SPEC, **RFNNest.PRESETS["paper"].model)
    widths = [64, 112, 160, 208]

    def block(channels: int, out: int) -> int:
        half = channels // 2
        return 9 * channels * half + half + half * out + out

    encoder = 32 + sum(block(channels, out) for channels, out in zip([16, *widths[:-1]], widths, strict=True))
    decoder = 65
    for scale, depth in ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)):
        decoder += block(depth * widths[scale] + widths[scale + 1], widths[scale])
    fusion = sum(56 * width**2 + 6 * width for width in widths)  # 9·(1 + 1 + 2 + 1 + 1) + 2, and six biases
    counted = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder, model.fusion)]
    assert counted == [encoder, decoder, fusion] and sum(counted) == 7_524_249


def test_residual_fusion_is_shortcut_plus_deep_path() -> None:
    net, a, b = ResidualFusion(3), torch.rand(1, 3, 6, 5), torch.rand(1, 3, 6, 5)
    deep = net.deep[2](net.deep[1](net.deep[0](torch.cat((net.of_a(a), net.of_b(b)), 1))))
    assert torch.equal(net(a, b), net.shortcut(torch.cat((a, b), 1)) + deep)
    with torch.no_grad():
        net.deep[2][0].weight.zero_()
        net.deep[2][0].bias.zero_()
    assert torch.equal(net(a, b), net.shortcut(torch.cat((a, b), 1)))


def test_decoder_equals_its_nodes() -> None:
    decoder = NestDecoder((4, 6, 8, 10))
    x00, x10, x20, x30 = (torch.rand(1, width, 16 >> m, 8 >> m) for m, width in enumerate((4, 6, 8, 10)))

    def node(column: int, scale: int, *seen: torch.Tensor) -> torch.Tensor:
        *same, below = seen
        enlarged = below.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return decoder.columns[column - 1][scale](torch.cat((*same, enlarged), 1))

    x01, x11, x21 = node(1, 0, x00, x10), node(1, 1, x10, x20), node(1, 2, x20, x30)
    x02, x12 = node(2, 0, x00, x01, x11), node(2, 1, x10, x11, x21)
    x03 = node(3, 0, x00, x01, x02, x12)
    torch.testing.assert_close(decoder((x00, x10, x20, x30)), decoder.output(x03))


def test_encoder_halves_by_maxima() -> None:
    encoder, image = smallest(RFNNest).encoder, torch.rand(1, 1, 16, 24)
    features = encoder(image)
    assert [tuple(maps.shape[1:]) for maps in features] == [(4, 16, 24), (6, 8, 12), (8, 4, 6), (10, 2, 3)]
    blocks = features[0].unfold(2, 2, 2).unfold(3, 2, 2).amax((-2, -1))
    torch.testing.assert_close(features[1], encoder.blocks[1](blocks))


def test_stage_2_trains_the_fusion_alone_and_stage_1_the_rest() -> None:
    model, batch = smallest(RFNNest, phase_steps=1), pair_batch()
    for step, trained in ((0, {"encoder", "decoder"}), (1, {"fusion"})):
        model.zero_grad(set_to_none=True)
        model.loss(batch, "main", step).total.backward()
        assert {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None} == trained


def test_feature_loss_as_printed() -> None:
    """With Φ = nine times the fused features: Σ w_m mean (Φ − (6 Φ_a + 3 Φ_b))², on grey levels."""
    model, batch = smallest(RFNNest, phase_steps=0), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    with torch.no_grad():
        of_a, of_b = model.encoder(a), model.encoder(b)
        fused = [9 * maps for maps in model.fused_features(of_a, of_b)]
        image = model.combine(a, b)
    expected = sum(
        weight * np.mean((255 * (f.numpy() - 6 * x.numpy() - 3 * y.numpy())) ** 2)
        for weight, f, x, y in zip((1, 10, 100, 1000), fused, of_a, of_b, strict=True)
    )
    terms = model.loss(batch, "main", 0)
    assert float(terms.log["feature"]) == pytest.approx(float(expected), rel=1e-4)
    detail = float((1 - torch_ssim(image, b)).mean())
    assert float(terms.log["detail"]) == pytest.approx(detail, rel=1e-4)
    assert float(terms.total.detach()) == pytest.approx(float(expected) + 700 * detail, rel=1e-4)


def test_other_sizes_are_mirrored_and_cropped() -> None:
    model, image = smallest(RFNNest).eval(), torch.rand(1, 1, 13, 18)
    whole = F.pad(image, (0, 6, 0, 3), mode="reflect")
    assert torch.equal(model.combine(image, image), model.combine(whole, whole)[..., :13, :18])
    assert torch.equal(model.reconstruct(image), model.reconstruct(whole)[..., :13, :18])


def test_receptive_radius() -> None:
    """The farthest of the eight positions on the grid of the coarsest scale: pixel 8k + 1 sees 53 to its right."""
    radius = RFNNest.receptive_radius or 0
    assert depends_at(smallest(RFNNest), range(radius, radius + 1), 57, 112)
    for pixel in (56, 57):
        assert not depends_at(smallest(RFNNest), range(radius + 1, 99), pixel, 112)


def test_ten_steps_lower_the_loss_of_either_stage() -> None:
    torch.manual_seed(0)
    model = RFNNest(SPEC, **RFNNest.PRESETS["tiny"].model, phase_steps=11)
    history = learn(model, pair_batch(1), steps=22, lr=3e-3)
    assert [terms["phase"] for terms in history] == [1] * 11 + [2] * 11
    assert history[10]["pixel"] < 0.9 * history[0]["pixel"]
    assert history[-1]["feature"] < 0.9 * history[11]["feature"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"widths": [4, 8]}, "4 widths and scale_weights, not .4, 8."),
        ({"scale_weights": [1.0]}, "4 widths and scale_weights"),
        ({"a_weight": -1.0}, "a_weight=-1 and b_weight=3"),
        ({"a_weight": 0.0, "b_weight": 0.0}, "one must be positive"),
        ({"stem": 0}, "stem=0"),
    ],
)
def test_refuses_wrong_parameters(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(RFNNest, **choice)
