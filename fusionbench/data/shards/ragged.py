"""Pairs of different sizes in a shard: one flat array of pixels, where each pair begins in it, and how large it is.

A shard with ``pixels`` holds uint8 (N,), ``offsets`` int64 (n,) and ``shape`` int64 (n, 2): pair i is the
``2·height·width`` values from ``offsets[i]`` on, view 0 before view 1, row by row. Pairs lie one after the other
without gaps, in order; a shard that says otherwise is refused before a pixel is read. Pairs that were degraded have the
clean ones in ``clean_pixels``, laid out alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

PIXELS, OFFSETS, SHAPE, VIEWS = "pixels", "offsets", "shape", "views"
CLEAN, CLEAN_PIXELS = "clean", "clean_pixels"
FLAT = (PIXELS, CLEAN_PIXELS)  # their length is not the number of samples
COUNT = 2  # views of a pair
MAX_SIDE = 1 << 16  # of an image: products of two sides are far from overflowing


def pack_arrays(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """``arrays`` as a shard stores them: a list of ``views``, uint8 (2, h, w) each, becomes three arrays."""
    views = arrays.get(VIEWS)
    if not isinstance(views, list):
        return dict(arrays)
    shape = np.array([view.shape[1:] for view in views], np.int64).reshape(-1, 2)
    sizes = COUNT * shape.prod(axis=1)
    packed = {name: array for name, array in arrays.items() if name not in (VIEWS, CLEAN)}
    packed[PIXELS] = np.concatenate([view.reshape(-1) for view in views])
    if CLEAN in arrays:
        packed[CLEAN_PIXELS] = np.concatenate([view.reshape(-1) for view in arrays[CLEAN]])
    return packed | {OFFSETS: np.cumsum(sizes) - sizes, SHAPE: shape}


def problem(arrays: Mapping[str, np.ndarray]) -> str | None:
    """What is wrong with the pairs of a shard that has one of :data:`FLAT`, or None; no pixel is read."""
    if PIXELS not in arrays:
        return "clean pixels need those of the pairs beside them"
    pixels, offsets, shape = arrays[PIXELS], arrays.get(OFFSETS), arrays.get(SHAPE)
    if offsets is None or shape is None or VIEWS in arrays:
        return "pixels need offsets and shape, and no views beside them"
    if pixels.dtype != np.uint8 or pixels.ndim != 1:
        return f"pixels are {pixels.dtype} {pixels.shape}, not uint8 in a row"
    clean = arrays.get(CLEAN_PIXELS, pixels)
    if clean.dtype != np.uint8 or clean.shape != pixels.shape or CLEAN in arrays:
        return f"its clean pixels are {clean.dtype} {clean.shape}, and its pixels {pixels.dtype} {pixels.shape}"
    if offsets.dtype != np.int64 or offsets.ndim != 1 or shape.dtype != np.int64 or shape.shape != (len(offsets), 2):
        return f"offsets {offsets.dtype} {offsets.shape} and shape {shape.dtype} {shape.shape} do not belong together"
    sides = np.asarray(shape)
    if not len(sides) or sides.min() < 1 or sides.max() > MAX_SIDE:
        return f"a pair has a side that is not from 1 to {MAX_SIDE}"
    ends = np.cumsum(COUNT * sides[:, 0] * sides[:, 1])
    starts = np.concatenate([[0], ends[:-1]])
    if ends.min() < 1 or not np.array_equal(offsets, starts) or ends[-1] != len(pixels):  # below 1: an overflow
        return "its pairs do not lie one after the other, or not inside its pixels"
    return None


class Ragged(Sequence[np.ndarray]):
    """Pairs over all shards of a split: read-only and memory-mapped, each uint8 (2, h, w) of its own size.

    An integer gives one pair; a slice, a sequence of integers or a mask a list of them.

    Args:
        pixels: name of the flat array that they lie in.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: Sequence[Mapping[str, np.ndarray]], pixels: str = PIXELS) -> None:
        self._pixels = [part[pixels] for part in parts]
        self._offsets = [np.asarray(part[OFFSETS]) for part in parts]
        self._shapes = [np.asarray(part[SHAPE]) for part in parts]
        self._starts = np.cumsum([0, *(len(part) for part in self._offsets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, 2): the sizes of the images are no part of it."""
        return len(self), COUNT

    @property
    def nbytes(self) -> int:
        """Of all pixels."""
        return sum(part.nbytes for part in self._pixels)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer):
            index = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= index < len(self):
                raise IndexError(f"index {key} is outside 0..{len(self) - 1}")
            return self._one(index)
        if isinstance(key, slice):
            return [self._one(index) for index in range(*key.indices(len(self)))]
        wanted = np.asarray(key)
        return [self[index] for index in (np.flatnonzero(wanted) if wanted.dtype == bool else wanted).tolist()]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._one(index) for index in range(len(self)))

    def _one(self, index: int) -> np.ndarray:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[part])
        height, width = self._shapes[part][row].tolist()
        start = int(self._offsets[part][row])
        return self._pixels[part][start : start + COUNT * height * width].reshape(COUNT, height, width)

    def flat(self) -> tuple[list[np.ndarray], np.ndarray]:
        """The pixels of every shard, and where each pair begins when they are put one after the other: int64 (n,)."""
        before = np.cumsum([0, *(len(part) for part in self._pixels)])[:-1]
        begin = [offsets + first for offsets, first in zip(self._offsets, before.tolist(), strict=True)]
        return self._pixels, np.concatenate(begin)
