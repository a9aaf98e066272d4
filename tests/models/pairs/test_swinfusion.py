"""Oracles: the published size, attention as loops over pixels and heads, measured reach, SSIM of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.swinfusion import CrossedBlock, SwinFusion, WindowAttention, WindowBlock
from tests.helpers.pairs import SPEC, learn, pair_batch, smallest


def looped_attention(layer: WindowAttention, x: Tensor, source: Tensor) -> np.ndarray:
    """(H,W,C) in float64: every pixel attends to those of its window, one after another."""
    height, width, channels = x.shape
    q, k, v = layer.query(x), *layer.key_value(source).chunk(2, -1)
    out, each = np.zeros((height, width, channels)), channels // layer.heads
    pixels = [(row, column) for row in range(height) for column in range(width)]

    def window(place: tuple[int, int]) -> tuple[int, int]:
        return (place[0] - layer.shift) // layer.window, (place[1] - layer.shift) // layer.window

    for place in pixels:
        seen = [other for other in pixels if window(other) == window(place)]
        for head in range(layer.heads):
            own = slice(head * each, (head + 1) * each)
            scores = []
            for other in seen:
                down, across = (place[axis] - other[axis] + layer.window - 1 for axis in (0, 1))
                bias = layer.bias[down * (2 * layer.window - 1) + across, head]
                scores.append(float(q[place][own] @ k[other][own]) / each**0.5 + float(bias))
            weights = np.exp(scores) / np.exp(scores).sum()
            out[place][own] = sum(w * v[o][own].numpy() for w, o in zip(weights, seen, strict=True))
    return layer.project(torch.from_numpy(out)).numpy()


@pytest.mark.parametrize(("window", "shift", "size"), [(3, 0, (6, 3)), (3, 1, (6, 9)), (4, 2, (8, 4)), (2, 1, (2, 2))])
@torch.no_grad()
def test_attention_is_that_of_loops(window: int, shift: int, size: tuple[int, int]) -> None:
    """Shifted windows leave narrow ones at the edges, whose pixels do not see those of the opposite edge."""
    torch.manual_seed(1)
    layer = WindowAttention(4, 2, window, shift).double()
    torch.nn.init.normal_(layer.bias)
    x, source = torch.randn(2, 2, *size, 4, dtype=torch.float64)
    made = layer(x, source)
    for number in range(2):
        np.testing.assert_allclose(made[number], looped_attention(layer, x[number], source[number]), atol=1e-12)


@torch.no_grad()
def test_blocks_ask_with_their_own_features_and_answer_with_the_others() -> None:
    torch.manual_seed(2)
    block = CrossedBlock(4, 2, 2, 2, 1).double()
    x, y = torch.randn(2, 1, 4, 6, 4, dtype=torch.float64)

    def spelt_out(part: WindowBlock, own: Tensor, normed: Tensor, other: Tensor) -> Tensor:
        own = own + torch.from_numpy(looped_attention(part.attention, normed[0], other[0]))
        inner = part.widen(part.norm2(own))
        return own + part.narrow(inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))

    of_x, of_y = block.a.norm1(x), block.b.norm1(y)
    fused = block(x, y)
    torch.testing.assert_close(fused[0], spelt_out(block.a, x, of_x, of_y))
    torch.testing.assert_close(fused[1], spelt_out(block.b, y, of_y, of_x))
    torch.testing.assert_close(block.a(x), spelt_out(block.a, x, of_x, of_x))


def test_published_size() -> None:
    """973,681 from the options of the public code: 60 channels, 6 heads, windows of 8, 24 + 4 · 2 blocks' weights."""
    width, hidden, table = 60, 120, 15 * 15 * 6
    attention = 4 * (width * width + width) + table
    block = attention + 2 * 2 * width + (width * hidden + hidden) + (hidden * width + width)

    def convolution(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs

    blocks = 2 * 4 + 2 * (2 * 2 + 2 * 2) + 4  # own, met twice by themselves and crossed, final
    norms = 1 + 2 + 2 + 1
    layers = [(1, 30), (30, 60), (120, 60), (60, 30), (30, 15), (15, 1)]
    applied = blocks * block + norms * 2 * width + sum(convolution(*layer) for layer in layers)
    never_applied = convolution(1, 30) + convolution(30, 30)
    assert applied + never_applied == 973_681
    model = SwinFusion(SPEC)
    assert sum(parameter.numel() for parameter in model.parameters()) == applied == 965_251


@torch.no_grad()
def test_the_parts_are_joined_in_order() -> None:
    """Without any block: shared convolutions, normalisations, the joining layer and three behind it."""
    model = smallest(SwinFusion, blocks=0, stages=0, final_blocks=0).eval()
    for number, norm in enumerate([model.enter, *model.own_norms, *model.norms, model.final[-1]]):
        torch.nn.init.constant_(norm.bias, 0.1 * number)
    a, b = torch.rand(2, 1, 1, 8, 12)

    def conv(layer: torch.nn.Conv2d, x: Tensor, slope: float = 0.2) -> Tensor:
        return F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, padding=1), slope)

    def norm(layer: torch.nn.LayerNorm, x: Tensor) -> Tensor:
        mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt()
        return x * layer.weight.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)

    sides = []
    for side, image in enumerate((a, b)):
        x = norm(model.enter, conv(model.second, conv(model.first, image)))
        sides.append(norm(model.norms[side], norm(model.enter, norm(model.own_norms[side], x))))
    x = norm(model.final[-1], norm(model.enter, conv(model.join, torch.cat(sides, 1))))
    wanted = conv(model.output[2], conv(model.output[1], conv(model.output[0], x)), slope=1)
    torch.testing.assert_close(model.combine(a, b), wanted, atol=1e-5, rtol=1e-5)


