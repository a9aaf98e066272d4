"""Q^{AB/F}: how much of the sources' edges the fused image keeps."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Literal

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._gradients import arctan_of_quotient, multiplied, recorded, refuse_gradient
from fusionbench.metrics._images import AXES, Array, Image, image_metric, need_side
from fusionbench.metrics._kernel import Loops
from fusionbench.metrics._windows import Border, magnitude, on_unit_scale, pad_border, sobel, sobel_in_order

Angle = Literal["atan", "atan swapped", "atan2", "folded"]
Ties = Literal["one", "fused"]
Convolution = Literal["matlab", "octave"]
Form = tuple[Border, Angle, Convolution | None]
GAMMA_G, KAPPA_G, SIGMA_G = 0.9994, 15.0, 0.5  # Γ, κ, σ of the paper, with the sign of κ reversed
GAMMA_ALPHA, KAPPA_ALPHA, SIGMA_ALPHA = 0.9879, 22.0, 0.8
SECONDS = 12e-9  # a pixel and source without compiled code
MAX = GAMMA_G / (1 + math.exp(-7.5)) * GAMMA_ALPHA / (1 + math.exp(-4.4))  # 0.9748: equal gradients everywhere


@image_metric
def qabf(
    fused: Image,
    a: Image,
    b: Image,
    *more: Image,
    border: Border = "replicate",
    ties: Ties = "one",
    angle: Angle = "atan",
    unit: bool = False,
    order: Convolution = "matlab",
    power: float = 1.0,
) -> Array:
    """Edge preservation weighted by the sources' edge strength: three or more (N,H,W) on 0..255 to (N,), 0..0.9748.

    Args:
        border: how the image is padded for Sobel's mask.
        ties: the strength ratio of equal gradients: 1, or (a quirk of several codes) the fused gradient itself.
        angle: atan(sy/sx); ``"atan swapped"`` atan(sx/(sy+eps)); ``"atan2"`` over the whole circle;
            ``"folded"`` the same with the difference d taken as ||d| - 90°|, so that opposite edges count as equal.
        unit: take the gradients on the 0..1 scale; matters only with ``ties="fused"``, where the last bits decide what
            is a tie.
        order: with ``unit``, whose conv2 the last bits are those of: MATLAB's, or Octave's, which adds the same terms
            in another order.
        power: L of the weights g^L.

    NaN where both sources are flat: there is no edge to preserve.

    Raises:
        DataError: an image narrower or lower than 3 pixels.

    Source: Xydeas, Petrović 2000 (Electron. Lett. 36, 308), L = 1.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.qabf import qabf
        >>> texture = (np.arange(256) * 37 % 251).astype(np.uint8).reshape(1, 16, 16)
        >>> qabf(texture, texture, texture).round(4).tolist()  # the maximum: Γ_g and Γ_α are not normalised to 1
        [0.9748]
        >>> qabf(np.full_like(texture, 128), texture, texture).round(4).tolist()
        [0.0]
    """
    if unit:
        why = "on the 0..1 scale rounding decides which gradients are equal; detach() the images to score them"
        refuse_gradient(why, *(image.stored for image in (fused, a, b, *more)))
    need_side(fused, 3, "qabf")
    form: Form = (border, angle, order if unit else None)
    weighted, weights = 0.0, 0.0
    bands = [padded(image, border, unit).bands(1) for image in (fused, a, b, *more)]
    for fused_band, *source_bands in zip(*bands, strict=True):
        for source in source_bands:
            edges = edge_gradients(source, form), edge_gradients(fused_band, form)
            weight = edges[0][0] if power == 1 else edges[0][0] ** power
            loops = None if ties == "fused" or angle == "folded" or fused.xp is not np else _loops(source)
            if loops is None:
                q = multiplied(edge_preservation(*edges, ties, fused, angle == "folded"), weight)
            else:
                q = _compiled_preservation(loops, *edges, weight)
            weighted = weighted + q.sum(AXES)
            weights = weights + source.cached(("qabf weight", form, power), lambda weight=weight: weight.sum(AXES))
        for band in (fused_band, *source_bands):
            band.clear_cache()
    return weighted / weights


def padded(image: Image, border: Border, unit: bool) -> Image:
    """The image padded by one pixel on each side, so that Sobel's mask fits everywhere."""
    pixels = on_unit_scale(image.pixels) if unit else image.stored
    return image.cached(("padded", border, unit), lambda: image.with_pixels(pad_border(pixels, 1, border)))


