"""Wavelet VIF: visual information fidelity in the subbands of a steerable pyramid (the original VIF, not VIF-p)."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import refuse_gradient
from fusionbench.metrics._images import AXES, Array, Image, image_metric, namespace, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._steerable import BLOCK, band_passes, block_covariance, box_sums, low_pass
from fusionbench.metrics._windows import ones, separable
from fusionbench.synth.kernel import whole

LEVELS = 4
SECONDS = 250e-9  # a pixel of three images without compiled code
SIGMA_N_SQ = 0.4
TINY = 1e-15
SMALLEST_SHARE = 1e-12  # of the largest eigenvalue: directions below it carry nothing but rounding
MIN_SIDE = 72  # the coarsest level, an eighth of the image, is as large as the 9×9 low-pass

# Filters of the steerable pyramid with six orientations (Karasaridis, Simoncelli 1996; "sp5"), by their symmetries:
# an eighth of the two low-passes, rows from the corner to the centre, and the upper left of the band-pass at 0°,
# which is odd along its rows and even along its columns. The band-pass at 90° is its transpose.
_LOW_0 = ((0.00341614, -0.01551246, -0.03848215), (0.05586982, 0.15925570), (0.40304148,))
_LOW = (
    (0.00170808, -0.00489834, -0.00775624, -0.01888864, -0.01924108),
    (-0.01046562, -0.01322234, 0.00821200, 0.02005976),
    (0.02793492, 0.06554076, 0.07962786),
    (0.12852666, 0.16339236),
    (0.20193080,),
)
_BAND = (
    (0.00277643, -0.00986904, -0.01021852),
    (0.00496194, -0.00893064, -0.03075356),
    (0.01026699, 0.01189859, -0.08226445),
    (0.01455399, 0.02755155, -0.11732297),
)


@image_metric
def vif_wavelet(fused: Image, a: Image, b: Image, *, over: Literal["sum", "mean"] = "sum", unit: bool = False) -> Array:
    """Sum over the sources of the information in wavelet subbands that F keeps: (N,H,W) on 0..255, sides ≥ 72, to (N,).

    Two of six orientations of four levels; each band in 3×3 vectors, a Gaussian scale mixture, seen through gain and
    noise of its neighbourhood and visual noise of variance 0.4. A source without any structure counts as 1.

    Args:
        over: sum or mean of the two sources.
        unit: images on 0..1, where the visual noise of 0.4 drowns all detail.

    Raises:
        DataError: a side below 72 pixels.

    Source: Sheikh, Bovik 2006 (IEEE Trans. Image Process. 15, 430).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.vif_wavelet import vif_wavelet
        >>> texture = (np.arange(72 * 72) ** 2 * 37 % 251).astype(np.uint8).reshape(1, 72, 72)
        >>> vif_wavelet(texture, texture, texture).round(4).tolist()  # everything of both sources
        [2.0]
        >>> vif_wavelet(np.full_like(texture, 128), texture, texture).round(4).tolist()
        [0.0]
    """
    why = "its model of the sources is a decomposition into eigenvectors; detach() the images to score them"
    refuse_gradient(why, *(image.stored for image in (fused, a, b)))
    need_side(fused, MIN_SIDE, "vif_wavelet")
    total = _fidelity(fused, a, unit) + _fidelity(fused, b, unit)
    return total / 2 if over == "mean" else total


def _fidelity(fused: Image, source: Image, unit: bool) -> Array:
    """Information that reaches the eye from the source through the fused image, over what the source itself has."""
    xp = fused.xp
    kept, there = 0.0, 0.0
    for place, (field, eigenvalues, of_source) in enumerate(_source_model(source, unit)):
        sums = (*_local_sums(source, unit, place), *_local_sums(fused, unit, place))
        bands = _subbands(source, unit)[place], _subbands(fused, unit)[place]
        products = _box_sums(_loops(source), *bands, _window(place))
        values = _values(_loops(source), products, *sums, field, eigenvalues, _window(place) ** 2)
        kept = kept + xp.log2(values).sum(AXES)
        there = there + of_source
    return xp.where(there > 0, kept / xp.where(there > 0, there, 1.0), 1.0)


def _values(
    loops: ModuleType | None,
    products: Array,
    sum_s: Array,
    var_s: Array,
    sum_f: Array,
    var_f: Array,
    field: Array,
    eigenvalues: Array,
    count: int,
) -> Array:
    """Product over the eigenvalues of 1 + g²sλ/(σ_v²+0.4) of every block, so that one logarithm serves all nine.

    (gain g, noise variance σ_v²) of F = g·S + noise are those around the block's centre.
    """
    if loops is not None:
        values = np.empty(products.shape)
        given = [np.ravel(each) for each in (products, sum_s, var_s, sum_f, var_f, field)]
        loops.wavelet_values(*given, whole(eigenvalues), float(count), values.reshape(-1))
        return values
    xp: Any = namespace(products)
    cov = products - sum_s * sum_f / count
    gain = cov / (var_s + TINY)
    noise = (var_f - gain * cov) / count
    nothing = (var_s < TINY) | (var_f < TINY) | (gain < 0)
    gain, noise = xp.where(nothing, 0.0, gain), xp.where(nothing, 0.0, noise)
    power = gain * gain / (xp.clip(noise, TINY, None) + SIGMA_N_SQ) * field
    return _product(None, power, eigenvalues)


def _product(loops: ModuleType | None, power: Array, eigenvalues: Array) -> Array:
    """Product over the eigenvalues λ of 1 + power·λ."""
    if loops is not None:
        out = np.empty(power.shape)
        loops.wavelet_product(np.ravel(power), whole(eigenvalues), out.reshape(-1))
        return out
    product = 1.0
    for k in range(BLOCK**2):
        product = product * (1 + power * eigenvalues[..., k, None, None])
    return product


def _subbands(image: Image, unit: bool) -> list[Array]:
    """Vertical and horizontal structure of the four levels, fine to coarse; sides are cut to multiples of 3."""

    def compute() -> list[Array]:
        x = image.pixels / 255 if unit else image.pixels
        return _plane_bands(_loops(image), x) if image.xp is np else _bands_on_a_device(x)

    return image.cached(("vif_wavelet bands", unit), compute)


def _plane_bands(loops: ModuleType | None, x: np.ndarray) -> list[np.ndarray]:
    low, found = low_pass(loops, x, _quarter(_LOW_0), 1), []
    for level in range(LEVELS):
        if level:
            low = low_pass(loops, low, _quarter(_LOW), 2)
        rows, columns = (side // BLOCK * BLOCK for side in low.shape)
        found += [whole(band[:rows, :columns]) for band in band_passes(loops, low, np.array(_BAND))]
    return found


def _bands_on_a_device(x: Array) -> list[Array]:
    low = _filtered(x, _whole(_LOW_0))
    left = np.array([*_BAND, *_BAND[2::-1]])
    across = np.concatenate([left, np.zeros((7, 1)), -left[:, ::-1]], 1)
    found = []
    for level in range(LEVELS):
        if level:
            low = _filtered(low, _whole(_LOW))[..., ::2, ::2]
        rows, columns = (side // BLOCK * BLOCK for side in low.shape[-2:])
        found += [_filtered(low, window)[..., :rows, :columns] for window in (across, across.T)]
    return found


def _quarter(eighth: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """The upper left quarter of a filter, with its middle, from an eighth of it."""
    size = len(eighth)
    quarter = np.zeros((size, size))
    for row, values in enumerate(eighth):
        quarter[row, row:] = quarter[row:, row] = values
    return quarter


def _whole(eighth: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """(k,k) filter from an eighth of it: symmetric about its middle row and column and about its diagonal."""
    quarter = _quarter(eighth)
    half = np.concatenate([quarter, quarter[:, -2::-1]], 1)
    return np.concatenate([half, half[-2::-1]])


def _filtered(x: Array, window: np.ndarray) -> Array:
    """Correlation of tensors with a small window; the image is mirrored at its outermost pixels."""
    import torch

    half = window.shape[0] // 2
    padded = torch.nn.functional.pad(x[:, None], (half, half, half, half), mode="reflect")
    return torch.nn.functional.conv2d(padded, torch.from_numpy(window.copy())[None, None].to(x.device))[:, 0]


def _source_model(source: Image, unit: bool) -> list[tuple[Array, Array, Array]]:
    """Per subband the variance field of the Gaussian scale mixture, one a 3×3 block, (…,9) eigenvalues, and the
    information that the source itself has."""

    def compute() -> list[tuple[Array, Array, Array]]:
        bands = enumerate(_subbands(source, unit))
        return [_scale_mixture(source, band, _margin(_window(place))) for place, band in bands]

    return source.cached(("vif_wavelet model", unit), compute)


def _window(place: int) -> int:
    """Side of the neighbourhood in which gain and noise are estimated: 17 at the finest level, 3 at the coarsest."""
    return (1 << (LEVELS - place // 2)) + 1


def _margin(window: int) -> int:
    """Blocks at each side whose neighbourhood reaches over the border."""
    return -(-(window // 2) // BLOCK)


def _scale_mixture(image: Image, y: Array, margin: int) -> tuple[Array, Array, Array]:
    xp = image.xp
    eigenvalues, vectors = xp.linalg.eigh(block_covariance(_loops(image), y) if xp is np else _covariance(y, xp))
    floor = xp.clip(eigenvalues[..., -1:] * SMALLEST_SHARE, TINY, None)
    usable = eigenvalues > floor
    eigenvalues = xp.where(usable, eigenvalues, 0.0)
    whitening = vectors * xp.where(usable, 1 / xp.sqrt(xp.where(usable, eigenvalues, 1.0)), 0.0)[..., None, :]
    rows, columns = y.shape[-2] // BLOCK, y.shape[-1] // BLOCK
    apart = [y[..., row::BLOCK, column::BLOCK] for row in range(BLOCK) for column in range(BLOCK)]
    vectors_of_blocks = xp.stack(apart, -3).reshape(*y.shape[:-2], BLOCK**2, rows * columns)
    white = xp.swapaxes(whitening, -1, -2) @ vectors_of_blocks
    field = ((white * white).sum(-2) / BLOCK**2).reshape(*y.shape[:-2], rows, columns)
    field = field[..., margin : rows - margin, margin : columns - margin]
    directly = _product(_loops(image), field, eigenvalues / SIGMA_N_SQ)
    return field, eigenvalues, xp.log2(directly).sum(AXES)


def _covariance(y: Array, xp: Any) -> Array:
    """(…,9,9) covariance of all 3×3 blocks of tensors, overlapping ones too."""
    height, width = y.shape[-2] - BLOCK + 1, y.shape[-1] - BLOCK + 1
    shifted = [y[..., i : i + height, j : j + width] for i in range(BLOCK) for j in range(BLOCK)]
    vectors = xp.stack(shifted, -3).reshape(*y.shape[:-2], BLOCK**2, height * width)
    mean = vectors.mean(-1)
    products = vectors @ xp.swapaxes(vectors, -1, -2) / (height * width)
    return products - mean[..., :, None] * mean[..., None, :]


def _local_sums(image: Image, unit: bool, place: int) -> tuple[Array, Array]:
    """Sum and sum of squared deviations of a subband around each block's centre."""

    def compute() -> tuple[Array, Array]:
        y, window, loops = _subbands(image, unit)[place], _window(place), _loops(image)
        total, squares = _box_sums(loops, y, None, window), _box_sums(loops, y, y, window)
        return total, image.xp.clip(squares - total * total / window**2, 0, None)

    return image.cached(("vif_wavelet sums", unit, place), compute)


