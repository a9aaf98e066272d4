"""Wavelet fusion of registered pairs: the larger activity in every band wins.

    a ─┐ discrete wavelet transform ─ bands: activity = max |coefficient| in a window, the larger one wins,
    b ─┘                              decisions in the minority of a neighbourhood are reversed; base: mean ─ inverse

Li, Manjunath, Mitra 1995 describe the window and the vote; a size of 1 disables either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec, Preset
from fusionbench.models.classical.pyramids import PairRow, largest


class Wavelet(PairRow):
    """Of each wavelet coefficient the source with the more active neighbourhood; of the base the mean.

    The transform is PyWavelets' and runs on the CPU; the selection runs on the device of the views.

    Args:
        wavelet: name of a discrete wavelet of PyWavelets. The paper asks for a compactly supported orthogonal one and
            leaves the choice open; ``db2`` is short enough for small images and rings little.
        levels: number of scales, fewer if the image is too small for the filter.
        window: odd side of the square in which the largest amplitude is a coefficient's activity (paper: 3 or 5).
        vote: odd side of the square whose majority decides in the end (paper: a majority filter); 1 for none.

    Raises:
        UsageError: an unknown wavelet (with the nearest known one), or sizes that are not odd and positive.

    Source: Li, Manjunath, Mitra 1995, section 3.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("wavelet", ImageSpec(channels=1, height=32, width=32, views=2))
        >>> pair = torch.full((1, 2, 1, 32, 32), 0.5)
        >>> pair[0, 0, 0, 16, 16] = 0.9  # a point that only the first source shows; the average halves its contrast
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> round(float(fused[0, 0, 16, 16]), 2)
        0.89
    """

    title = "wavelet maximum"
    reference = "Li, Manjunath, Mitra 1995, Graph. Models Image Process. 57(3), 235–245"
    family = "classical"
    bytes_per_pixel = 96
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(note="window and vote of the paper, wavelet db2; nothing to train")
    }

    def __init__(self, spec: ImageSpec, wavelet: str = "db2", levels: int = 4, window: int = 5, vote: int = 3) -> None:
        import pywt

        from fusionbench.models.config import check_choice

        super().__init__(spec)
        check_choice(self.title, wavelet=(wavelet, pywt.wavelist(kind="discrete")))
        if levels < 1 or min(window, vote) < 1 or window % 2 == 0 or vote % 2 == 0:
            raise UsageError(f"{self.title}: levels must be at least 1, window and vote odd and positive")
        self.wavelet, self.levels, self.window, self.vote = pywt.Wavelet(wavelet), levels, window, vote

    @property
    def tile_multiple(self) -> int:
        """Every level keeps every second coefficient, counted from the first."""
        return int(2**self.levels)

    @property
    def receptive_radius(self) -> int:
        """The filter's length less one at each of 1 + 2 + 4 + … pixels, in both directions, and the windows of the
        coarsest level between them."""
        taps = max(self.wavelet.dec_len, self.wavelet.rec_len) - 1
        return int(2 * taps * (2**self.levels - 1) + 2**self.levels * (self.window // 2 + self.vote // 2))

    def combine_all(self, views: Sequence[Tensor]) -> Tensor:
        import pywt

        height, width = views[0].shape[-2:]
        levels = min(self.levels, pywt.dwt_max_level(min(height, width), self.wavelet.dec_len))
        found = [
            pywt.wavedec2(x.cpu().numpy(), self.wavelet, mode="symmetric", level=levels, axes=(-2, -1)) for x in views
        ]
        fused: list[object] = [np.sum([each[0] for each in found], axis=0) / len(found)]
        for bands in zip(*(each[1:] for each in found), strict=True):  # a level: of each view three bands
            fused.append(tuple(self.chosen(band, views[0].device) for band in zip(*bands, strict=True)))
        # the inverse of an odd side is one pixel longer
        image = pywt.waverec2(fused, self.wavelet, mode="symmetric", axes=(-2, -1))[..., :height, :width]
        return torch.from_numpy(np.ascontiguousarray(image)).to(views[0])

    def chosen(self, bands: Sequence[np.ndarray], device: torch.device) -> np.ndarray:
        """Coefficients (N,1,h,w) of the source that is more active there, and in most of the vote's square."""
        found = [torch.from_numpy(band).to(device) for band in bands]
        winner = largest([self.activity(band) for band in found])
        votes = [(winner == number).to(found[0]) for number in range(len(found))]
        share = [F.avg_pool2d(vote, self.vote, 1, self.vote // 2, count_include_pad=False) for vote in votes]
        elected, fused = largest(share), found[0]
        for number, band in enumerate(found[1:], 1):
            fused = torch.where(elected == number, band, fused)
        return fused.cpu().numpy()

    def activity(self, band: Tensor) -> Tensor:
        """The largest amplitude in the window around each coefficient: down its columns, then along its rows."""
        half = self.window // 2
        down = F.max_pool2d(band.abs(), (self.window, 1), 1, (half, 0))
        return F.max_pool2d(down, (1, self.window), 1, (0, half))