SMALL = [
    {},
    {"window": 5, "blocks": 2, "stage_blocks": 1},
    {"window": 2, "stages": 2, "stage_blocks": 1, "final_blocks": 3},
    {"window": 4, "blocks": 0, "stages": 0, "final_blocks": 0},
]


@pytest.mark.parametrize("parameters", SMALL)
def test_a_pixel_depends_on_others_as_far_as_is_said(parameters: dict) -> None:
    """The farthest dependence over all places in a window, by gradients: neither more nor less than is declared."""
    model = smallest(SwinFusion, **parameters).double().eval()
    window = model.config.window
    middle = -(-model.receptive_radius // window) * window
    size, farthest = 2 * middle + 2 * window, 0
    for place in range(window):
        a, b = (torch.rand(1, 1, size, size, dtype=torch.float64, requires_grad=True) for _ in range(2))
        model.combine(a, b)[0, 0, middle + place, middle + place].backward()
        for image in (a, b):
            assert image.grad is not None
            where = image.grad[0, 0].nonzero() - middle - place
            farthest = max(farthest, int(where.abs().max()))
    assert farthest == model.receptive_radius


def test_paper_sees_72_pixels_far_and_counts_windows_of_8() -> None:
    """8 − 1 pixels of the first window, half a window for each of 15 more, five 3×3 layers outside the windows."""
    model = SwinFusion(SPEC)
    assert (model.receptive_radius, model.tile_multiple) == (7 + 15 * 4 + 2 + 3, 8)


@torch.no_grad()
def test_parts_that_begin_with_a_window_are_fused_alike() -> None:
    model = smallest(SwinFusion).double().eval()
    radius, window = model.receptive_radius, model.tile_multiple
    a, b = torch.rand(2, 1, 1, 3 * window + radius + 9, 3 * window + radius + 9, dtype=torch.float64)
    whole = model.combine(a, b)[..., 2 * window + radius :, 2 * window + radius :]
    for begin, same in ((2 * window, True), (2 * window - 1, False)):
        part = model.combine(a[..., begin:, begin:], b[..., begin:, begin:])
        part = part[..., 2 * window + radius - begin :, 2 * window + radius - begin :]
        assert torch.allclose(part, whole, atol=1e-12) == same


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 9), (17, 2)])
def test_any_size(size: tuple[int, int]) -> None:
    """Beyond the edge an image goes on as its mirror image."""
    model, batch = smallest(SwinFusion), pair_batch(1, *size)
    fused = model.fuse(batch)
    padding = [(0, 0), (0, 0), (0, -size[0] % 4), (0, -size[1] % 4)]
    a, b = (torch.from_numpy(np.pad(batch.views[:, view].numpy(), padding, mode="reflect")) for view in (0, 1))
    with torch.no_grad():
        wanted = model.combine(a, b)[..., : size[0], : size[1]].clamp(0, 1)
    assert tuple(fused.shape[2:]) == size
    torch.testing.assert_close(fused, wanted, atol=1e-6, rtol=0)


def test_loss_is_structure_slopes_and_intensities() -> None:
    model = smallest(SwinFusion, structure_weight=3.0, texture_weight=5.0, intensity_weight=7.0).eval()
    batch = pair_batch()
    a, b = (batch.views[:, view, 0].numpy().astype(float) for view in (0, 1))
    with torch.no_grad():
        fused = model.combine(batch.views[:, 0], batch.views[:, 1])[:, 0].numpy().astype(float)

    def slopes(image: np.ndarray) -> np.ndarray:
        return np.abs(ndimage.sobel(image, 0, mode="nearest")) + np.abs(ndimage.sobel(image, 1, mode="nearest"))

    def similarity(x: np.ndarray, y: np.ndarray) -> float:
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        return float(structural_similarity(x, y, full=True, **options)[1][5:-5, 5:-5].mean())

    wanted = []
    for x, y, f in zip(a, b, fused, strict=True):
        share = slopes(x).mean() / (slopes(x).mean() + slopes(y).mean())
        structure = 1 - share * similarity(f, x) - (1 - share) * similarity(f, y)
        texture = np.abs(slopes(f) - np.maximum(slopes(x), slopes(y))).mean()
        wanted.append(3 * structure + 5 * texture + 7 * np.abs(f - np.maximum(x, y)).mean())
    assert model.loss(batch, "main", 0).total.item() == pytest.approx(np.mean(wanted), rel=1e-4)


def test_flat_pairs_have_a_loss_and_gradients() -> None:
    model, batch = smallest(SwinFusion), pair_batch()
    batch.views.fill_(0.5)
    total = model.loss(batch, "main", 0).total
    total.backward()
    assert torch.isfinite(total) and all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_ten_steps_lower_the_loss_and_reach_every_weight() -> None:
    model, batch = smallest(SwinFusion), pair_batch(2, 16, 16)
    before = model.loss(batch, "main", 0).total
    before.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    learn(model, batch, steps=10, lr=1e-2)
    assert model.loss(batch, "main", 10).total.item() < 0.8 * before.item()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [({"width": 10, "heads": 5}, "multiple of 4"), ({"width": 8, "heads": 3}, "3 heads"), ({"window": 1}, "one pixel")],
)
def test_sizes_that_do_not_fit_are_refused(parameters: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        SwinFusion(SPEC, **parameters)
