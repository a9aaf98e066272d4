"""SwinFusion: window attention within each image, and from each image to the other, without any subsampling.

Reference: Ma, Tang, Fan, Huang, Mei, Ma, "SwinFusion: Cross-domain Long-range Learning for General Image Fusion via
Swin Transformer", IEEE/CAA Journal of Automatica Sinica 9(7), 2022; the blocks are those of Liu et al., "Swin
Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021.

    infrared ─ 3×3 (30) ─ 3×3 (60) ─ 4 blocks ─┐ 2 × { 2 blocks ─┐ 2 crossed blocks } ─┐
                  (same weights)               │               ╳ │                     ├ 3×3 (60) ─ 4 blocks ─┐
    visible ── 3×3 (30) ─ 3×3 (60) ─ 4 blocks ─┘     { 2 blocks ─┘                   } ─┘                     │
                                                                fused ◄─ 3×3 (1) ─ 3×3 (15) ─ 3×3 (30) ───────┘

    block      x + attention(norm x), then + MLP(norm ·), in windows of 8×8 pixels; every second block's windows are
               shifted by 4. A crossed block asks with one image's features and answers with the other's, both ways.

The paper's text was not at hand: layers, sizes, losses and schedule are those of the public code
(Linfeng-Tang/SwinFusion), whose weights were not at hand either. Where this differs from that code:

* It has two convolutions that it never applies, 8,430 weights: both images pass the first pair. Without them the model
  has 965,251 of its 973,681 weights.
* Images are mirrored out to whole windows, without the edge pixel. The public script repeats the edge and always adds
  pixels, up to one whole window.
* Its loss has a fourth term, the total variation of the difference from the brighter image: about a thousandth of the
  loss in the authors' record of training. It is left out, as is the random omission of blocks in training.
* The last layer's bias begins at 0.5, so that the first fused images are grey and not black.
* Gradients of the loss repeat the outermost pixels, where the public code pads with zeros, and the slopes that weigh
  the two similarities are those of each pair, not of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.core.types import LossTerms, Preset
from fusionbench.models.config import Count, Positive
from fusionbench.models.pairs.base import PairConfig, PairModel
from fusionbench.models.pairs.losses import intensity_loss, sobel_magnitude, texture_loss, torch_ssim
from fusionbench.models.pairs.padding import pad_to_multiple
from fusionbench.models.precision import at_least_float32

_SLOPE = 0.2  # of leaky ReLUs
_DEVIATION = 0.02  # of first weights; the authors cut them at 2, a hundred deviations, which cuts nothing
CONVOLUTIONS = (2, 1, 3)  # 3×3 layers before, between and behind the blocks


class SwinFusionConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of SwinFusion.

    Attributes:
        width, heads, expansion: channels, attention heads and the widening of the blocks' MLPs.
        window: side of the windows in pixels; every second block shifts them by half of it.
        blocks: of each image by itself.
        stages, stage_blocks: how often the images meet, and blocks and crossed blocks each time.
        final_blocks: of the fused features.
        structure_weight: of 1 − SSIM, weighted between the images by their mean slopes.
        texture_weight: of the distance of slopes from the steeper image's.
        intensity_weight: of the distance from the brighter image.

    Raises:
        UsageError: a width that its heads, or the last layers, do not divide; windows of one pixel.
    """

    model: ClassVar[str] = "swinfusion"
    width: Positive = 60
    heads: Positive = 6
    expansion: Positive = 2
    window: Positive = 8
    blocks: Count = 4
    stages: Count = 2
    stage_blocks: Count = 2
    final_blocks: Count = 4
    structure_weight: float = 10.0
    texture_weight: float = 20.0
    intensity_weight: float = 20.0

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 4:
            raise UsageError(f"swinfusion: width={self.width} is no multiple of 4 and of its {self.heads} heads")
        if self.window < 2:
            raise UsageError("swinfusion: a window of one pixel attends to nothing else; use 2 or more")

    def shifts(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The windows' shifts on the way of each image, where they meet, and of the fused features, in order."""
        stage = 2 * _alternating(self.stage_blocks, self.window)
        return (
            _alternating(self.blocks, self.window),
            self.stages * stage,
            _alternating(self.final_blocks, self.window),
        )


def _alternating(blocks: int, window: int) -> tuple[int, ...]:
    """Shifts of successive blocks: none, half a window, none, …"""
    return tuple(window // 2 if number % 2 else 0 for number in range(blocks))


class WindowAttention(nn.Module):
    """Attention of (N,H,W,C) to another (N,H,W,C), or to itself, inside windows; H and W are multiples of the window.

    Shifted windows begin ``shift`` pixels later; what remains before the first and behind the last of them are narrower
    windows. Scores get a learned bias for each head and relative position.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.normal_(self.bias, std=_DEVIATION)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        window = self.window
        if self.shift:
            # narrow windows of opposite edges share a whole one, and do not see each other
            x, source = (torch.roll(maps, (-self.shift, -self.shift), (1, 2)) for maps in (x, source))
        q, k, v = (self._windows(maps) for maps in (self.query(x), *self.key_value(source).chunk(2, -1)))
        rows, columns = q.shape[1:3]
        bias = self._bias()
        if self.shift:
            parts = [
                torch.cat(
                    [
                        self._attend(q[:, top, left], k[:, top, left], v[:, top, left], bias, lowest, rightmost)
                        for left, rightmost in ((slice(0, columns - 1), False), (slice(columns - 1, columns), True))
                    ],
                    2,
                )
                for top, lowest in ((slice(0, rows - 1), False), (slice(rows - 1, rows), True))
            ]
            attended = torch.cat(parts, 1)
        else:
            attended = self._attend(q, k, v, bias, False, False)
        # (N,rows,columns,heads,tokens,d) to (N,H,W,C)
        attended = attended.unflatten(4, (window, window)).permute(0, 1, 4, 2, 5, 3, 6)
        attended = attended.reshape(x.shape)
        if self.shift:
            attended = torch.roll(attended, (self.shift, self.shift), (1, 2))
        result: Tensor = self.project(attended)
        return result

    def _windows(self, maps: Tensor) -> Tensor:
        """(N,H,W,C) to (N, rows, columns of windows, heads, tokens, channels of a head)."""
        count, height, width, channels = maps.shape
        window, heads = self.window, self.heads
        maps = maps.view(count, height // window, window, width // window, window, heads, channels // heads)
        return maps.permute(0, 1, 3, 5, 2, 4, 6).flatten(4, 5)

    def _bias(self) -> Tensor:
        """(heads, tokens, tokens): the table's entry for the position of the query relative to the key."""
        place = torch.arange(self.window, device=self.bias.device)
        apart = place[:, None] - place + self.window - 1
        index = apart[:, None, :, None] * (2 * self.window - 1) + apart[None, :, None, :]
        tokens = self.window**2
        return self.bias[index.reshape(-1)].view(tokens, tokens, self.heads).permute(2, 0, 1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, lowest: bool, rightmost: bool) -> Tensor:
        """Attention in each of the windows (N,rows,columns,heads,tokens,d), which may hold both edges of an image."""
        if not q.numel():
            return q
        behind = torch.arange(self.window, device=q.device) >= self.window - self.shift
        none = torch.zeros_like(behind)
        down, across = behind if lowest else none, behind if rightmost else none
        edge = (2 * down[:, None] + across.int()).flatten()
        scores = bias.masked_fill(edge[:, None] != edge, float("-inf")).to(q.dtype)
        queries, keys, values = (part.flatten(0, 2) for part in (q, k, v))
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=scores[None]).view(q.shape)


class WindowBlock(nn.Module):
    """A transformer block on (N,H,W,C): attention in windows and an MLP, each after a normalisation and with a skip."""

    def __init__(self, width: int, heads: int, expansion: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), WindowAttention(width, heads, window, shift)
        self.norm2 = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        return self.attend(x, normed, normed)

    def attend(self, x: Tensor, normed: Tensor, source: Tensor) -> Tensor:
        """x after attention of ``normed`` to ``source``, and the MLP."""
        x = x + self.attention(normed, source)
        result: Tensor = x + self.narrow(F.gelu(self.widen(self.norm2(x))))
        return result


class CrossedBlock(nn.Module):
    """Two transformer blocks, each of which asks with its own image's features and answers with the other's."""

    def __init__(self, width: int, heads: int, expansion: int, window: int, shift: int) -> None:
        super().__init__()
        self.a, self.b = (WindowBlock(width, heads, expansion, window, shift) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        of_x, of_y = self.a.norm1(x), self.b.norm1(y)
        return self.a.attend(x, of_x, of_y), self.b.attend(y, of_y, of_x)


class Meeting(nn.Module):
    """Blocks of each image by itself, then crossed ones: two (N,H,W,C) to two (N,H,W,C)."""

    def __init__(self, width: int, heads: int, expansion: int, window: int, shifts: tuple[int, ...]) -> None:
        super().__init__()
        size = (width, heads, expansion, window)
        self.a, self.b = (nn.Sequential(*(WindowBlock(*size, shift) for shift in shifts)) for _ in range(2))
        self.crossed = nn.ModuleList(CrossedBlock(*size, shift) for shift in shifts)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.a(x), self.b(y)
        for block in self.crossed:
            x, y = block(x, y)
        return x, y


class SwinFusion(PairModel):
    """Attention in shifted windows within and between both images. View 0 is infrared, view 1 visible luminance,
    (N,2,1,H,W) in [0,1] of any size; ``fuse`` gives (N,1,H,W) in [0,1].

    :class:`SwinFusionConfig` has the parameters. ``receptive_radius`` is finite: no part looks at the whole image.
    Windows are counted from the first pixel, so that parts of an image have to begin at multiples of ``tile_multiple``
    to be fused alike.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> spec = ImageSpec(channels=1, height=32, width=32, views=2)
        >>> model = create_model("swinfusion", spec)
        >>> sum(parameter.numel() for parameter in model.parameters()), model.receptive_radius, model.tile_multiple
        (965251, 72, 8)
        >>> pair = torch.rand(1, 2, 1, 20, 29)  # any size
        >>> tuple(model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).shape)
        (1, 1, 20, 29)
    """

    title = "SwinFusion"
    reference: ClassVar[str] = "Ma et al., IEEE/CAA JAS 2022"
    version: ClassVar[str] = "1"

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {},
            {
                "optimizer": "adam",
                "lr": 2e-5,
                "lr_min": 2e-5,
                "epochs": 110,  # 10,000 steps of 12 patches from the 1083 pairs of MSRS
                "batch": 12,
                "ema": 0.999,
                "inputs": "all",
            },
            "size, weights of the losses and schedule of the authors' code, for patches of 128×128 from MSRS",
        ),
        "tiny": Preset(
            {"width": 16, "heads": 2, "window": 4, "blocks": 2, "stages": 1, "final_blocks": 2},
            {"optimizer": "adam", "lr": 2e-3, "lr_min": 1e-4, "epochs": 10, "batch": 8, "inputs": "all"},
            "minutes on a CPU; not comparable with the paper",
        ),
    }

    Config: ClassVar[type[SwinFusionConfig]] = SwinFusionConfig
    config: SwinFusionConfig

    @property
    def tile_multiple(self) -> int:
        """The windows are counted from the first pixel."""
        return self.config.window

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees, at the pixel of a window that sees farthest: windows met one after another."""
        own, meeting, final = self.config.shifts()
        before, between, behind = CONVOLUTIONS
        window, farthest = self.config.window, 0
        for pixel in range(window):
            low, high = pixel - behind, pixel + behind
            for shifts, pixels in ((final, between), (meeting, 0), (own, before)):
                for shift in reversed(shifts):
                    low = (low - shift) // window * window + shift
                    high = (high - shift) // window * window + shift + window - 1
                low, high = low - pixels, high + pixels
            farthest = max(farthest, pixel - low, high - pixel)
        return farthest

    def build(self) -> None:
        c = self.config
        own, _, final = c.shifts()
        size = (c.width, c.heads, c.expansion, c.window)
        self.first, self.second = (
            nn.Conv2d(1, c.width // 2, 3, padding=1),
            nn.Conv2d(c.width // 2, c.width, 3, padding=1),
        )
        self.enter = nn.LayerNorm(c.width)  # before each of the three parts
        self.own = nn.ModuleList(nn.Sequential(*(WindowBlock(*size, shift) for shift in own)) for _ in range(2))
        stage = _alternating(c.stage_blocks, c.window)
        self.meetings = nn.ModuleList(Meeting(*size, stage) for _ in range(c.stages))
        self.own_norms, self.norms = (nn.ModuleList(nn.LayerNorm(c.width) for _ in range(2)) for _ in range(2))
        self.join = nn.Conv2d(2 * c.width, c.width, 3, padding=1)
        self.final = nn.Sequential(*(WindowBlock(*size, shift) for shift in final), nn.LayerNorm(c.width))
        widths = (c.width, c.width // 2, c.width // 4, 1)
        *inner, last = (nn.Conv2d(widths[i], widths[i + 1], 3, padding=1) for i in range(3))
        self.output = nn.ModuleList((*inner, last))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_DEVIATION)
                nn.init.zeros_(module.bias)
        # untrained images are grey: below 0, ``fuse`` would clamp them to black
        if last.bias is not None:
            nn.init.constant_(last.bias, 0.5)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W), unbounded: ``fuse`` clamps it."""
        height, width = a.shape[-2:]
        x, y = (
            norm(blocks(self.enter(self._shallow(pad_to_multiple(image, self.config.window)))))
            for image, blocks, norm in zip((a, b), self.own, self.own_norms, strict=True)
        )
        x, y = self.enter(x), self.enter(y)
        for meeting in self.meetings:
            x, y = meeting(x, y)
        joined = torch.cat((self.norms[0](x), self.norms[1](y)), -1).movedim(-1, 1)
        features = F.leaky_relu(self.join(joined), _SLOPE).movedim(1, -1)
        image = self.final(self.enter(features)).movedim(-1, 1)
        *inner, last = self.output
        for layer in inner:
            image = F.leaky_relu(layer(image), _SLOPE)
        fused: Tensor = last(image)[..., :height, :width]
        return fused

    def _shallow(self, image: Tensor) -> Tensor:
        """(N,1,H,W) to features (N,H,W,C)."""
        features = F.leaky_relu(self.second(F.leaky_relu(self.first(image), _SLOPE)), _SLOPE)
        return features.movedim(1, -1)

    def fusion_loss(self, fused: Tensor, a: Tensor, b: Tensor) -> LossTerms:
        """Structure of both images, slopes of the steeper, intensities of the brighter."""
        c, fused = self.config, at_least_float32(fused)
        slope_a, slope_b = (sobel_magnitude(image).flatten(1).mean(1) for image in (a, b))
        # flat pairs have no slopes: half and half
        share = (slope_a + 1e-12) / (slope_a + slope_b + 2e-12)
        similarity = share * torch_ssim(fused, a) + (1 - share) * torch_ssim(fused, b)
        structure = (1 - similarity).mean()
        texture, intensity = texture_loss(fused, a, b).mean(), intensity_loss(fused, a, b).mean()
        total = c.structure_weight * structure + c.texture_weight * texture + c.intensity_weight * intensity
        parts = {"structure": structure, "texture": texture, "intensity": intensity}
        return LossTerms(total, {name: value.detach() for name, value in parts.items()})
