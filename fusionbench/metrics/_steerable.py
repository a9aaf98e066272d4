"""Filters of the steerable pyramid and sums over its bands, for wavelet VIF on the CPU: by NumPy, or compiled with the
same bits.

The windows are small and symmetric, so that what has one weight is added (or subtracted) before it is multiplied;
images are mirrored at their outermost pixels.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from fusionbench.metrics._images import BAND
from fusionbench.metrics._windows import ones, pad_border, separable
from fusionbench.synth.kernel import whole

BLOCK = 3  # pixels along each side of the vectors
# (rows down, columns right) from each pixel to those that it is multiplied with
DISPLACEMENTS = [((k + 2) // 5, (k + 2) % 5 - 2) for k in range(13)]


def low_pass(loops: ModuleType | None, x: np.ndarray, quarter: np.ndarray, step: int) -> np.ndarray:
    """Every ``step``-th row and column under the symmetric window of which the upper left quarter is given."""
    reach = len(quarter) - 1
    padded = pad_border(x, reach, "reflect")
    height, width = (-(-side // step) for side in x.shape)
    out = np.empty((height, width))
    if loops is not None:
        loops.wavelet_low(whole(padded), whole(quarter), step, out)
        return out
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        part, here = out[top : top + rows], padded[step * top :]
        for r in range(reach + 1):
            down = here[r : r + step * rows : step][:rows]
            if r < reach:
                down = down + here[2 * reach - r : 2 * reach - r + step * rows : step][:rows]
            for c in range(reach + 1):
                term = down[:, c : c + step * width : step][:, :width]
                if c < reach:
                    term = term + down[:, 2 * reach - c : 2 * reach - c + step * width : step][:, :width]
                _add(part, term, quarter[r, c], r + c == 0)
    return out


def band_passes(loops: ModuleType | None, x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertical and horizontal structure, by 7×7 windows that are odd along one axis and even along the other.

    ``weights`` (4,3) are the upper left of the first, with its middle row; its middle column is 0.
    """
    padded = pad_border(x, 3, "reflect")
    (height, width), across, down = x.shape, np.empty(x.shape), np.empty(x.shape)
    if loops is not None:
        loops.wavelet_passes(whole(padded), whole(weights), across, down)
        return across, down
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        here = padded[top : top + rows + 6]
        sums = [here[r : r + rows] + here[6 - r : 6 - r + rows] for r in range(3)] + [here[3 : 3 + rows]]
        differences = [here[c : c + rows] - here[6 - c : 6 - c + rows] for c in range(3)]
        for r in range(4):
            for c in range(3):
                term = sums[r][:, c : c + width] - sums[r][:, 6 - c : 6 - c + width]
                _add(across[top : top + rows], term, weights[r, c], r + c == 0)
                term = differences[c][:, r : r + width]
                if r < 3:
                    term = term + differences[c][:, 6 - r : 6 - r + width]
                _add(down[top : top + rows], term, weights[r, c], r + c == 0)
    return across, down


def _add(out: np.ndarray, term: np.ndarray, weight: float, first: bool) -> None:
    if first:
        np.multiply(term, weight, out=out)
    else:
        out += term * weight


def inner_products(loops: ModuleType | None, y: np.ndarray) -> np.ndarray:
    """(14,W) sums over rows 2 to H-3 of a band with two columns of zeros at each side (H,W+4): of the product of each
    pixel with that at each of :data:`DISPLACEMENTS`, and of the pixels."""
    width, last = y.shape[1] - 4, len(y) - 2
    out = np.zeros((len(DISPLACEMENTS) + 1, width))
    if loops is not None:
        loops.wavelet_products(whole(y), out)
        return out
    for top in range(2, last, BAND):
        rows = min(BAND, last - top)
        here = y[top : top + rows, 2 : 2 + width]
        for total, (down, right) in zip(out[:-1], DISPLACEMENTS, strict=True):
            product = here * y[top + down : top + down + rows, 2 + right : 2 + right + width]
            product[0] += total  # row after row
            np.add.reduce(product, out=total)
        product = here.copy()
        product[0] += out[-1]
        np.add.reduce(product, out=out[-1])
    return out


def block_covariance(loops: ModuleType | None, band: np.ndarray) -> np.ndarray:
    """(9,9) covariance of all 3×3 blocks, overlapping ones too.

    Its entries are sums of products of pixels at one of 13 displacements, over nearly the same pixels: only the
    outermost rows and columns differ.
    """
    (height, width), (rows, columns) = band.shape, (side - BLOCK + 1 for side in band.shape)
    y = np.zeros((height, width + 4))
    y[:, 2:-2] = band
    core = inner_products(loops, y)
    sums: list[np.ndarray] = []
    numbers: dict[tuple[int, int], int] = {}
    for place, (down, right) in enumerate([*DISPLACEMENTS, (0, 0)]):
        ends = []
        for first in (0, rows):
            here = y[first : first + 2, 2:-2]
            there = y[first + down : first + down + 2, 2 + right : 2 + right + width]
            of_ends = here[: len(there)] * there if place < len(DISPLACEMENTS) else here
            ends += [of_ends[k] if k < len(of_ends) else np.zeros(width) for k in range(2)]
        for i in range(BLOCK - down):
            numbers[place, i] = len(sums)
            sums.append(core[place] + (ends[i] + ends[i + 1]))  # rows i to i + rows - 1
    stack = np.array(sums)
    totals = np.array([stack[:, j : j + columns].sum(1) for j in range(BLOCK)]) / (rows * columns)
    mean = np.array([totals[j, numbers[len(DISPLACEMENTS), i]] for i in range(BLOCK) for j in range(BLOCK)])
    found = np.empty((BLOCK**2, BLOCK**2))
    places = {displacement: place for place, displacement in enumerate(DISPLACEMENTS)}
    for one in range(BLOCK**2):
        for other in range(one, BLOCK**2):
            (i, j), (k, m) = divmod(one, BLOCK), divmod(other, BLOCK)
            product = totals[j, numbers[places[k - i, m - j], i]]
            found[one, other] = found[other, one] = product - mean[one] * mean[other]
    return found


def box_sums(
    loops: ModuleType | None, x: np.ndarray, y: np.ndarray | None, window: int, start: int, shape: tuple[int, int]
) -> np.ndarray:
    """Sums of ``x``, or of x·y, in ``shape`` square windows, which begin every three pixels from ``start`` on."""
    rows, columns = shape
    if loops is not None and rows > 0 and columns > 0:
        out = np.empty(shape)
        loops.wavelet_boxes(whole(x), whole(x if y is None else y), y is not None, window, start, out)
        return out
    z = x if y is None else x * y
    # columns first: the pass along the rows has a third of them left
    down = separable(z, ones(1), ones(window))[start::BLOCK][:rows]
    found: np.ndarray = separable(down, ones(window), ones(1))[:, start::BLOCK][:, :columns]
    return found
