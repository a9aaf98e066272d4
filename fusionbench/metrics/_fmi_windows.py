"""The information that 3×3 windows share, for FMI on the CPU: by NumPy, or compiled with the same bits.

The Fréchet bound of the joint cdf is min(P_i, Q_j) for a positive correlation; for a negative one it is the same with
the cells of one window in reverse. Its pdf is the overlap of the intervals from P_i-1 to P_i and from Q_j-1 to Q_j:
only the 17 cells between neighbours among the merged values of both cdfs differ from a multiple of p_i·q_j. Values of a
cdf are multiples of 2^-51 here, each moved by as many as its cell has before it, and those of F by half of one more:
then no two are equal, and after the merge it is known of which cell each is. So the logarithms of the shares, which the
entropies need anyway, serve every product p_i·q_j, and only 18 are taken for two windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from fusionbench.metrics._kernel import Loops

CELLS = 9  # of a 3×3 window, column by column
OFFSETS = [(row, column) for column in range(3) for row in range(3)]
TINY = 1e-300  # whose logarithm is finite
ROUNDING = 1e-12  # of a covariance that is summed from values up to 100
STEP = 2.0**-51
BLOCK, CHUNKS = 1400, 8  # windows, or chunks of lanes, at a time: what they need fits the processor's cache
TOP, END = 1 + 7 * STEP, 1 + 8 * STEP  # a cdf read backwards is TOP less its values; END stands for 1


@dataclass(frozen=True)
class Windows:
    """Windows as distributions over their cells; every array has a value per window."""

    pdf: np.ndarray  # (9,n), 1e-300 for 0
    logs: np.ndarray  # (9,n) logarithms of the pdf, 0 for that of 0
    keys: np.ndarray  # (8,n) cdf in multiples of 2^-51, each moved by one more; that of the ninth cell is 1
    entropy: np.ndarray  # in nats; the unit cancels
    spread: np.ndarray  # σ of the cell number over √Σ(p - 1/9)²; 0 of flat windows, which correlate with nothing
    cdf_sum: np.ndarray  # Σ P_i
    weighted_sum: np.ndarray  # Σ i·P_i


def information(x: np.ndarray, sources: Sequence[np.ndarray]) -> list[np.ndarray]:
    """2·I(F;S)/(H(F)+H(S)) of every window of (h+2,w+2) pixels with that of each source, row by row; 1 where equal."""
    windows = of_pixels(x)
    found = [normalised_information(windows, of_pixels(source)) for source in sources]
    for value, source in zip(found, sources, strict=True):
        value[equal_windows(x, source).reshape(-1)] = 1
    return found


def of_pixels(x: np.ndarray) -> Windows:
    """The n windows of (h+2,w+2) pixels: less their least value and divided by their sum; uniform where flat."""
    height, width = x.shape[0] - 2, x.shape[1] - 2
    least = np.minimum(np.minimum(x[:-2], x[1:-1]), x[2:])
    least = np.minimum(np.minimum(least[:, :-2], least[:, 1:-1]), least[:, 2:])
    cells = np.empty((CELLS, height, width))
    for cell, (row, column) in zip(cells, OFFSETS, strict=True):
        np.subtract(x[row : row + height, column : column + width], least, out=cell)
    return distributions(cells.reshape(CELLS, -1))


def distributions(cells: np.ndarray) -> Windows:
    """Windows whose nine cells are the columns of (9,n), the least of each 0."""
    import cv2

    sums = np.empty_like(cells)
    sums[0] = cells[0]
    for k in range(1, CELLS):
        np.add(sums[k - 1], cells[k], out=sums[k])
    flat = sums[-1] == 0
    if flat.any():
        cells, sums = cells + flat, np.where(flat, np.arange(1.0, CELLS + 1)[:, None], sums)
    total = sums[-1]
    reciprocal = 1 / total
    # of a single cell it is exactly 1, and its entropy exactly 0
    pdf, cdf = cells * reciprocal, sums[:-1] * reciprocal
    np.copyto(cdf, 1.0, where=sums[:-1] == total)
    if (cells.max(0) == total).any():
        np.copyto(pdf, 1.0, where=cells == total)
    plain, weighted = _sum(cdf), _sum(cdf * np.arange(1.0, CELLS)[:, None])
    # Σi·p_i = 9 - ΣP_i and Σi²·p_i = 81 - Σ(2i+1)·P_i
    variance = (CELLS**2 - 2 * weighted - plain) - (CELLS - plain) * (CELLS - plain)
    norm = abs(_sum(pdf * pdf) - 1 / CELLS)
    spread = np.where(flat, 0.0, np.sqrt(np.maximum(variance, 0) / np.where(flat, 1.0, norm)))
    pdf += TINY
    logs = cv2.log(pdf)  # half the time of NumPy's
    entropy = -_sum(pdf * logs)
    keys = ((cdf + 2) - 2) + np.arange(CELLS - 1)[:, None] * STEP
    np.copyto(logs, 0.0, where=(pdf <= TINY) | (logs > 0))
    return Windows(pdf, logs, keys, entropy, spread, plain, weighted)


def normalised_information(fused: Windows, source: Windows) -> np.ndarray:
    """2·I(F;S)/(H(F)+H(S)) per window."""
    import cv2

    excess = _sum(fused.pdf * source.pdf) - 1 / CELLS  # of Σ p_i·q_i over that of unrelated windows
    positive = excess >= 0
    keys = _merged(fused, source, positive)
    # Hoeffding: the covariance is the sum of joint cdf minus product of cdfs, and Σ min(P_i, Q_j) is a matter of ranks
    plain = np.where(positive, source.cdf_sum, 8 - source.cdf_sum)
    weighted = np.where(positive, source.weighted_sum, source.weighted_sum + (36 - CELLS * source.cdf_sum))
    ranks = _sum(keys * np.arange(1.0, 17)[:, None])
    products = 8 * (fused.cdf_sum + plain) - fused.cdf_sum * plain
    covariance = np.maximum((fused.weighted_sum + weighted - ranks) + products, ROUNDING)
    # weight of the bound; without a deviation there is no covariance either
    phi = abs(excess) * (fused.spread * source.spread) / covariance
    rest = 1 - phi  # that of independence
    p, q, log_p, log_q = _steps(fused, source, positive, keys)
    p *= q
    p *= rest  # the cells of independence
    cells = np.empty((18, len(rest)))
    np.subtract(keys[1:], keys[:-1], out=cells[1:16])
    cells[0], cells[16], cells[17] = keys[0], END - keys[15], rest
    cells[:17] *= phi
    cells[:17] += p
    total = _sum(p)
    log_p += log_q
    log_p *= p
    logs = cv2.log(abs(cells) + TINY)  # a mixture beyond its bound has negative cells
    h_sum = fused.entropy + source.entropy
    change = _sum(cells[:17] * logs[:17]) - (_sum(log_p) + logs[17] * total)
    value = 2 * (h_sum - (rest * (h_sum - logs[17]) - change)) / (h_sum + TINY)
    return np.where(rest == 1, 0.0, value)  # nothing shared, whatever rounding says


def _merged(fused: Windows, source: Windows, positive: np.ndarray) -> np.ndarray:
    """(16,n) values of both cdfs in rising order: Batcher's bitonic merge of eight rising and eight falling values."""
    keys, spare = np.empty((2, 16, len(positive)))
    np.add(fused.keys, STEP / 2, out=keys[:8])
    np.subtract(TOP, source.keys, out=keys[8:])
    np.copyto(keys[8:], source.keys[::-1], where=positive)
    for half in (8, 4, 2, 1):
        pairs, in_order = (rows.reshape(8 // half, 2, half, -1) for rows in (keys, spare))
        np.minimum(pairs[:, 0], pairs[:, 1], out=in_order[:, 0])
        np.maximum(pairs[:, 0], pairs[:, 1], out=in_order[:, 1])
        keys, spare = spare, keys
    return keys


def _steps(
    fused: Windows, source: Windows, positive: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """p_i and q_j of the 17 intervals, from the last value of each cdf, or 0, to its next one, or 1; logarithms."""
    odd = (keys * (2 / STEP)).astype(np.int64) & 1
    of_fused = odd.astype(np.float64)
    last, following = (np.empty((2, 17, len(positive))) for _ in range(2))
    last[:, 0], following[:, 16] = 0, END
    np.multiply(of_fused, keys, out=last[0, 1:])
    np.subtract(keys, last[0, 1:], out=last[1, 1:])
    of_fused *= END
    np.subtract(END, of_fused, out=following[0, :16])
    following[0, :16] += last[0, 1:]
    np.add(last[1, 1:], of_fused, out=following[1, :16])
    for k in range(1, 17):
        np.maximum(last[:, k], last[:, k - 1], out=last[:, k])
        np.minimum(following[:, 16 - k], following[:, 17 - k], out=following[:, 16 - k])
    following -= last
    # how many cells of each lie before the interval is the number of its own
    place = np.zeros((17, len(positive)), np.int64)
    for k in range(16):
        np.add(place[k], odd[k], out=place[k + 1])
    column = np.arange(len(positive))
    of_p = fused.logs.take(place * len(positive) + column)
    place = np.arange(17)[:, None] - place
    place = np.where(positive, place, CELLS - 1 - place)
    of_q = source.logs.take(place * len(positive) + column)
    return following[0], following[1], of_p, 1 - (1 - of_q)  # as where 1 less it travels


def _sum(rows: np.ndarray) -> np.ndarray:
    """Σ_k x_k of (k,n), term by term, which np.add.reduce() does not if n is 1."""
    if rows.shape[1] == 1:
        rows = np.cumsum(rows, axis=0)[-1:]
    found: np.ndarray = np.add.reduce(rows)
    return found


def equal_windows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where all nine cells of (..., h+2,w+2) pixels are equal."""
    same = x == y
    same = same[..., :-2, :] & same[..., 1:-1, :] & same[..., 2:, :]
    found: np.ndarray = same[..., :-2] & same[..., 1:-1] & same[..., 2:]
    return found


def shared_information(loops: ModuleType | None, x: np.ndarray, sources: Sequence[np.ndarray]) -> np.ndarray:
    """:func:`information` of (h+2,w+2) pixels as (sources,h,w), by :mod:`fusionbench.metrics._fmi_compiled` where it is
    there, in memory for a few windows."""
    height, width = x.shape[0] - 2, x.shape[1] - 2
    if loops is None:
        step = max(1, BLOCK // width)
        found = np.empty((len(sources), height, width))
        for top in range(0, height, step):
            here = slice(top, top + step + 2)
            values = information(x[here].astype(np.float64), [source[here].astype(np.float64) for source in sources])
            found[:, top : top + step] = np.reshape(values, (len(sources), -1, width))
        return found
    across = -(-width // loops.LANES)
    images = np.zeros((len(sources) + 1, height + 2, across * loops.LANES + 2))
    for image, pixels in zip(images, (x, *sources), strict=True):
        image[:, : width + 2] = pixels
    chunks, step = height * across, min(height * across, CHUNKS)
    windows = np.zeros((len(sources) + 1, step, loops.WINDOW, loops.LANES))
    pairs = np.zeros((len(sources), step, loops.PAIR, loops.LANES))
    found = np.empty((len(sources), height, across * loops.LANES))
    for begin in range(0, chunks, step):
        count = min(step, chunks - begin)
        loops.fmi_windows(images, begin, count, windows)
        _logarithms(windows, 0, CELLS, CELLS)
        loops.fmi_entropy(windows)
        loops.fmi_joint(windows, pairs)
        _logarithms(pairs, 20, 20, 18)
        loops.fmi_value(images, begin, count, windows, pairs, found)
    return np.ascontiguousarray(found[:, :, :width])


def _logarithms(rows: np.ndarray, start: int, to: int, count: int) -> None:
    """Of so many rows of (…,rows,lanes) from ``start`` on, into those from ``to`` on."""
    import cv2

    lanes = rows.shape[-1]
    flat = rows.reshape(-1, rows.shape[-2] * lanes)
    cv2.log(flat[:, start * lanes : (start + count) * lanes], dst=flat[:, to * lanes : (to + count) * lanes])


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, on rows of flat, equal, inverted and unrelated windows."""
    x = np.arange(7 * 50, dtype=np.float64).reshape(7, 50) * 37 % 251
    others = [255 - x, x * x % 256, np.where(x < 90, 7.0, x), np.zeros_like(x), np.sqrt(x)]
    return np.array_equal(shared_information(None, x, others), shared_information(loops, x, others))


LOOPS = Loops("fmi", "fusionbench.metrics._fmi_compiled", _agrees)
