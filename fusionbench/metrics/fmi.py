"""FMI: mutual information between features of the fused image and its sources in small windows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._fmi_features import Feature, feature_of
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, namespace, need_side
from fusionbench.metrics._kernel import Loops

CELLS = 9  # of a 3×3 window, column by column
OFFSETS = [(row, column) for column in range(3) for row in range(3)]
# windows at a time: what they need fits the processor's cache, a device's memory
BLOCK, DEVICE_BLOCK = 1 << 11, 1 << 20
SECONDS = 0.25e-6  # a window of an image without compiled code
TINY = 1e-300  # whose logarithm is finite
UNRELATED = 1e150  # norm of a flat window: finite, for gradients
ROUNDING = 1e-12  # of a covariance that is summed from values up to 100


@image_metric
def fmi(fused: Image, a: Image, b: Image, *more: Image, feature: Feature = "pixel") -> Array:
    """Mean over 3×3 windows of the normalised information with the sources: three or more (N,H,W) to (N,), about 0..1.

    Args:
        feature: grey values, their horizontal central differences, binary edges, or the two-dimensional DCT or
            discrete Meyer wavelet transform of the whole image.

    Each window is stretched to 0..1 and taken as a distribution over its nine cells; the joint distribution of two
    windows is the mixture of independence and a Fréchet bound that has their correlation.

    Raises:
        DataError: a side below 3 pixels.

    Source: Haghighat, Razian 2014 (AICT, fast FMI), after Haghighat, Aghagolzadeh, Seyedarabi 2011.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.fmi import fmi
        >>> a = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> fmi(a, a, a).round(4).tolist()
        [1.0]
        >>> b = 255 - a  # another distribution in every window
        >>> round(float(fmi(a, a, b)[0]), 2)
        0.89
    """
    need_side(fused, 3, "fmi")
    images = [feature_of(image, feature) for image in (fused, a, b, *more)]
    height, width = images[0].shape  # of the feature
    total = _total_of_binary(images) if fused.xp is np and feature == "edge" else _total(fused.xp, images)
    return total / (len(images[1:]) * (height - 2) * (width - 2))


def _total(xp: Any, images: list[Image]) -> Array:
    """The sum of the values of all windows and sources, by blocks of rows."""
    height, width = images[0].shape
    stacks = [image.stored for image in images]
    loops = LOOPS.compiled(SECONDS * len(images) * images[0].count) if xp is np else None
    information = functools.partial(_information, xp) if loops is None else _Compiled(loops)
    batch = 1 if xp is np else stacks[0].shape[0]
    rows = max(1, (BLOCK if xp is np else DEVICE_BLOCK) // (batch * (width - 2)))
    total: Array = 0.0
    for top in range(0, height - 2, rows):
        f, *sources = (stack[..., top : top + rows + 2, :] for stack in stacks)
        for s, value in zip(sources, information(_double(f), [_double(s) for s in sources]), strict=True):
            value = xp.where(_equal_windows(f, s), 1.0, value.reshape(*f.shape[:-2], -1, width - 2))
            total = total + value.sum(AXES)
    return total


def _total_of_binary(images: list[Image]) -> Array:
    """The same of images of 0 and 1, whose 512 windows make few pairs: each pair is computed once, and counted."""
    codes = [_codes(image.stored) for image in images]
    total: Array = 0.0
    for code in codes[1:]:
        counts = np.bincount((codes[0] << CELLS | code).ravel(), minlength=1 << 2 * CELLS)
        pairs = np.flatnonzero(counts)
        places = np.arange(CELLS)[:, None]
        of_fused, of_source = pairs >> CELLS, pairs & (1 << CELLS) - 1
        windows = (_distributions(np, (side >> places & 1).astype(np.float64)) for side in (of_fused, of_source))
        values = np.where(of_fused == of_source, 1.0, _normalised_information(np, *windows))
        total = total + (values * counts[pairs]).sum()
    return total


def _codes(x: np.ndarray) -> np.ndarray:
    """A number below 512 for each window of an image of 0 and 1: bit k is its cell k."""
    height, width = x.shape[0] - 2, x.shape[1] - 2
    bits, code = x.astype(np.int64), np.zeros((height, width), np.int64)
    for k, (row, column) in enumerate(OFFSETS):
        code |= bits[row : row + height, column : column + width] << k
    return code


def _information(xp: Any, fused: Array, sources: Sequence[Array]) -> list[Array]:
    """The value of each window of a block of rows with each source."""
    windows = _windows(xp, fused)
    return [_normalised_information(xp, windows, _windows(xp, source)) for source in sources]


class _Compiled:
    """:func:`_information` by :mod:`fusionbench.metrics._fmi_compiled`, with the same bits, in memory of its own."""

    def __init__(self, loops: ModuleType) -> None:
        self._loops, self._room = loops, 0

    def __call__(self, fused: np.ndarray, sources: Sequence[np.ndarray]) -> list[np.ndarray]:
        count, loops = (fused.shape[0] - 2) * (fused.shape[1] - 2), self._loops
        chunks, lanes = -(-count // loops.LANES), loops.LANES
        if self._room != chunks:
            self._room = chunks
            self._cells, self._logarithms = np.empty((2, chunks, 35, lanes))
            self._of_fused, self._of_source = (
                (np.empty((chunks, 9, lanes)), np.empty((chunks, 13, lanes))) for _ in range(2)
            )
        cells, logarithms, found = self._cells, self._logarithms, []
        self._windows(fused, *self._of_fused)
        for source in sources:
            self._windows(source, *self._of_source)
            whole = cells
            if loops.fmi_joint(*self._of_fused, *self._of_source, cells):  # some may not be positive
                whole = np.abs(cells, out=logarithms)
                whole += TINY
            _log(whole, logarithms)
            values = np.empty((chunks, lanes))
            loops.fmi_value(cells, logarithms, self._of_fused[1], self._of_source[1], values)
            found.append(values.reshape(-1)[:count])
        return found

    def _windows(self, x: np.ndarray, pdf: np.ndarray, about: np.ndarray) -> None:
        self._loops.fmi_windows(np.ascontiguousarray(x), pdf, about)
        logarithms = self._logarithms.reshape(-1)[: pdf.size].reshape(pdf.shape)
        self._loops.fmi_entropy(pdf, _log(pdf, logarithms), about)


def _log(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    import cv2

    cv2.log(x.reshape(len(x), -1), dst=out.reshape(len(x), -1))  # half the time of NumPy's
    return out


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, on rows of flat, equal, inverted and unrelated windows."""
    x = np.arange(7 * 50, dtype=np.float64).reshape(7, 50) * 37 % 251
    others = [255 - x, x * x % 256, np.where(x < 90, 7.0, x), np.zeros_like(x), np.sqrt(x)]
    both = [_information(np, x, others), _Compiled(loops)(x, others)]
    return all(np.array_equal(*values) for values in zip(*both, strict=True))


