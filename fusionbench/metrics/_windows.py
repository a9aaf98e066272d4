"""Filters: separable windows and Sobel gradients, on one NumPy image or on a batch of tensors.

The CPU uses OpenCV's separable filter in float64 (each output is its own sum, so neither
threads nor neighbours matter); a device uses a banded matrix product, which float64 tensor
units execute fast. The tests compare the two.
"""

from __future__ import annotations

import decimal
import functools
import math
from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.metrics._gradients import divided, multiplied, root, subtracted
from fusionbench.metrics._images import BAND, Array, Image, clamp_min, namespace
from fusionbench.metrics._kernel import Loops
from fusionbench.synth.kernel import whole

Border = Literal["valid", "zero", "replicate", "reflect", "symmetric"]
Order = Literal["matlab", "octave", "window"]  # in which published code adds the terms of a 3×3 sum
_CV2 = {"valid": 0, "zero": 0, "replicate": 1, "reflect": 4, "symmetric": 2}  # OpenCV's numbers, which it never changes
SECONDS = 0.25e-9  # a weight and pixel without compiled code
_BLOCK = 32  # outputs per block of the banded product


@functools.cache
def gaussian(size: int, sigma: float) -> np.ndarray:
    """(size,) weights of a Gaussian around the middle tap, sum 1; a 2-D window is their outer product."""
    taps = np.arange(size) - (size - 1) / 2
    return with_sum_one(exact_exp(-(taps**2) / (2 * sigma * sigma)))


def exact_exp(exponents: np.ndarray) -> np.ndarray:
    """e to the power of few (n,) float64 values, each rounded once.

    The last bit of ``np.exp`` depends on NumPy's release and on the processor's instructions. Where variances are
    rounding errors (VIF of products that saturate), one bit of a window moves a score by 2e-7.
    """
    context = decimal.Context(prec=50)
    return np.array([float(context.exp(decimal.Decimal(value))) for value in exponents.tolist()])


def with_sum_one(weights: np.ndarray) -> np.ndarray:
    """Weights over their sum, which is rounded once: the same bits everywhere."""
    result: np.ndarray = weights / math.fsum(weights)
    return result


@functools.cache
def ones(size: int) -> np.ndarray:
    """(size,) ones: sums over a box, exact on whole numbers."""
    return np.ones(size)


