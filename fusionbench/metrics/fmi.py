"""FMI: mutual information between features of the fused image and its sources in small windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._fmi_features import Feature, feature_of
from fusionbench.metrics._fmi_windows import (
    CELLS,
    LOOPS,
    OFFSETS,
    ROUNDING,
    TINY,
    distributions,
    equal_windows,
    normalised_information,
    shared_information,
)
from fusionbench.metrics._gradients import root
from fusionbench.metrics._images import AXES, BAND, Array, Image, image_metric, need_side

DEVICE_BLOCK = 1 << 20  # windows at a time: what they need fits a device's memory
SECONDS = 0.25e-6  # a window of an image without compiled code
UNRELATED = 1e150  # norm of a flat window: finite, for gradients


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
    if fused.xp is not np:
        total = _total_on_a_device(fused.xp, images)
    else:
        total = _total_of_binary(images) if feature == "edge" else _total(images)
    return total / (len(images[1:]) * (height - 2) * (width - 2))


def _total(images: list[Image]) -> Array:
    """The sum of the values of all windows and sources, by bands of rows."""
    height = images[0].shape[0]
    loops = LOOPS.compiled(SECONDS * len(images) * images[0].count)
    total: Array = 0.0
    for top in range(0, height - 2, BAND):
        f, *sources = (image.stored[top : top + BAND + 2] for image in images)
        for value in shared_information(loops, f, sources):
            total = total + value.sum()
    return total


def _total_on_a_device(xp: Any, images: list[Image]) -> Array:
    """The same of batches of tensors."""
    height, width = images[0].shape
    stacks = [image.pixels for image in images]
    rows = max(1, DEVICE_BLOCK // (stacks[0].shape[0] * (width - 2)))
    total: Array = 0.0
    for top in range(0, height - 2, rows):
        f, *sources = (stack[..., top : top + rows + 2, :] for stack in stacks)
        windows = _windows(xp, f)
        for s in sources:
            value = _normalised_information(xp, windows, _windows(xp, s)).reshape(*f.shape[:-2], -1, width - 2)
            total = total + xp.where(equal_windows(f, s), 1.0, value).sum(AXES)
    return total


def _total_of_binary(images: list[Image]) -> Array:
    """The same of images of 0 and 1, whose 512 windows make few pairs: each pair is computed once, and counted."""
    codes = [_codes(image.stored) for image in images]
    total: Array = 0.0
    for code in codes[1:]:
        counts = np.bincount((codes[0].astype(np.int64) << CELLS | code).ravel(), minlength=1 << 2 * CELLS)
        pairs = np.flatnonzero(counts)
        places = np.arange(CELLS)[:, None]
        of_fused, of_source = pairs >> CELLS, pairs & (1 << CELLS) - 1
        bits = ((side >> places & 1).astype(np.float64) for side in (of_fused, of_source))
        windows = (distributions(cells - cells.min(0)) for cells in bits)
        values = np.where(of_fused == of_source, 1.0, normalised_information(*windows))
        total = total + (values * counts[pairs]).sum()
    return total


def _codes(x: np.ndarray) -> np.ndarray:
    """A number below 512 for each window of an image of 0 and 1: bit k is its cell k."""
    x = x.astype(np.uint16)
    down = x[:-2] | x[1:-1] << 1 | x[2:] << 2
    code: np.ndarray = down[:, :-2] | down[:, 1:-1] << 3 | down[:, 2:] << 6
    return code


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
    cells = xp.stack([x[..., row : row + height, column : column + width] - least for row, column in OFFSETS])
    cells = cells.reshape(CELLS, -1)
    flat = cells.sum(0) == 0
    sums = (cells + flat).cumsum(0)
    pdf = (cells + flat) / sums[-1]
    cdf = sums[:-1] / sums[-1]
    plain, weighted = cdf.sum(0), _weighted(xp, cdf)
    # Σi·p_i = 9 - ΣP_i and Σi²·p_i = 81 - Σ(2i+1)·P_i
    variance = (CELLS**2 - 2 * weighted - plain) - (CELLS - plain) ** 2
    norm = xp.where(flat, UNRELATED, root(abs((pdf * pdf).sum(0) - 1 / CELLS)))
    entropy = -_p_log_p(xp, pdf + TINY)
    return _Windows(pdf, cdf, entropy, root(xp.clip(variance, 0, None)), norm, plain, weighted)


def _normalised_information(xp: Any, fused: _Windows, source: _Windows) -> Array:
    """2·I(F;S)/(H(F)+H(S)) per window, as :mod:`fusionbench.metrics._fmi_windows` explains, but with a logarithm for
    every cell: those of shares would have the gradient of a share of 0.
    """
    rho = ((fused.pdf * source.pdf).sum(0) - 1 / CELLS) / (fused.norm * source.norm)
    positive = (rho >= 0) * 1.0
    negative = 1 - positive
    # in falling order, as the merge needs it
    falling = source.cdf.flip(0) * positive + (1 - source.cdf) * negative
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
    change = _p_log_p(xp, mixture) - _p_log_p(xp, independent)
    h_joint = rest * h_sum - _p_log_p(xp, rest[None]) - change
    return 2 * (h_sum - h_joint) / (h_sum + TINY)


def _merged(xp: Any, rising: Array, falling: Array) -> tuple[Array, Array]:
    """(18,n) values from 0 to 1 in rising order, and (16,n): 1.0 where those between are of ``rising``, else 0.0.

    Batcher's bitonic merge of eight and eight values. Their origin travels in the last bit of 1+x, which moves x by
    2e-16.
    """
    count = rising.shape[-1]
    x = xp.concatenate([_marked(xp, rising + 1, 1), _marked(xp, falling + 1, 0)])
    for half in (8, 4, 2, 1):
        pairs = x.reshape(-1, 2, half, count)
        x = xp.stack([xp.minimum(pairs[:, 0], pairs[:, 1]), xp.maximum(pairs[:, 0], pairs[:, 1])], 1)
    x = x.reshape(16, count)
    zero = xp.zeros_like(x[:1])
    return xp.concatenate([zero, x - 1, (x[-1:] - 1).clip(min=1)]), (x.detach().view(xp.int64) & 1).to(x.dtype)


def _marked(xp: Any, x: Array, bit: int) -> Array:
    """``x`` with this last bit."""
    plain = x.detach()
    return x + ((plain.view(xp.int64) & -2 | bit).view(x.dtype) - plain)  # exact; gradients go through it


def _steps(xp: Any, ends: Array, of_fused: Array) -> tuple[Array, Array]:
    """p_i and q_j of the 17 intervals: from the last value of each cdf, or 0, to its next one, or 1."""
    of_source = 1 - of_fused
    between = ends[1:-1]
    below_p = of_fused * between
    below_q = between - below_p
    p, q = (
        xp.concatenate([below + other, ends[-1:]]).flip(0).cummin(0).values.flip(0)
        - xp.concatenate([ends[:1], below]).cummax(0).values
        for below, other in ((below_p, of_source), (below_q, of_fused))
    )
    return p, q


def _p_log_p(xp: Any, p: Array) -> Array:
    """Σ p·ln|p| over (k,n): a mixture beyond its bound has negative cells."""
    return (p * xp.log(abs(p) + TINY)).sum(0)


def _weighted(xp: Any, rows: Array) -> Array:
    """Σ k·x_k of (k,n), counted from 1."""
    return xp.from_numpy(np.arange(1.0, len(rows) + 1)).to(rows.device) @ rows


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