def _double(x: Array) -> Array:
    return x.astype(np.float64) if isinstance(x, np.ndarray) else x


def _equal_windows(x: Array, y: Array) -> Array:
    """Where all nine cells are equal."""
    same = x == y
    same = same[..., :-2, :] & same[..., 1:-1, :] & same[..., 2:, :]
    return same[..., :-2] & same[..., 1:-1] & same[..., 2:]


@dataclass(frozen=True)
class _Windows:
    """Windows of a block of rows as distributions over their cells; every array has a value per window."""

    pdf: Array  # (9,n)
    cdf: Array  # (8,n): that of the ninth cell is 1
    entropy: Array  # in nats; the unit cancels
    deviation: Array  # σ of the cell number
    norm: Array  # √Σ(p - 1/9)², at least 0.1; huge of flat windows, which correlate with nothing
    cdf_sum: Array  # Σ P_i
    weighted_sum: Array  # Σ i·P_i


def _windows(xp: Any, x: Array) -> _Windows:
    """The n windows of (..., h+2, w+2) pixels: less their least value and divided by their sum; uniform where flat."""
    height, width = x.shape[-2] - 2, x.shape[-1] - 2
    least = xp.minimum(xp.minimum(x[..., :-2, :], x[..., 1:-1, :]), x[..., 2:, :])
    least = xp.minimum(xp.minimum(least[..., :-2], least[..., 1:-1]), least[..., 2:])
    cells = _stack(xp, [(x[..., row : row + height, column : column + width], least) for row, column in OFFSETS])
    return _distributions(xp, cells)


def _distributions(xp: Any, cells: Array) -> _Windows:
    """Windows whose nine cells are the columns of (9,n), the least of each 0; or all equal."""
    sums = _running(xp, cells)
    flat = sums[-1] == 0
    any_flat = bool(flat.any())
    if any_flat:
        cells = cells + flat
        sums = _running(xp, cells)
    pdf = cells / sums[-1]  # not by way of the reciprocal: of a single cell it is exactly 1, and its entropy exactly 0
    cdf = sums[:-1] / sums[-1]
    plain, weighted = cdf.sum(0), _weighted(xp, cdf)
    # Σi·p_i = 9 - ΣP_i and Σi²·p_i = 81 - Σ(2i+1)·P_i
    variance = (CELLS**2 - 2 * weighted - plain) - (CELLS - plain) ** 2
    norm = root(abs(_product(xp, pdf, pdf) - 1 / CELLS))
    if any_flat:
        norm = xp.where(flat, UNRELATED, norm)
    entropy = -_p_log_p(xp, pdf + TINY, False)
    return _Windows(pdf, cdf, entropy, root(xp.clip(variance, 0, None)), norm, plain, weighted)


