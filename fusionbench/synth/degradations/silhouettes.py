"""Banks of cut-outs for occlusion: drawn objects, and pictures with masks brought to their form.

A bank is uint8 (m, :data:`SIDE`, :data:`SIDE`): 0 outside of the object, and 1 to 255, its shading, on it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.synth.augment import SINE
from fusionbench.synth.degradations.draws import Draws, between
from fusionbench.synth.random import stream_key

SIDE = 256
CANVAS = 384  # pixels of a side that an object is drawn on, before it is cut out
DRAWN = 32  # objects of the bank that is drawn
PARTS = 4  # of an object at most: a body and what sticks out of it
FIELDS = 7  # of a part: kind, two half-sizes, angle, place, shade, slope of the shade
MOST = 512  # cut-outs of a bank


@cache
def drawn_bank() -> np.ndarray:
    """The bank of ``occlude/2``: objects of two to four boxes, ellipses and wedges, half of them with a hole.

    Whole numbers and pinned draws: the same bytes everywhere.

    Example:
        >>> from fusionbench.synth.degradations.silhouettes import drawn_bank
        >>> bank = drawn_bank()
        >>> bank.shape, bank.dtype.name, bool(((bank > 0).mean(axis=(1, 2)) > 0.1).all())
        ((32, 256, 256), 'uint8', True)
    """
    draws = Draws(stream_key("occlude/2", "cut-outs", "drawn", 0), np.arange(DRAWN), 0, np.empty(0))
    drawn = draws.parameters(FIELDS * PARTS + 4).tolist()
    objects = [_object(np.array(fields)) for fields in drawn]
    bank = bank_of(objects, [np.where(each > 0, 255, 0) for each in objects])
    bank.setflags(write=False)
    return bank


def bank_of(pictures: list[np.ndarray], masks: list[np.ndarray]) -> np.ndarray:
    """The bank of grey uint8 pictures and their masks (h, w) of sizes of their own; above 127 is the object.

    Each is cut to its object, centred in a square, and read at the nearest pixel.

    Raises:
        DataError: none, too many, or a mask that is empty or of another size than its picture.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations.silhouettes import bank_of
        >>> picture = np.full((6, 9), 90, np.uint8)
        >>> bank = bank_of([picture], [np.where(picture > 0, 255, 0)])  # a plate, 3:2
        >>> bank.shape, np.unique(bank).tolist(), round(float((bank > 0).mean()), 2)
        ((1, 256, 256), [0, 90], 0.67)
    """
    if not 1 <= len(pictures) <= MOST or len(pictures) != len(masks):
        raise DataError(f"{len(pictures)} pictures with {len(masks)} masks; a bank has 1 to {MOST} cut-outs")
    return np.stack([_squared(*both, number) for number, both in enumerate(zip(pictures, masks, strict=True))])


def _squared(picture: np.ndarray, mask: np.ndarray, number: int) -> np.ndarray:
    inside = mask > 127
    if picture.shape != mask.shape or picture.dtype != np.uint8 or picture.ndim != 2 or not inside.any():
        raise DataError(f"cut-out {number}: give a grey uint8 picture with a mask of its size that is not empty")
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    cut = np.where(inside[place], np.maximum(picture[place], 1), 0).astype(np.uint8)
    height, width = cut.shape
    side = max(height, width)
    whole = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    whole[top : top + height, left : left + width] = cut
    nearest = (2 * np.arange(SIDE) + 1) * side // (2 * SIDE)
    squared: np.ndarray = whole[nearest[:, None], nearest[None, :]]
    return squared


def _object(drawn: np.ndarray) -> np.ndarray:
    """One drawn object of its outputs: uint8 (CANVAS, CANVAS), 0 beside it."""
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.int32) * 2 - (CANVAS - 1)  # in halves of a pixel, around the middle
    made = np.zeros((CANVAS, CANVAS), np.uint8)
    count = int(between(drawn[0], 2, PARTS))
    for part in range(count):
        kind, long, short, angle, place, shade, slope = drawn[4 + FIELDS * part : 4 + FIELDS * (part + 1)]
        body = part == 0
        half = (int(between(long, 160, 250)), int(between(short, 100, 180)))
        if not body:
            half = (int(between(long, 75, 165)), int(between(short, 30, 90)))
        cosine, sine = int(SINE[(int(between(angle, 0, 255)) + 64) & 255]), int(SINE[between(angle, 0, 255)])
        p, q = x * cosine + y * sine >> 14, y * cosine - x * sine >> 14
        if not body:  # it begins in the body's middle at the latest
            p = p - int(between(place, half[0] // 2, half[0]))
        inside = _inside(int(between(kind, 0, 2)), p, q, half)
        grey = int(between(shade, 40, 215)) + (p * int(between(slope, -160, 160)) >> 10)
        made[inside] = np.clip(grey, 1, 255)[inside]
    if between(drawn[1], 0, 1):
        radius, away = int(between(drawn[2], 24, 60)), int(between(drawn[3], -45, 45))
        made[(x - away) ** 2 + (y + away) ** 2 <= radius * radius] = 0
    return made


def _inside(kind: int, p: np.ndarray, q: np.ndarray, half: tuple[int, int]) -> np.ndarray:
    """Whether the places (p, q) are in a box, an ellipse or a wedge of these half-sizes around 0."""
    long, short = half
    if kind == 0:
        found: np.ndarray = (abs(p) <= long) & (abs(q) <= short)
    elif kind == 1:
        found = (p.astype(np.int64) * short) ** 2 + (q.astype(np.int64) * long) ** 2 <= (long * short) ** 2
    else:
        found = (p >= -long) & (2 * long * abs(q) <= short * (long - p))
    return found
