"""``ellipse/1`` and ``ellipse/2``: masks that are unions of axis-parallel ellipses, in exact integers.

A pixel (r, c) is inside an ellipse of centre (r0, c0), radius R and ellipticity e = E/256

* of ``ellipse/1`` where sqrt(e·(r-r0)² + (c-c0)²/e) ≤ R, that is E²·(r-r0)² + 256²·(c-c0)² ≤ 256·E·R²;
* of ``ellipse/2`` where sqrt((r-r0)²/e + e·(c-c0)²) ≤ R, that is 256²·(r-r0)² + E²·(c-c0)² ≤ 256·E·R².

The second is the first with rows and columns exchanged: an even e in 0.5..1.5 makes ellipses of the first kind taller
than wide on average, and of the second kind wider than tall. The authors of FusionVAE mask CelebA with rows and
columns exchanged, so their evaluation set is of the second kind; their MNIST is of the first.

All parameters are integers drawn by multiply and shift from one 64-bit word per ellipse: 16-bit outputs for
row, column, radius and E.

Reference: the parameters are those of Duffhauss et al., "FusionVAE", ECCV 2022, as their code has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from fusionbench.synth import kernel
from fusionbench.synth.arrays import Array, arange, cast, clip, is_tensor, stack, take, uncompiled
from fusionbench.synth.random import UINT16_PER_BLOCK, Key, bounded, uint16_outputs, uint64_outputs

ID = "ellipse/1"
TRANSPOSED = "ellipse/2"
UNIT = 256  # ellipticity 1.0
_LARGEST_TABLE = 1 << 26  # bytes of a table of all rows
FIELDS = ("row", "column", "radius", "ellipticity")


@dataclass(frozen=True)
class Ellipses:
    """Distribution of a mask.

    Attributes:
        count: ellipses in the union.
        radius: smallest and largest radius in pixels, both included.
        margin: centres are in margin[0] .. size-1-margin[1] on each axis.
        ellipticity: smallest and largest e in parts of 256, both included.
        algorithm: ``ellipse/1`` or ``ellipse/2``; it is a part of the random stream's key, too.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.ellipses import Ellipses
        >>> disc = np.array([[[2, 3, 2, 256]]], np.int16)  # row, column, radius, ellipticity·256
        >>> (mask,) = Ellipses(count=1, radius=(2, 2)).mask(disc, height=5, width=8)
        >>> for row in mask:
        ...     print("".join("#" if value else "-" for value in row))
        ---#----
        --###---
        -#####--
        --###---
        ---#----
    """

    count: int
    radius: tuple[int, int]
    margin: tuple[int, int] = (1, 2)
    ellipticity: tuple[int, int] = (UNIT // 2, UNIT + UNIT // 2)
    algorithm: Literal["ellipse/1", "ellipse/2"] = "ellipse/1"

    @property
    def blocks(self) -> int:
        """Philox blocks per sample and view."""
        return -(-4 * self.count // UINT16_PER_BLOCK)

    @uncompiled
    def params(self, key: Key, samples: Array, height: int, width: int, *, view: int = 0, epoch: int = 0) -> Array:
        """Parameters of ``samples`` (n,): int16 (n, count, 4) of row, column, radius, ellipticity·256."""
        outputs = uint16_outputs(uint64_outputs(key, samples, self.blocks, view=view, epoch=epoch))[:, : 4 * self.count]
        outputs = outputs.reshape(len(samples), self.count, 4)
        first, last = self.margin
        limits = ((first, height - 1 - last), (first, width - 1 - last), self.radius, self.ellipticity)
        return cast(stack([bounded(outputs[..., i], *limit) for i, limit in enumerate(limits)], -1), "int16")

    @uncompiled
    def mask(self, params: Array, height: int, width: int) -> Array:
        """Masks of ``params`` (n, count, 4): uint8 (n, H, W), 255 inside the union and 0 outside."""
        # Along a row the inside is the run of columns with (c-c0)² ≤ t for a whole number t: one table holds these rows
        # for every centre and every half-width, so a mask is a gather of rows.
        if (
            not is_tensor(params)
            and params.dtype == np.int16
            and (fast := kernel.compiled(len(params) * height * width))
        ):
            out = np.empty((len(params), height, width), np.uint8)
            fast.masks(out, kernel.whole(params), *self.run_table(width))
            return out
        t, wide = self._half_widths(params, height)
        half = self.run_table(width)[0]
        index = take(half, clip(t, -1, len(half) - 2) + 1)
        if width * width * (int(half[-1]) + 1) > _LARGEST_TABLE:
            return self._mask_by_columns(wide[..., 1], index, width)
        rows = _rows(width, self._largest(width))
        index = index + cast(wide[..., 1], "int32")[..., None] * (rows.shape[0] // width)
        mask = take(rows, index[:, 0])
        for i in range(1, self.count):
            mask |= take(rows, index[:, i])
        return mask

    def _mask_by_columns(self, centre: Array, half: Array, width: int) -> Array:
        """The masks of large images, canvas by canvas: the table of rows would grow with the cube of their width."""
        columns, masks = arange(width, half, "int32"), []
        first, stop = cast(centre, "int32")[..., None] - half, cast(centre, "int32")[..., None] + half
        for one in range(len(half)):
            inside = (columns > first[one, 0][:, None]) & (columns < stop[one, 0][:, None])
            for i in range(1, self.count):
                inside |= (columns > first[one, i][:, None]) & (columns < stop[one, i][:, None])
            masks.append(cast(inside, "uint8") * 255)
        return stack(masks, 0) if masks else cast(half[:, 0, :, None] + columns, "uint8")

    def run_table(self, width: int) -> tuple[np.ndarray, bool]:
        """What the compiled masks need: half-width + 1 by squared half-width + 1, and whether it is ``ellipse/2``."""
        return _half(width, self._largest(width)), self.algorithm != ID

    def _largest(self, width: int) -> int:
        """The largest squared half-width that makes a difference: wider runs are cut off at both ends alike."""
        square, (e_low, e_high) = self.radius[1] * self.radius[1], self.ellipticity
        return min(square * e_high // UNIT if self.algorithm == ID else square * UNIT // e_low, width * width)

    def _half_widths(self, params: Array, height: int) -> tuple[Array, Array]:
        """Squared half-width of every ellipse in every row (n, count, H), negative outside; and the parameters in a
        type that the products fit into."""
        biggest = self.radius[1]
        e_low, e_high = self.ellipticity
        if self.algorithm == ID:  # t = floor((256·E·R² - E²·(r-r0)²) / 256²)
            reach = math.isqrt(biggest * biggest * UNIT // e_low) + 1  # rows farther away are outside
            bound = max(e_high * e_high * reach * reach, UNIT * e_high * biggest * biggest)
        else:  # t = floor((256·E·R² - 256²·(r-r0)²) / E²)
            reach = math.isqrt(biggest * biggest * e_high // UNIT) + 1
            bound = max(UNIT * UNIT * reach * reach, UNIT * e_high * biggest * biggest)
        dtype = "int32" if bound < 1 << 31 else "int64"
        wide = cast(params, dtype)
        row, radius, e = wide[..., 0], wide[..., 2], wide[..., 3]
        distance = clip(arange(height, params, dtype) - row[..., None], -reach, reach)
        inside = (UNIT * e * radius * radius)[..., None]
        if self.algorithm == ID:
            distance = distance * e[..., None]
            return (inside - distance * distance) >> 16, wide
        rest = inside - UNIT * UNIT * distance * distance
        return rest // (e * e)[..., None], wide  # both kinds of arrays round towards minus infinity


@lru_cache(maxsize=32)
def _half(width: int, largest: int) -> np.ndarray:
    """``half[t + 1]``: half-width + 1 of squared half-width t (0 for an empty row), int32."""
    return np.array([0] + [min(math.isqrt(t), width - 1) + 1 for t in range(largest + 1)], np.int32)


@lru_cache(maxsize=32)
def _rows(width: int, largest: int) -> np.ndarray:
    """``rows[c·widths + half]``: the row of a mask with that centre and half-width, uint8 (…, W)."""
    widths = int(_half(width, largest)[-1]) + 1
    centre = np.arange(width)[:, None, None]
    size = np.arange(widths)[None, :, None]
    inside = np.abs(np.arange(width) - centre) < size
    return np.where(inside, np.uint8(255), np.uint8(0)).reshape(-1, width)