def separable(x: Array, rows: np.ndarray, columns: np.ndarray | None = None, border: Border = "valid") -> Array:
    """Correlate with the window ``outer(columns, rows)`` (odd sizes; ``"valid"`` takes even ones, too).

    ``"valid"`` keeps the outputs whose window lies inside: (H-k+1, W-k+1); the others keep the size.
    """
    columns = rows if columns is None else columns
    if isinstance(x, np.ndarray):
        if border != "valid":
            import cv2

            return cv2.sepFilter2D(x, -1, rows, columns, borderType=_CV2[border])
        return _valid_sums(x, rows, columns)
    x = pad(x, len(columns) // 2, len(rows) // 2, border)
    return _banded(_banded(x, rows).transpose(-1, -2), columns).transpose(-1, -2)


Means = tuple[Array, Array]


def products(x: Array, y: Array, weights: np.ndarray, border: Border = "valid", means: Means | None = None) -> Array:
    """:func:`separable` of ``x·y`` with one window for both axes, less the product of the ``means`` of both."""
    if border == "valid" and isinstance(x, np.ndarray):
        return _valid_sums(x, weights, weights, y, means)
    found = separable(x * y, weights, border=border)
    return found if means is None else subtracted(found, means[0] * means[1])


def _valid_sums(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, y: np.ndarray | None = None, means: Means | None = None
) -> np.ndarray:
    """Of ``x``, or of ``x·y``, by compiled code where there is any: with the same bits."""
    loops = _loops(x, len(columns), len(rows))
    if loops is None:
        found = _filtered(x if y is None else x * y, rows, columns)
        return found if means is None else subtracted(found, means[0] * means[1])
    return _compiled_sums(loops, x, rows, columns, y, means)


def _loops(x: np.ndarray, down: int, right: int, sums: int = 1) -> ModuleType | None:
    """Compiled code for so many sums under a window of so many rows and columns, if it can make them."""
    loops = LOOPS.compiled(SECONDS * x.size * (down + right) * sums)
    fits = loops is not None and max(down, right) <= loops.TAPS and x.shape[0] >= down and x.shape[1] >= right
    return loops if fits else None


def _compiled_moments(
    loops: ModuleType, x: np.ndarray, weights: np.ndarray, clip: bool
) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = np.empty((2, x.shape[0] - len(weights) + 1, x.shape[1] - len(weights) + 1))
    loops.window_moments(whole(x), weights, clip, mean, variance)
    return mean, variance


def _compiled_sums(
    loops: ModuleType,
    x: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    y: np.ndarray | None,
    means: Means | None,
    step: int = 1,
) -> np.ndarray:
    out = np.empty(((x.shape[0] - len(columns)) // step + 1, x.shape[1] - len(rows) + 1))
    less = (out, out) if means is None else (whole(means[0]), whole(means[1]))
    x = whole(x)
    of_y = x if y is None else whole(y)
    loops.window_sums(x, of_y, y is not None, columns, rows, step, *less, means is not None, False, out)
    return out


def _filtered(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    import cv2

    # one call of sepFilter2D takes two thirds of the time, and rounds otherwise: where 8-bit products saturate, VIF
    # is rounding errors divided by each other, and one of MATLAB's 225 values was missed by 2e-7, not 5e-8
    if len(columns) > 1:
        x = cv2.filter2D(x, -1, columns[:, None], borderType=cv2.BORDER_CONSTANT)
    if len(rows) > 1:
        x = cv2.filter2D(x, -1, rows[None], borderType=cv2.BORDER_CONSTANT)
    return _inside(x, len(columns), len(rows))


def _inside(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """The outputs whose window of ``height`` rows and ``width`` columns lies inside."""
    down, right = height // 2, width // 2
    return x[down : len(x) - (height - 1 - down), right : x.shape[1] - (width - 1 - right)]


def _box(x: Array, y: Array | None, weights: np.ndarray, border: Border, exact: bool) -> Array:
    """Sums of ``x``, or of ``x·y``, under one window; over boxes of whole numbers, ``exact``, as running sums."""
    size = len(weights)
    box = isinstance(x, np.ndarray) and weights is ones(size)
    halves = box and not exact and border == "valid" and size & (size - 1) == 0
    if not halves and not (box and exact):
        return separable(x, weights, border=border) if y is None else products(x, y, weights, border)
    x = x if y is None else x * y
    if halves:
        return _doubled(x, size)
    import cv2

    y = cv2.boxFilter(x, -1, (size, size), normalize=False, borderType=_CV2[border])
    return y if border != "valid" else _inside(y, size, size)


def _doubled(x: np.ndarray, size: int) -> np.ndarray:
    """Sums over boxes whose side is a power of two, inside only: of two sums of two sums, …, along rows first."""
    for axis in (1, 0):
        step = 1
        while step < size:
            x = x[:, :-step] + x[:, step:] if axis else x[:-step] + x[step:]
            step *= 2
    return x


def pad(x: Array, down: int, right: int, border: Border) -> Array:
    """Lengthen each side of (N,H,W) tensors by ``down`` rows and ``right`` columns."""
    if border == "valid":
        return x
    import torch

    if border == "symmetric":
        rows, columns = (
            torch.from_numpy(np.pad(np.arange(n), p, mode="symmetric")).to(x.device)
            for n, p in ((x.shape[-2], down), (x.shape[-1], right))
        )
        return x[..., rows, :][..., columns]
    mode = {"zero": "constant", "replicate": "replicate", "reflect": "reflect"}[border]
    return torch.nn.functional.pad(x[:, None], (right, right, down, down), mode=mode)[:, 0]


def _banded(x: Array, weights: np.ndarray) -> Array:
    """Valid correlation along the last axis as products of overlapping blocks with one banded matrix."""
    import torch

    taps, length = len(weights), x.shape[-1]
    outputs = length - taps + 1
    blocks = -(-outputs // _BLOCK)
    x = torch.nn.functional.pad(x, (0, blocks * _BLOCK + taps - 1 - length))
    band = np.zeros((_BLOCK + taps - 1, _BLOCK))
    for output in range(_BLOCK):
        band[output : output + taps, output] = weights
    windows = x.unfold(-1, _BLOCK + taps - 1, _BLOCK)  # (..., blocks, band rows)
    y = windows @ torch.from_numpy(band).to(x.device)
    return y.reshape(*x.shape[:-1], blocks * _BLOCK)[..., :outputs]


def downsample(image: Image, weights: np.ndarray, border: Border = "valid") -> Array:
    """Smooth, then take every second row and column."""
    halo = len(weights) // 2
    if border != "valid":
        y = separable(image.pixels, weights, border=border)[..., ::2, ::2]
        return np.ascontiguousarray(y) if image.xp is np else y.contiguous()
    if image.xp is not np:
        return separable(image.pixels, weights)[..., ::2, ::2].contiguous()
    height, width = (side - 2 * halo for side in image.shape)
    loops = _loops(image.pixels, len(weights), len(weights))
    if loops is not None:  # in tiles of its own
        return np.ascontiguousarray(_compiled_sums(loops, image.pixels, weights, weights, None, None, 2)[:, ::2])
    result = np.empty((-(-height // 2), -(-width // 2)))
    for place, band in enumerate(image.bands(halo)):
        # columns first, so that the pass along the rows filters half as many
        rows = separable(band.pixels, ones(1), weights)[::2]
        top = place * BAND // 2
        result[top : top + len(rows)] = separable(rows, weights, ones(1))[:, ::2]
        band.clear_cache()
    return result


def pad_border(x: Array, width: int, border: Border) -> Array:
    """``x`` with ``width`` more pixels on each side."""
    if isinstance(x, np.ndarray):
        import cv2

        return cv2.copyMakeBorder(x, width, width, width, width, _CV2[border])
    return pad(x, width, width, border)


def sobel(x: Array) -> tuple[Array, Array]:
    """(horizontal, vertical) differences, right minus left and lower minus upper, by Sobel's 3×3 masks.

    Only where the mask lies inside: (H,W) gives (H-2,W-2). Tensors of any precision may have more axes before these;
    losses of networks take their slopes from here as well.
    """
    if isinstance(x, np.ndarray):
        import cv2

        return cv2.Sobel(x, -1, 1, 0)[1:-1, 1:-1], cv2.Sobel(x, -1, 0, 1)[1:-1, 1:-1]
    # differences of slices: a fraction of the time of a convolution with one channel on a CPU
    across, down = x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :]
    across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    return across, down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]


def magnitude(x: Array, y: Array) -> Array:
    """sqrt(x² + y²); exact sums of whole numbers are rounded once, those of fractions as the processor likes."""
    if isinstance(x, np.ndarray):
        import cv2

        return cv2.magnitude(x, y)
    return root(x * x + y * y)


def on_unit_scale(x: Array) -> Array:
    """``x/255``, rounded once on every device."""
    if isinstance(x, np.ndarray):
        return x / 255
    # by a plain 255 a GPU multiplies with 1/255, which differs in the last bit
    return x / x.new_full((), 255.0)


def sobel_in_order(x: Array, order: Order) -> tuple[Array, Array]:
    """What :func:`sobel` gives, with the terms of each sum added one by one in the order of published code.

    On whole numbers all orders equal :func:`sobel`. On fractions they differ in the last bits, which decide where
    exact comparisons find two equal gradients or a vertical edge. Terms of weight 0 are left out, which changes
    nothing, and the weights ±1 and ±2 are exact, so each term is rounded once, in the sum.

    Args:
        order: ``"matlab"`` is that of MATLAB's conv2: from the last column to the first, in each from the last row to
            the first. ``"octave"`` is that of Octave's conv2: from the first column to the last, in each from the last
            row to the first. ``"window"`` is sum(sum(window.*mask)): each column from its first row on, then the sums
            of the columns.
    """
    xp = namespace(x)
    height, width = x.shape[-2] - 2, x.shape[-1] - 2
    columns = (2, 1, 0) if order == "matlab" else (0, 1, 2)
    rows = (0, 1, 2) if order == "window" else (2, 1, 0)
    sums = []
    for mask in (((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), ((-1, -2, -1), (0, 0, 0), (1, 2, 1))):
        total = xp.zeros_like(x[..., 1:-1, 1:-1])
        for column in columns:
            part = xp.zeros_like(total) if order == "window" else total
            for row in rows:
                if mask[row][column]:
                    part += mask[row][column] * x[..., row : row + height, column : column + width]
            if order == "window":
                total += part
        sums.append(total)
    return sums[0], sums[1]


def local_moments(
    image: Image, weights: np.ndarray, border: Border, key: object, clip: bool = False
) -> tuple[Array, Array]:
    """Local mean and variance under the window ``outer(weights, weights)``, cached under ``key``.

    Weights of sum 1 give E[x] and E[x²]-E[x]²; a box of ones gives them from whole-number sums, exactly. ``clip``:
    rounding errors below 0 are 0.
    """

    def compute() -> tuple[Array, Array]:
        x, exact = image.pixels, image.grey is not None
        if border == "valid" and image.xp is np and _weight(weights) == 1:
            loops = _loops(x, len(weights), len(weights), 2)
            if loops is not None:
                return _compiled_moments(loops, x, weights, clip)
        total = _box(x, None, weights, border, exact)
        if (weight := _weight(weights)) == 1:
            mean, variance = total, products(x, x, weights, border, (total, total))
        else:
            mean, variance = _central(total, _box(x, x, weights, border, exact), weight)
        return mean, clamp_min(variance, 0.0) if clip else variance

    return image.cached(("moments", key, clip), compute)


def local_covariance(x: Image, y: Image, weights: np.ndarray, border: Border, means: Means) -> Array:
    """Local covariance of two images, given their local means."""
    exact = x.grey is not None and y.grey is not None
    weight = _weight(weights)
    if weight == 1:
        return products(x.pixels, y.pixels, weights, border, means)
    product = divided(_box(x.pixels, y.pixels, weights, border, exact), weight)
    return subtracted(product, means[0] * means[1])


def _weight(weights: np.ndarray) -> float:
    total = float(weights.sum())
    return total**2 if total > 1.5 else 1.0


def _central(total: Array, squares: Array, weight: float) -> tuple[Array, Array]:
    """(mean, variance) from sums of so many whole numbers: ``weight·Σx² - (Σx)²`` is exact in float64."""
    spread = subtracted(multiplied(squares, weight), total * total)
    return total / weight, divided(spread, weight**2)


def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of OpenCV's filters, of every number of weights and at the ends of tiles."""
    x = (np.arange(60 * 300) * 37 % 251).reshape(60, 300) ** 1.3
    for taps in (1, 3, 5, 7, 8, 9, 10, 11, 17):
        weights, other = gaussian(taps, 0.2 * taps), gaussian(5, 1.0)
        for product in (False, True):
            y = x[::-1] if product else None
            found = _filtered(x if y is None else x * y, other, weights)
            mean = _filtered(x, other, weights)
            for means in (None, (mean, mean[::-1])):
                expected = found if means is None else found - means[0] * means[1]
                if not np.array_equal(_compiled_sums(loops, x, other, weights, y, means), expected):
                    return False
            if not np.array_equal(_compiled_sums(loops, x, other, weights, y, None, 2), found[::2]):
                return False
    mean = _filtered(x, weights, weights)
    variance = _filtered(x * x, weights, weights) - mean * mean
    flat = np.where(x > 900, 900.1, x)  # some variances are rounding errors below 0
    mean_of_flat = _filtered(flat, weights, weights)
    clipped = np.maximum(_filtered(flat * flat, weights, weights) - mean_of_flat * mean_of_flat, 0)
    moments = *_compiled_moments(loops, x, weights, False), *_compiled_moments(loops, flat, weights, True)
    return all(map(np.array_equal, (mean, variance, mean_of_flat, clipped), moments))


LOOPS = Loops("sums under windows", "fusionbench.metrics._windows_compiled", _agrees)
