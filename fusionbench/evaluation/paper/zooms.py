"""Where a figure zooms in: places that are given, or those at which the methods differ most.

The score of a window is the variance of its pixels between the methods, each method's mean in the window taken away
first: what a method makes brighter all over does not count, what it draws otherwise does. All sums are of whole
numbers, so that every machine finds the same places, and of two equal windows the upper one, then the left one, is
taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.inline_images import reduced

MAX_ZOOMS = 7
_LOOKED_AT = 640  # pixels of the longer side at which places are searched
_MOST_METHODS = 40  # beyond, sums of squares could leave 64 bits
HOW = "largest variance between the methods within the window, their means in it taken away"


@dataclass(frozen=True)
class Zoom:
    """A window of an image in pixels, its upper left corner at (x, y)."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> tuple[str | None, Zoom]:
        """``x,y,w,h``, or ``STEM:x,y,w,h`` for the pair of that stem alone: (stem or None, window).

        Raises:
            UsageError: something else.

        Example:
            >>> from fusionbench.evaluation.paper.zooms import Zoom
            >>> Zoom.parse("street:10,20,64,48")
            ('street', Zoom(x=10, y=20, width=64, height=48))
        """
        number = r"\s*([0-9]{1,6})\s*"
        found = re.fullmatch(rf"(?:(.+):)?{number},{number},{number},{number}", text)
        if found is None or int(found[4]) < 2 or int(found[5]) < 2:
            raise UsageError(f"--zoom {text!r}: give X,Y,WIDTH,HEIGHT in pixels, or PAIR:X,Y,WIDTH,HEIGHT")
        return found[1], cls(*(int(found[place]) for place in (2, 3, 4, 5)))

    def check(self, size: tuple[int, int], name: str) -> None:
        """Refuse a window that is not inside an image of (height, width).

        Raises:
            UsageError: it is not.
        """
        if self.x + self.width > size[1] or self.y + self.height > size[0]:
            where = f"{self.x},{self.y},{self.width},{self.height}"
            raise UsageError(f"--zoom {where}: not inside {name}, which is {size[1]} wide and {size[0]} high")

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """This part of an image."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]


def find_zooms(images: Sequence[np.ndarray], count: int, share: float = 0.2) -> list[Zoom]:
    """The windows at which images of one scene differ most, the first most; they do not overlap.

    Args:
        images: uint8 (h,w), two or more.
        share: height and width of a window as a part of the image's.

    Returns:
        Fewer than ``count`` where there is no more room, or no difference.

    Raises:
        UsageError: a share or a count that makes no windows, or fewer than two images.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.paper.zooms import find_zooms
        >>> one, other = np.zeros((50, 100), np.uint8), np.full((50, 100), 9, np.uint8)
        >>> other[30:35, 60:70] = 200
        >>> find_zooms([one, other], 1)
        [Zoom(x=50, y=25, width=20, height=10)]
    """
    if not 0 <= count <= MAX_ZOOMS or not 0.02 <= share <= 0.5:
        raise UsageError(f"{count} zooms of {share:g} of the image: give 0 to {MAX_ZOOMS}, and a size of 0.02 to 0.5")
    if not 2 <= len(images) <= _MOST_METHODS:
        raise UsageError(f"{len(images)} images: places are found between 2 to {_MOST_METHODS}; give --zoom yourself")
    height, width = images[0].shape
    size = Zoom(0, 0, max(2, round(width * share)), max(2, round(height * share)))
    factor = max(1, -(-max(height, width) // _LOOKED_AT))
    small = [reduced(image, _LOOKED_AT) for image in images]
    rows, columns = small[0].shape
    h, w = (min(max(1, side // factor), most) for side, most in ((size.height, rows), (size.width, columns)))
    score = _between(small, h, w)
    found: list[Zoom] = []
    for _ in range(count):
        best = int(np.argmax(score))
        if score.flat[best] <= 0:  # no room is left, or nothing differs there
            break
        y, x = (int(place) for place in np.unravel_index(best, score.shape))
        score[max(0, y - h + 1) : y + h, max(0, x - w + 1) : x + w] = -1
        left, top = min(x * factor, width - size.width), min(y * factor, height - size.height)
        found.append(Zoom(left, top, size.width, size.height))
    return found


def _between(images: Sequence[np.ndarray], h: int, w: int) -> np.ndarray:
    """n² |W|² times the score of every window of h × w, int64.

    Σ over the window's pixels of n Σx² − (Σx)², and the same of the methods' sums over the window.
    """
    total = np.zeros(images[0].shape, np.int64)
    squares = np.zeros_like(total)
    of_sums = np.zeros_like(_windows(total, h, w))
    sum_of_sums = np.zeros_like(of_sums)
    for image in images:
        values = image.astype(np.int64)
        total += values
        squares += values * values
        inside = _windows(values, h, w)
        of_sums, sum_of_sums = of_sums + inside * inside, sum_of_sums + inside
    n = len(images)
    pixels = _windows(n * squares - total * total, h, w)
    result: np.ndarray = h * w * pixels - (n * of_sums - sum_of_sums * sum_of_sums)
    return result


def _windows(values: np.ndarray, h: int, w: int) -> np.ndarray:
    """The sum over every window of h × w."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int64)
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    result: np.ndarray = table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w]
    return result