def _normalised_information(xp: Any, fused: _Windows, source: _Windows) -> Array:
    """2·I(F;S)/(H(F)+H(S)) per window.

    The Fréchet bound of the joint cdf is min(P_i, Q_j) for a positive correlation; for a negative one it is the same
    with the cells of one window in reverse. Its pdf is the overlap of the intervals from P_i-1 to P_i and from Q_j-1
    to Q_j: only the 17 cells between neighbours among the merged values of both cdfs differ from a multiple of
    p_i·q_j, and the entropy of that is known from those of both windows.
    """
    rho = (_product(xp, fused.pdf, source.pdf) - 1 / CELLS) / (fused.norm * source.norm)
    positive = (rho >= 0) * 1.0
    negative = 1 - positive
    # in falling order, as the merge needs it; where() takes three times as long
    falling = _reversed(xp, source.cdf) * positive + (1 - source.cdf) * negative
    ends, of_fused = _merged(xp, fused.cdf, falling)
    # Hoeffding: the covariance is the sum of joint cdf minus product of cdfs, and Σ min(P_i, Q_j) is a matter of ranks
    plain = (8 - source.cdf_sum) + (2 * source.cdf_sum - 8) * positive
    weighted = source.weighted_sum + (36 - CELLS * source.cdf_sum) * negative
    both = fused.cdf_sum + plain
    covariance = (fused.weighted_sum + weighted - _weighted(xp, ends[1:-1])) + (8 * both - fused.cdf_sum * plain)
    # weight of the bound; without a deviation there is no covariance either
    phi = abs(rho) * (fused.deviation * source.deviation) / xp.clip(covariance, ROUNDING, None)
    rest = 1 - phi  # that of independence
    p, q = _steps(xp, ends, of_fused)
    independent = p * q * rest + TINY
    mixture = (ends[1:] - ends[:-1]) * phi + independent
    h_sum = fused.entropy + source.entropy
    signed = bool((rest <= 0).any())
    change = _p_log_p(xp, mixture, signed) - _p_log_p(xp, independent, signed)
    h_joint = rest * h_sum - _p_log_p(xp, rest[None], signed) - change
    return 2 * (h_sum - h_joint) / (h_sum + TINY)


def _merged(xp: Any, rising: Array, falling: Array) -> tuple[Array, Array]:
    """(18,n) values from 0 to 1 in rising order, and (16,n): 1.0 where those between are of ``rising``, else 0.0.

    Batcher's bitonic merge of eight and eight values. Their origin travels in the last bit of 1+x, which moves x by
    2e-16.
    """
    count = rising.shape[-1]
    if xp is np:
        x, spare, ends = np.empty((16, count)), np.empty((16, count)), np.empty((18, count))
        _marked(np.add(rising, 1, out=x[:8]), 1)
        _marked(np.add(falling, 1, out=x[8:]), 0)
        for half in (8, 4, 2, 1):
            pairs, sorted_pairs = (array.reshape(-1, 2, half, count) for array in (x, spare))
            np.minimum(pairs[:, 0], pairs[:, 1], out=sorted_pairs[:, 0])
            np.maximum(pairs[:, 0], pairs[:, 1], out=sorted_pairs[:, 1])
            x, spare = spare, x
        np.subtract(x, 1, out=ends[1:17])
        ends[0], ends[17] = 0, np.maximum(ends[16], 1)
        return ends, (x.view(np.int64) & 1).astype(np.float64)
    x = xp.concatenate([_marked(rising + 1, 1), _marked(falling + 1, 0)])
    for half in (8, 4, 2, 1):
        pairs = x.reshape(-1, 2, half, count)
        x = xp.stack([xp.minimum(pairs[:, 0], pairs[:, 1]), xp.maximum(pairs[:, 0], pairs[:, 1])], 1)
    x = x.reshape(16, count)
    zero = xp.zeros_like(x[:1])
    return xp.concatenate([zero, x - 1, (x[-1:] - 1).clip(min=1)]), (x.detach().view(xp.int64) & 1).to(x.dtype)


def _marked(x: Array, bit: int) -> Array:
    """``x`` with this last bit."""
    if isinstance(x, np.ndarray):
        bits = x.view(np.int64)
        bits &= -2
        bits |= bit
        return x
    plain = x.detach()
    return x + ((plain.view(namespace(x).int64) & -2 | bit).view(x.dtype) - plain)  # exact; gradients go through it