def edge_gradients(image: Image, form: Form) -> tuple[Array, Array]:
    """(strength g, orientation α in radians) of Sobel's gradients, cached."""
    return image.cached(("qabf edges", form), lambda: _edge_gradients(image, *form))


def _edge_gradients(image: Image, border: Border, angle: Angle, order: Convolution | None) -> tuple[Array, Array]:
    xp = image.xp
    whole = image.grey is not None and order is None and angle == "atan"  # sums of whole numbers are exact
    if whole and (loops := _loops(image)) is not None:
        return _compiled_gradients(loops, image.pixels)
    if order is None:
        sx, sy = sobel(image.pixels)
        strength = magnitude(sx, sy)
    else:
        sx, sy = sobel_in_order(image.pixels, order)
        # three operations, each rounded once: cv2.magnitude and hypot differ in the last bits, and a fused
        # multiply-add, which neither NumPy nor torch make of separate calls, would differ with the processor
        strength = xp.sqrt(sx * sx + sy * sy)
    # The sign of sx follows the published convolution; it decides on which side ±90° fall.
    if recorded(sx):
        return strength, _recorded_orientation(sx, sy, angle)
    if angle == "atan2":
        return strength, xp.arctan2(-sx, sy)
    if angle == "folded":
        return strength, xp.arctan2(sy + 0.0, sx + 0.0)  # no minus zero, which would turn the angle of a flat pixel
    if angle == "atan swapped":
        return strength, xp.arctan(-sx / (sy + 2.220446049250313e-16))
    orientation = sy / -sx
    if xp is np:
        np.copyto(orientation, math.inf, where=sx == 0)
    else:
        orientation[sx == 0] = math.inf
    return strength, xp.arctan(orientation, out=orientation)


def _recorded_orientation(sx: Array, sy: Array, angle: Angle) -> Array:
    """The same angles with gradient 0 where they have none: in flat places, and where one of them jumps."""
    flat = (sx == 0) & (sy == 0)
    if angle == "atan2":
        return (-sx.masked_fill(flat, 0.0)).arctan2(sy.masked_fill(flat, 1.0))
    if angle == "folded":
        return sy.masked_fill(flat, 0.0).arctan2(sx.masked_fill(flat, 1.0))
    if angle == "atan swapped":
        return arctan_of_quotient(-sx, sy).masked_fill(flat, 0.0)
    return arctan_of_quotient(sy, -sx).masked_fill(sx == 0, math.pi / 2)


def edge_preservation(
    source: tuple[Array, Array], fused: tuple[Array, Array], ties: Ties, image: Image, folded: bool = False
) -> Array:
    """Q_XF = Q_g·Q_α per pixel, from (strength g, orientation α) of a source and of the fused image."""
    xp = image.xp
    (g, alpha), (g_f, alpha_f) = source, fused
    smaller, larger = xp.minimum(g, g_f), xp.maximum(g, g_f)
    if recorded(smaller):
        turn = (alpha - alpha_f).abs()
        turn = math.pi / 2 - (turn - math.pi / 2).abs() if folded else turn
        return _recorded_preservation(g_f, smaller, larger, turn, ties)
    if ties == "fused":
        tie = smaller == larger
        value = g_f[tie]
        ratio = smaller
        ratio /= larger
        ratio[tie] = value
    else:
        ratio = smaller
        larger += 1e-300  # no effect on a gradient, and a ratio of 0 where both are 0
        ratio /= larger
    # in place: the denominator (1 + exp(-κ_g(G - σ_g)))·(1 + exp(-κ_α(A - σ_α))), A = 1 - |α - α_F|/90°
    ratio -= SIGMA_G
    ratio *= -KAPPA_G
    xp.exp(ratio, out=ratio)
    ratio += 1
    angle = alpha - alpha_f
    xp.abs(angle, out=angle)
    if folded:  # A = ||α - α_F| - 90°| / 90°
        angle = math.pi / 2 - xp.abs(angle - math.pi / 2)
    angle *= KAPPA_ALPHA * 2 / math.pi
    angle -= KAPPA_ALPHA * (1 - SIGMA_ALPHA)
    xp.exp(angle, out=angle)
    angle += 1
    ratio *= angle
    return (GAMMA_G * GAMMA_ALPHA) / ratio