def _box_sums(loops: ModuleType | None, x: Array, y: Array | None, window: int) -> Array:
    """Sums of ``x``, or of x·y, over windows around the blocks' centres, of the blocks inside the margin."""
    margin = _margin(window)
    rows, columns = (side // BLOCK - 2 * margin for side in x.shape[-2:])
    start = BLOCK * margin + BLOCK // 2 - window // 2
    if isinstance(x, np.ndarray):
        return box_sums(loops, x, y, window, start, (rows, columns))
    z = x if y is None else x * y
    down = separable(z, ones(1), ones(window))[..., start::BLOCK, :][..., :rows, :]
    return separable(down, ones(window), ones(1))[..., start::BLOCK][..., :columns]


def _loops(image: Image) -> ModuleType | None:
    return LOOPS.compiled(SECONDS * image.count / 40) if image.xp is np else None  # asked 40 times for three images


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with flat places among others."""
    x = (np.arange(47 * 76).reshape(47, 76) * 37 % 251) ** 1.1
    x[:20, :30] = 9.7
    both = []
    for each in (None, loops):
        found = [low_pass(each, x, _quarter(_LOW_0), 1), low_pass(each, x, _quarter(_LOW), 2)]
        found += [*band_passes(each, x, np.array(_BAND)), block_covariance(each, x)]
        shape = (47 // 3 - 6, 76 // 3 - 6)
        found += [box_sums(each, x, y, window, 2, shape) for y in (None, x[::-1]) for window in (3, 5, 17)]
        sums, field = found[-6:-1], found[0][: shape[0], : shape[1]]
        some = np.linspace(0, 3, 9)
        found.append(_values(each, sums[0], sums[1], sums[2], sums[3], sums[4], field, some, 25))
        found.append(_product(each, found[0], some))
        both.append(found)
    return all(np.array_equal(one, other) for one, other in zip(*both, strict=True))


LOOPS = Loops("vif_wavelet", "fusionbench.metrics._wavelet_compiled", _agrees)


METRIC = Metric(
    name="vif_wavelet",
    version="1",
    title="Visual information fidelity in wavelet subbands",
    label="VIF (wavelet)",
    function=vif_wavelet,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, float("inf")),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Sheikh, Bovik 2006, IEEE Trans. Image Process. 15(2), 430–444",
    formula="VIF = Σ_sources Σ_bands Σ log2(1 + g²sλ/(σ_v²+0.4)) / Σ log2(1 + sλ/0.4),  "
    "steerable pyramid of 4 levels, orientations 0° and 90°, 3×3 vectors",
    exploits="Contrast gain raises it above 2.",
    choices=(
        "The original VIF; vif is its approximation with pixels, another quantity: 0.38 to 1.09 here for 0.48 to 0.97 "
        "there on six real results.",
        "Images on 0..255. One evaluator takes 0..1, where the visual noise of 0.4 drowns all detail: 1.46 for 0.64 as "
        "the mean of two sources.",
        "Sum of the two sources, as vif; some evaluators print the mean.",
        "Directions of the 3×3 vectors with less than 1e-12 of the variance of the strongest are left out: the "
        "original inverts a singular matrix there.",
    ),
    edge_cases="Three equal images give 2; a source without structure counts as 1; sides below 72 pixels are refused.",
    gradient="The sources' model is a decomposition into eigenvectors, which are undefined where two values are equal.",
    invariances=("swapping the sources", "adding a constant to any image", "transposition"),
    min_side=MIN_SIDE,
    min_reason="the coarsest of its four levels has no room for the 9×9 filter",
    oracle="pyrtools SteerablePyramidSpace and plain loops; the authors' code in Octave on real images",
)
