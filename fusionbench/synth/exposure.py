"""``exposure/1``: a stack of exposures of one target by a camera with the curve of sRGB, as a table of integers.

The target is what a camera shows at 0 EV of a scene without clipping: its grey level z stands for the light L(z), the
inverse of the sRGB curve at z/255. An exposure of e EV shows the grey level nearest to the curve at L(z)·2^e, at most
255: long ones run into white, short ones leave few levels for the dark. Each channel of a colour image goes through the
same curve.

A sample's exposures lie ``step`` apart around an offset that is drawn for it, as a camera's meter may err. It is chosen
so that no exposure is the target: with an odd number the nearest is ¼ to ½ step away, with an even one ¼ to ¾ step.

The table is made of decimal numbers in exact arithmetic of 40 digits, so that it is the same on every machine.

Source: IEC 61966-2-1:1999, equations 5 and 6 (the sRGB curve with the constants of its amendment 1).
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

import numpy as np

from fusionbench.synth.arrays import Array, cast, in_memory, is_tensor, stack, take, uncompiled
from fusionbench.synth.augment import Augment
from fusionbench.synth.live_views import LiveViews
from fusionbench.synth.random import bounded, uint16_outputs, uint64_outputs

ID = "exposure/1"
QUARTERS = 4  # exposures are whole quarters of a stop
MOST = 32  # quarters of a stop from 0 EV: ±8 EV
_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_SCALE = Decimal(1 << 60)


def _light(level: Decimal) -> Decimal:
    """Light on 0..1 of a grey level on 0..255, the inverse of the sRGB curve."""
    value = _EXACT.divide(level, Decimal(255))
    if value <= Decimal("0.04045"):
        return _EXACT.divide(value, Decimal("12.92"))
    base = _EXACT.divide(_EXACT.add(value, Decimal("0.055")), Decimal("1.055"))
    return _EXACT.power(base, Decimal("2.4"))


@lru_cache(maxsize=1)
def curve() -> np.ndarray:
    """The grey level of an exposure: uint8 (65, 256), by its EV in quarters from -8 and the level of the target.

    Example:
        >>> from fusionbench.synth.exposure import MOST, curve
        >>> table = curve()
        >>> table[MOST].tolist() == list(range(256))  # 0 EV shows the target
        True
        >>> table[MOST + 8, [0, 60, 128, 200]].tolist(), table[MOST - 8, [0, 60, 128, 200]].tolist()  # ±2 EV
        ([0, 118, 239, 255], [0, 28, 66, 106])
    """
    light = [int(_EXACT.multiply(_light(Decimal(level)), _SCALE)) for level in range(256)]
    edges = [int(_EXACT.multiply(_light(level + Decimal("0.5")), _SCALE)) for level in map(Decimal, range(255))]
    root = _EXACT.sqrt(_EXACT.sqrt(Decimal(2)))
    gains = [int(_EXACT.multiply(_EXACT.power(root, quarter), _SCALE)) for quarter in range(QUARTERS)]
    found = np.empty((2 * MOST + 1, 256), np.uint8)
    for row, quarters in enumerate(range(-MOST, MOST + 1)):
        stops, rest = divmod(quarters, QUARTERS)
        for level in range(256):
            lit = light[level] * gains[rest]  # both in parts of 2^60
            lit = lit << stops if stops >= 0 else lit >> -stops
            found[row, level] = bisect_right(edges, lit >> 60)
    found.flags.writeable = False
    return found


@dataclass(frozen=True)
class ExposureViews(LiveViews):
    """Generates the views of a split of a data set, from the shortest exposure to the longest.

    Attributes:
        dataset, split, seed: with the algorithm's id they determine the key of the random stream.
        height, width, channels, views: shape of a sample; 2 to 9 views.
        step: quarters of a stop from one exposure to the next, two or more.
        live: how targets are augmented from the first live epoch on, if at all.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth import ExposureViews
        >>> synth = ExposureViews("demo", "train", 0, 8, 8, 1, views=3, step=8)
        >>> synth.params(np.array([0, 2]))[..., 0].tolist()  # in quarters of a stop
        [[-12, -4, 4], [-11, -3, 5]]
        >>> synth.make_views(np.full((1, 8, 8), 128, np.uint8), np.array([0]))[0, :, 0, 0].tolist()
        [46, 92, 176]
    """

    dataset: str
    split: str
    seed: int
    height: int
    width: int
    channels: int
    views: int
    step: int
    live: Augment | None = None

    @property
    def param_fields(self) -> int:
        """One int16 parameter of a view: its EV in quarters."""
        return 1

    @property
    def offsets(self) -> tuple[int, int]:
        """Smallest and largest size of a sample's offset, in quarters."""
        if self.views % 2:
            return max(1, self.step // 4), max(1, self.step // 2)
        return 0, self.step // 4

    @uncompiled
    def params(self, samples: Array, epoch: int = 0) -> Array:
        """EV of the views of ``samples`` (n,), in quarters: int16 (n, V, 1)."""
        drawn = uint16_outputs(uint64_outputs(self.key(ID), samples, 1, epoch=epoch))
        size, sign = bounded(drawn[:, 0], *self.offsets), 2 * bounded(drawn[:, 1], 0, 1) - 1
        middle = (self.views - 1) * self.step // 2
        each = [size * sign + (view * self.step - middle) for view in range(self.views)]
        return cast(stack(each, 1), "int16")[..., None]

    def covered(self, params: np.ndarray) -> list[int]:
        """Of the NumPy ``params`` of n samples with n·H·W pixels: of how many the first 1, 2, … V exposures show more
        than black or white, if every grey level were as frequent."""
        shown = (curve() > 0) & (curve() < 255)
        seen = np.logical_or.accumulate(shown[params[..., 0].astype(np.int64) + MOST], axis=1)
        found: list[int] = (seen.sum(axis=(0, 2)) * self.height * self.width // 256).tolist()
        return found

    @uncompiled
    def make_views(self, targets: Array, samples: Array, epoch: int = 0, params: Array | None = None) -> Array:
        """Views of uint8 ``targets`` (n, H, W[, C]) with indices ``samples`` (n,): uint8 (n, V, H, W[, C])."""
        if in_memory(targets, samples) and (params is None or in_memory(params)):
            given = None if params is None else params.numpy()
            return sys.modules["torch"].from_numpy(self.make_views(targets.numpy(), samples.numpy(), epoch, given))
        if params is None:
            params = self.params(samples, epoch)
        if not len(targets):
            shape = (0, self.views, *targets.shape[1:])
            return targets.new_empty(shape) if is_tensor(targets) else np.empty(shape, np.uint8)
        rows = (cast(params, "int32") + MOST) * 256
        rows = rows.reshape(len(targets), self.views, *([1] * (targets.ndim - 1)))
        return take(curve().reshape(-1), rows + cast(targets, "int32")[:, None])
