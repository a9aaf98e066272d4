"""Q_P: how well features found by phase congruency survive in the fused image (Zhao)."""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from types import ModuleType
from typing import Any, Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._windows import gaussian, separable

SCALES, ORIENTATIONS = 4, 6
MIN_WAVELENGTH, STEP = 3.0, 2.1  # wavelength of the finest filters in pixels, and its growth from scale to scale
BANDWIDTH, ANGULAR = 0.55, 1.2
NOISE_SIGMAS, NOISE_SCALE = 2.0, 1.7
CUT, SHARPNESS = 0.5, 10.0
GUARD, THRESHOLD, CONSTANT = 1e-4, 0.1, 1e-4
LowPass = Literal["centred", "off by one"]
HALO, BAND_PIXELS = 5, 1 << 16  # rows that the window of the correlations reaches; pixels that fit a processor's cache
CACHE_BYTES = 128 << 20
TINY = 1e-300
MIN_SIDE = 28  # one wavelength of the coarsest filters


@image_metric
def qp(fused: Image, a: Image, b: Image, *, low_pass: LowPass = "centred") -> Array:
    """Product of three local correlations of phase congruency maps: three (N,H,W) on 0..255, sides ≥ 28, to (N,).

    The maps are phase congruency and its maximum and minimum moment; each is correlated with that of A, of B and
    of the stronger of both, and the best counts. NaN where no source has a feature.

    Args:
        low_pass: ``"off by one"`` puts the filters' low-pass one bin off the centre at odd sizes.

    Raises:
        DataError: a side below 28 pixels.

    Source: Zhao, Laganière, Liu 2007 (Int. J. Innov. Comput. Inf. Control 3, 1433); Kovesi 1999, 2003.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qp import qp
        >>> a = np.zeros((1, 32, 32), np.uint8)
        >>> a[0, 8:24, 8:24] = 200  # a square
        >>> qp(a, a, a).round(2).tolist()
        [0.92]
        >>> qp(np.full_like(a, 50), a, a).round(2).tolist()  # the exploit: a constant image
        [1.0]
    """
    need_side(fused, MIN_SIDE, "qp")
    xp = fused.xp
    filters = _filters(*fused.shape, low_pass)
    maps_f, maps_a, maps_b = (_maps(image, filters) for image in (fused, a, b))
    features: Array = 0
    sums: list[Array] = [0.0] * len(maps_f)
    for number, (rows, inside) in enumerate(_bands(fused)):
        band_f, band_a, band_b = ([plane[..., rows, :] for plane in maps] for maps in (maps_f, maps_a, maps_b))
        from_a = band_a[0] > band_b[0]
        masks = [band_a[0] > THRESHOLD, band_b[0] > THRESHOLD]
        masks.append((from_a & masks[0]) | (~from_a & masks[1]))
        features = features + masks[2][..., inside, :].sum(AXES)
        for place, (map_f, map_a, map_b) in enumerate(zip(band_f, band_a, band_b, strict=True)):
            key = "qp sources", b.serial, filters.low_pass, number, place
            compute = functools.partial(_source_moments, xp, map_a, map_b, from_a, masks)
            sources = a.cached(key, compute) if a.persistent and b.persistent else compute()
            best = _correlations(xp, map_f, sources, masks)
            sums[place] = sums[place] + best[..., inside, :].sum(AXES)
    product: Array = 1.0
    for total in sums:
        product = product * xp.where(features > 0, total / xp.clip(features, 1, None), xp.nan)
    return product


def has_features(image: Image) -> bool:
    """Whether the phase congruency of one image exceeds the threshold anywhere."""
    return bool((_maps(image, _filters(*image.shape, "centred"))[0] > THRESHOLD).any())