def _steps(xp: Any, ends: Array, of_fused: Array) -> tuple[Array, Array]:
    """p_i and q_j of the 17 intervals: from the last value of each cdf, or 0, to its next one, or 1."""
    of_source = 1 - of_fused
    between = ends[1:-1]
    if xp is np:
        last, following = (np.empty((2, 17, between.shape[-1])) for _ in range(2))
        last[:, 0], following[:, 16] = 0, ends[17]
        np.multiply(of_fused, between, out=last[0, 1:])
        np.subtract(between, last[0, 1:], out=last[1, 1:])
        np.add(last[0, 1:], of_source, out=following[0, :16])
        np.add(last[1, 1:], of_fused, out=following[1, :16])
        for k in range(1, 17):
            np.maximum(last[:, k], last[:, k - 1], out=last[:, k])
            np.minimum(following[:, 16 - k], following[:, 17 - k], out=following[:, 16 - k])
        following -= last
        return following[0], following[1]
    below_p = of_fused * between
    below_q = between - below_p
    p, q = (
        xp.concatenate([below + other, ends[-1:]]).flip(0).cummin(0).values.flip(0)
        - xp.concatenate([ends[:1], below]).cummax(0).values
        for below, other in ((below_p, of_source), (below_q, of_fused))
    )
    return p, q


def _p_log_p(xp: Any, p: Array, signed: bool) -> Array:
    """Σ p·ln|p| over (k,n). ``signed`` if some may not be positive: a mixture beyond its bound has negative cells."""
    if xp is np:
        import cv2

        return _product(xp, p, cv2.log(np.abs(p) + TINY if signed else p))  # half the time of NumPy's
    return _product(xp, p, xp.log(abs(p) + TINY))


def _stack(xp: Any, differences: list[tuple[Array, Array]]) -> Array:
    """(k,n) differences of arrays."""
    if xp is not np:
        return xp.stack([x - y for x, y in differences]).reshape(len(differences), -1)
    result = np.empty((len(differences), *differences[0][0].shape))
    for row, (x, y) in zip(result, differences, strict=True):
        np.subtract(x, y, out=row)
    return result.reshape(len(differences), -1)


def _running(xp: Any, rows: Array) -> Array:
    """Sums of the first row, of the first two, …"""
    if xp is not np:
        return rows.cumsum(0)
    result = np.empty_like(rows)
    result[0] = rows[0]
    for k in range(1, len(rows)):
        np.add(result[k - 1], rows[k], out=result[k])
    return result


def _product(xp: Any, x: Array, y: Array) -> Array:
    """Σ_k x_k·y_k of (k,n) arrays."""
    return np.add.reduce(x * y) if xp is np else (x * y).sum(0)


def _weighted(xp: Any, rows: Array) -> Array:
    """Σ k·x_k of (k,n), counted from 1."""
    numbers = np.arange(1.0, len(rows) + 1)
    if xp is np:
        return np.add.reduce(rows * numbers[:, None])  # term by term, as compiled code does
    return xp.from_numpy(numbers).to(rows.device) @ rows


def _reversed(xp: Any, rows: Array) -> Array:
    return rows[::-1] if xp is np else rows.flip(0)


LOOPS = Loops("fmi", "fusionbench.metrics._fmi_compiled", _agrees)


METRIC = Metric(
    name="fmi",
    version="1",
    title="Feature mutual information",
    label="FMI",
    function=fmi,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Haghighat, Razian 2014, IEEE AICT, 1–3; Haghighat, Aghagolzadeh, Seyedarabi 2011, CEE 37(5), 744–756",
    formula="FMI = mean_w ½[2I(F;A)/(H_F+H_A) + 2I(F;B)/(H_F+H_B)] over 3×3 windows as distributions",
    exploits="Copying one source makes its half exactly 1.",
    choices=(
        "Grey values are the feature, gradient is a parameter; fmi_edge, fmi_dct and fmi_wavelet have the others. "
        "Tables with FMI_pixel by one evaluator (linfeng) really have binary edges.",
    ),
    edge_cases="Equal windows count as 1, flat or not; a flat window against another one is close to 0.",
    differentiable=True,
    gradient="Of the bound that holds: extremes of windows and minima of distributions have kinks, and the value jumps "
    "to 1 where two windows are equal.",
    invariances=("swapping the sources", "one scale factor and offset per image"),
    min_side=3,
    min_reason="its windows are 3×3",
    oracle="a plain loop over the windows",
    many=True,
)