def _compiled_gradients(loops: ModuleType, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`_edge_gradients` of whole numbers."""
    strength, tangent = np.empty((2, x.shape[0] - 2, x.shape[1] - 2))
    loops.qabf_gradients(x, strength, tangent)
    return strength, np.arctan(tangent, out=tangent)


def _compiled_preservation(
    loops: ModuleType, source: tuple[Array, Array], fused: tuple[Array, Array], weight: Array
) -> np.ndarray:
    """:func:`edge_preservation` times the weight, with the same bits."""
    exponents = np.empty((2, weight.size))
    of_each = (np.ravel(each) for each in (*source, *fused))
    loops.qabf_exponents(*of_each, KAPPA_ALPHA * 2 / math.pi, KAPPA_ALPHA * (1 - SIGMA_ALPHA), *exponents)
    np.exp(exponents, out=exponents)
    loops.qabf_values(*exponents, np.ravel(weight), GAMMA_G * GAMMA_ALPHA)
    found: np.ndarray = exponents[0].reshape(weight.shape)
    return found


def _loops(image: Image) -> ModuleType | None:
    return LOOPS.compiled(SECONDS * image.count)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _agrees(loops: ModuleType) -> bool:
    """Whether compiled code gives the bits of this one, with equal strengths and none."""
    g, g_f, alpha, alpha_f = np.random.default_rng(0).random((4, 3, 101)) * 3 - 1.5
    source, fused = (np.clip(g, 0, None), alpha), (np.where(g > 1, g, np.clip(g_f, 0, None)), alpha_f)
    image = Image(g)
    expected = edge_preservation(source, fused, "one", image) * source[0]
    if not np.array_equal(_compiled_preservation(loops, source, fused, source[0]), expected):
        return False
    x = (np.arange(7 * 60) * 37 % 251 // 5 % 9).reshape(7, 60).astype(np.float64)
    plain, found = _edge_gradients(Image(x), "valid", "atan", None), _compiled_gradients(loops, x)
    return all(np.array_equal(one, other) for one, other in zip(plain, found, strict=True))


LOOPS = Loops("qabf", "fusionbench.metrics._table_compiled", _agrees)


def _recorded_preservation(g_f: Array, smaller: Array, larger: Array, angle: Array, ties: Ties) -> Array:
    """The same Q_XF of new arrays, from both strengths and the angle between them."""
    ratio = smaller / larger.masked_fill(larger == 0, 1.0)  # a ratio of 0 where both are 0
    if ties == "fused":
        ratio = g_f.where(smaller == larger, ratio)
    strength = 1 + (-KAPPA_G * (ratio - SIGMA_G)).exp()
    orientation = 1 + (KAPPA_ALPHA * (angle * (2 / math.pi) - (1 - SIGMA_ALPHA))).exp()
    return (GAMMA_G * GAMMA_ALPHA) / (strength * orientation)


METRIC = Metric(
    name="qabf",
    version="1",
    title="Edge preservation Q^{AB/F}",
    label="Qabf",
    function=qabf,
    needs="pair",
    better="higher",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(2e-3, 0.0, "a fifth of the last digit that tables print"),
    reference="Xydeas, Petrović 2000, Electron. Lett. 36(4), 308–309",
    formula="Q = Σ(Q_AF·g_A + Q_BF·g_B) / Σ(g_A + g_B),  Q_XF = 0.9994/(1+e^{-15(G-0.5)}) · 0.9879/(1+e^{-22(A-0.8)})",
    exploits="Copying the source with the stronger edges unchanged ranks first on published sets.",
    edge_cases="NaN where both sources are flat; three equal images give 0.9748, the maximum, not 1.",
    differentiable=True,
    gradient="0 in flat places and at exactly vertical edges, where the angle jumps by 180°; half of both slopes where "
    "two strengths are equal.",
    invariances=("swapping the sources", "adding a constant to any image", "one scale factor on all three images"),
    min_side=3,
    choices=(
        "Equal gradients score G = 1, as the paper's formula has it. Published codes take the gradient itself "
        "(cddfuse, vifb, linfeng): the value then depends on the images' scale; pixel-selecting fusions differ most.",
        "The border is continued by its edge values; zero padding (cddfuse, vifb, linfeng) adds a strong false "
        "edge, which raised six real results by 0.00 to 0.16.",
        "The orientation difference is not folded at ±90°, after the paper.",
    ),
    min_reason="Sobel's masks are 3×3",
    undefined=("both sources are constant",),
    oracle="a direct SciPy convolve2d composition; scikit-image sobel for the gradients",
    many=True,
)