def _bands(image: Image) -> list[tuple[slice, slice]]:
    """(rows with those that the filters reach, the band among them); a batch on a device is one band."""
    height, width = image.shape
    if image.xp is not np:
        return [(slice(0, height), slice(0, height))]
    step = max(1, BAND_PIXELS // width)
    spans = [(max(0, top - HALO), top, min(top + step, height)) for top in range(0, height, step)]
    return [(slice(first, end + HALO), slice(top - first, end - first)) for first, top, end in spans]


def _smooth(x: Array) -> Array:
    return separable(x, gaussian(2 * HALO + 1, 1.5), border="zero")


def _source_moments(
    xp: Any, map_a: Array, map_b: Array, from_a: Array, masks: list[Array]
) -> list[tuple[Array, Array, Array]]:
    """(map, local mean, local variance) of A, B and the stronger of both, each where it has features."""
    found = []
    for source, mask in zip((map_a, map_b, xp.where(from_a, map_a, map_b)), masks, strict=True):
        masked = source * mask
        mean = _smooth(masked)
        found.append((masked, mean, _smooth(masked * masked) - mean * mean))
    return found


def _correlations(xp: Any, fused: Array, sources: list[tuple[Array, Array, Array]], masks: list[Array]) -> Array:
    """The largest of the local correlations, where a map has features; 0 elsewhere."""
    mu_f = _smooth(fused)
    sigma_f_sq = _smooth(fused * fused) - mu_f * mu_f
    best = None
    for (masked, mu_s, sigma_s_sq), mask in zip(sources, masks, strict=True):
        sigma_sf = _smooth(masked * fused) - mu_s * mu_f
        correlation = (sigma_sf + CONSTANT) / (root(abs(sigma_s_sq * sigma_f_sq)) + CONSTANT) * mask
        best = correlation if best is None else xp.maximum(best, correlation)
    return best


def _maps(image: Image, filters: _Filters) -> tuple[Array, Array, Array]:
    """(phase congruency, its maximum moment, its minimum moment), cached."""
    return image.cached(("phase congruency", filters.low_pass), lambda: _compute_maps(image, filters))


def _compute_maps(image: Image, filters: _Filters) -> tuple[Array, Array, Array]:
    xp = image.xp
    spectrum = _transform().rfft2(image.pixels) if xp is np else xp.fft.rfft2(image.pixels)
    rotated = -1j * spectrum
    # phase congruency is energy over amplitude; its moments are xx, yy, xy
    energy_sum, amplitude_sum, xx, yy, xy = (xp.zeros_like(image.pixels) for _ in range(5))
    for orientation in range(ORIENTATIONS):
        evens, odds = _responses(image, spectrum, rotated, filters, orientation)
        finest = _magnitude(xp, evens[0], odds[0])
        threshold = _noise_threshold(xp, finest, filters.noise_gain(orientation))
        angle = orientation * math.pi / ORIENTATIONS
        cosine, sine = math.cos(angle), math.sin(angle)
        for rows, inside in _bands(image):
            rows = slice(rows.start + inside.start, rows.start + inside.stop)  # no filter here
            e, o, first = ([plane[..., rows, :] for plane in planes] for planes in (evens, odds, [finest]))
            energy, amplitude = _energy(xp, e, o, first, threshold)
            congruency = energy / (amplitude + TINY)  # 0 where the amplitude is
            square = congruency * congruency
            for total, part in zip(
                (energy_sum, amplitude_sum, xx, yy, xy),
                (energy, amplitude, square * cosine**2, square * sine**2, square * (cosine * sine)),
                strict=True,
            ):
                total[..., rows, :] += part
    xx, yy, xy = xx / (ORIENTATIONS / 2), yy / (ORIENTATIONS / 2), xy / ORIENTATIONS
    half_spread = (root(xy * xy + (xx - yy) ** 2) + GUARD) / 2
    mean = (xx + yy) / 2
    return energy_sum / (amplitude_sum + GUARD), mean + half_spread, mean - half_spread


def _transform() -> ModuleType:
    """SciPy's Fourier transforms, loaded when the first image is scored: listing metrics needs none."""
    import scipy.fft

    module: ModuleType = scipy.fft
    return module


def _responses(
    image: Image, spectrum: Array, rotated: Array, filters: _Filters, orientation: int
) -> tuple[list[Array], list[Array]]:
    """The even and odd responses at every scale: real parts of filters in frequency give even ones, and so on.

    Both are real, so two inverse transforms of half spectra do what one of a whole spectrum would, and their results
    lie apart in memory.
    """
    xp, shape = image.xp, image.shape
    responses: tuple[list[Array], list[Array]] = [], []
    for half, angular, found in zip((spectrum, rotated), filters.angular(orientation), responses, strict=True):
        if xp is np:
            turned = half * angular
            product = np.empty_like(turned)
            for radial in filters.radial:
                np.multiply(turned.view(np.float64), radial, out=product.view(np.float64))
                # one axis after the other in place takes six parts in seven of irfft2's time
                rows = _transform().ifft(product, axis=0, overwrite_x=True)
                found.append(_transform().irfft(rows, n=shape[1], axis=1, overwrite_x=True))
        else:
            turned = half * xp.from_numpy(angular).to(half.device)
            found += [
                xp.fft.irfft2(turned * xp.from_numpy(np.ascontiguousarray(radial[:, ::2])).to(half.device), s=shape)
                for radial in filters.radial
            ]
    return responses


def _magnitude(xp: Any, x: Array, y: Array) -> Array:
    if xp is np:
        import cv2

        return cv2.magnitude(x, y)
    return root(x * x + y * y)


def _noise_threshold(xp: Any, finest: Array, noise_gain: float) -> Array:
    """Energy that noise reaches, from the amplitudes of the finest scale.

    The median of a Rayleigh amplitude's square gives its mean, free of the few strong edges.
    """
    power = _median_square(xp, finest.reshape(*finest.shape[:-2], -1)) / math.log(2)
    tau = root(power * noise_gain)
    threshold = tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / NOISE_SCALE
    return threshold[..., None, None]


def _energy(
    xp: Any, evens: list[Array], odds: list[Array], finest: list[Array], threshold: Array
) -> tuple[Array, Array]:
    """(weighted local energy above the noise, sum of amplitudes) of one orientation.

    ``finest``: the amplitude at the first scale, which is known already.
    """
    even, odd = functools.reduce(xp.add, evens), functools.reduce(xp.add, odds)
    amplitudes = finest + [_magnitude(xp, e, o) for e, o in zip(evens[1:], odds[1:], strict=True)]
    total, largest = functools.reduce(xp.add, amplitudes), functools.reduce(xp.maximum, amplitudes)
    width = total / (largest + GUARD)  # of the frequency spread: a feature at one scale counts less
    # along the mean phase (even, odd)/length, less what is across it
    squared = even * even + odd * odd
    across = [_distance(xp, e * odd, o * even) for e, o in zip(evens, odds, strict=True)]
    energy = (squared - functools.reduce(xp.add, across)) / (root(squared) + GUARD)
    energy = xp.clip(energy - threshold, 0, None)
    return energy / (1 + _exp(xp, CUT * SHARPNESS - width * (SHARPNESS / SCALES))), total


def _exp(xp: Any, x: Array) -> Array:
    if xp is np:
        import cv2

        return cv2.exp(x)  # in six tenths of NumPy's time
    return xp.exp(x)


def _distance(xp: Any, x: Array, y: Array) -> Array:
    """|x - y|."""
    if xp is np:
        import cv2

        return cv2.absdiff(x, y, dst=x)
    return abs(x - y)


def _median_square(xp: Any, values: Array) -> Array:
    """The median of the squares of values that are not negative, over the last axis."""
    if xp is not np:
        values = values * values
        return xp.quantile(values, 0.5, dim=-1) if values.shape[-1] < 1 << 24 else values.median(-1).values
    ranks = [(len(values) - 1) // 2, len(values) // 2]
    # the middle of a sample encloses the median nearly always; sorting these few takes a quarter of the time
    sample = np.sort(values[:: max(1, len(values) // 2048)])
    low, high = sample[int(len(sample) * 0.45)], sample[int(len(sample) * 0.55)]
    below = int(np.count_nonzero(values < low))
    middle = values[(values >= low) & (values <= high)]
    if below <= ranks[0] and ranks[1] < below + len(middle):
        values, ranks = middle, [rank - below for rank in ranks]
    pair = np.partition(values, ranks)[ranks]
    return np.float64((pair[0] ** 2 + pair[1] ** 2) / 2)


class _Filters:
    """Log-Gabor filters of one image size as factors: one a scale and, even and odd, one an orientation.

    Only the half of the spectrum that a real image needs. ``radial`` has every value twice, beside the real and the
    imaginary part of a spectrum.
    """

    def __init__(self, height: int, width: int, low_pass: LowPass) -> None:
        self.shape, self.low_pass = (height, width), low_pass
        half = width // 2 + 1
        self._columns, self._rows = np.arange(half), np.arange(height)
        x, y = _frequencies(width), _frequencies(height)
        radius = np.hypot(x[None, :half], y[:, None])
        radius[0, 0] = 1
        logarithm = np.log(radius)
        self.radial = []
        for scale in range(SCALES):
            centre = -math.log(MIN_WAVELENGTH * STEP**scale)
            radial = np.exp((logarithm - centre) ** 2 / (-2 * math.log(BANDWIDTH) ** 2))
            radial[0, 0] = 0
            self.radial.append(np.repeat(radial, 2, axis=1))
        self._angular: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._gains: dict[int, float] = {}
        self.cached = False

    @property
    def nbytes(self) -> int:
        """Of all factors."""
        height, width = self.shape
        return height * (width // 2 + 1) * 8 * (2 * SCALES + 2 * ORIENTATIONS)

    def angular(self, orientation: int) -> tuple[np.ndarray, np.ndarray]:
        """The even and the odd part under negation of the frequency, each (H, W//2+1)."""
        found = self._angular.get(orientation)
        if found is None:
            here = self._one_sided(orientation, self._rows, self._columns)
            height, width = self.shape
            there = self._one_sided(orientation, -self._rows % height, -self._columns % width)
            found = (here + there) / 2, (here - there) / 2
            if self.cached:
                self._angular[orientation] = found
        return found

    def _one_sided(self, orientation: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        height, width = self.shape
        x, y = _frequencies(width)[columns], _frequencies(height)[rows, None]
        shift = np.fft.ifftshift if self.low_pass == "centred" else np.fft.fftshift  # they differ at odd sizes
        low_x, low_y = (shift(np.arange(n) - n // 2) / n for n in (width, height))
        squares = (low_x[columns] ** 2 + low_y[rows, None] ** 2) / 0.45**2
        turn = np.arctan2(-y, x) - orientation * math.pi / ORIENTATIONS
        turn -= 2 * math.pi * np.round(turn / (2 * math.pi))
        result: np.ndarray = np.exp(turn * turn / (-2 * (math.pi / ORIENTATIONS / ANGULAR) ** 2)) / (1 + squares**15)
        return result

    def noise_gain(self, orientation: int) -> float:
        """What turns noise power into energy²/2, by Parseval from the filters' even parts."""
        if orientation not in self._gains:
            even, odd = self.angular(orientation)
            # all columns but those without a partner in the other half count twice
            weight = np.full(even.shape[1], 2.0)
            weight[0] = 1
            if self.shape[1] % 2 == 0:
                weight[-1] = 1
            total = self.radial[0][:, ::2].copy()
            for radial in self.radial[1:]:
                total += radial[:, ::2]
            total *= even
            finest = self.radial[0][:, ::2] ** 2 * (even * even + odd * odd)
            self._gains[orientation] = float(((total * total) @ weight).sum() / (finest @ weight).sum())
        return self._gains[orientation]


_cache: OrderedDict[tuple[int, int, LowPass], _Filters] = OrderedDict()
_lock = threading.Lock()


def _filters(height: int, width: int, low_pass: LowPass) -> _Filters:
    """The filters of a size; those used last are kept, as many as CACHE_BYTES hold."""
    key = height, width, low_pass
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    filters = _Filters(*key)
    if filters.nbytes <= CACHE_BYTES:
        filters.cached = True
        with _lock:
            _cache[key] = filters
            while sum(each.nbytes for each in _cache.values()) > CACHE_BYTES:
                _cache.popitem(last=False)
    return filters


def _frequencies(size: int) -> np.ndarray:
    """Cycles per pixel of the FFT's bins; of an odd size the range is -½..½, as the published filters have it."""
    return np.fft.ifftshift(np.arange(size) - size // 2) / (size - 1 if size % 2 else size)


METRIC = Metric(
    name="qp",
    version="1",
    title="Zhao's phase congruency measure Q_P",
    label="Qp",
    function=qp,
    needs="pair",
    better="higher",
    unit="1",
    range=(-1.0, 1.0),
    tolerance=Tolerance(5e-3, 0.0, "half of the last digit that tables print"),
    reference="Zhao, Laganière, Liu 2007, Int. J. Innov. Comput. Inf. Control 3(6A), 1433–1447",
    formula="Q_P = P_pc · P_M · P_m,  each the mean of the best local correlation over places with a feature",
    exploits="A constant image scores above 0.99 and beats every fusion: without features both variances and the "
    "covariance vanish, and the constants of the correlation give 1. Copying a source scores high too.",
    choices=(
        "Four scales, six orientations, noise threshold and constants of the published code.",
        "Low-pass in the centre of the spectrum; the published code has it one bin off at odd sizes, which moves one "
        "pair by 7e-4 relative (liu-2012).",
    ),
    edge_cases="NaN where neither source has a feature (flat images); sides below 28 pixels are refused.",
    differentiable=True,
    gradient="Between jumps: which places have a feature is a threshold, and the best of three correlations counts.",
    invariances=("swapping the sources, up to places where both have the same phase congruency",),
    min_side=MIN_SIDE,
    min_reason="its coarsest filters have a wavelength of 28 pixels",
    undefined=("no source has a feature",),
    oracle="published values on six real triples",
)
