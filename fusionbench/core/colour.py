"""Luminance and colour difference of RGB images, and the rules by which a fused luminance gets its colour back.

    Y  = .299 R + .587 G + .114 B        Cb = (B − Y)/1.772        Cr = (R − Y)/1.402

All values are floating point on [0,1], Cb and Cr on [−.5,.5]: the bytes that papers speak of are 255·Y, 128 + 255·Cb
and 128 + 255·Cr, without their rounding. So an unchanged luminance gives back every colour of 8 and of 16 bits.

Source: Rec. ITU-R BT.601 with the full range of JFIF. The weighted rule is the usual one of fusion papers, for example
K. R. Prabhakar et al.: DeepFuse, ICCV 2017, equation 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from fusionbench.core.errors import UsageError

ColourRule = Literal["visible", "weighted", "none"]
COLOUR_RULES: tuple[ColourRule, ...] = get_args(ColourRule)
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_CB, _CR = 1.772, 1.402


def luminance(pixels: np.ndarray) -> np.ndarray:
    """BT.601 luminance, float32 (H,W) on [0,1], of float32 (H,W,3) on [0,1]; grey (H,W) is given back as it is.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import luminance
        >>> colours = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]])
        >>> luminance(colours).round(3).tolist()
        [[0.299, 0.587, 0.114, 1.0]]
    """
    if pixels.ndim == 2:
        return pixels
    found = _RED * pixels[..., 0]
    found += _GREEN * pixels[..., 1]
    found += _BLUE * pixels[..., 2]
    return np.asarray(found)


def colour_difference(rgb: np.ndarray) -> np.ndarray:
    """Cb and Cr, planes float32 (2,H,W) on [−.5,.5], of float32 (H,W,3) on [0,1].

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import colour_difference
        >>> colour_difference(np.array([[[1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]]])).round(3).tolist()
        [[[-0.169, 0.5, 0.0]], [[0.5, -0.081, 0.0]]]
    """
    y = luminance(rgb)
    found = np.stack((rgb[..., 2] - y, rgb[..., 0] - y))
    found[0] /= _CB
    found[1] /= _CR
    return found


def weighted_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of two colour differences (2,H,W) the mean that is weighted by their size: (c1|c1| + c2|c2|)/(|c1| + |c2|).

    It is 0, which is grey, where both are; where one image has no colour, the colour is the other's.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import weighted_difference
        >>> first, second = np.array([[[0.4]], [[0.0]]]), np.array([[[-0.1]], [[0.0]]])
        >>> weighted_difference(first, second).round(3).tolist()
        [[[0.3]], [[0.0]]]
    """
    one, other = np.abs(first), np.abs(second)
    total = one + other
    mixed = first * one + second * other
    result: np.ndarray = np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0)
    return result


def rescaled_difference(difference: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A colour difference (2,H,W) at luminance y (H,W), at another luminance: the same hue and saturation.

    Light that is multiplied multiplies all channels nearly alike, so that the difference grows with the luminance; by
    8 at most, since the dark has more noise than colour.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import rescaled_difference
        >>> dark = np.array([[[0.01]], [[0.05]]])
        >>> rescaled_difference(dark, np.full((1, 1), 0.1), np.full((1, 1), 0.4)).round(3).tolist()
        [[[0.035]], [[0.175]]]
    """
    result: np.ndarray = difference * np.clip((wanted + 0.02) / (y + 0.02), 0, 8)
    return result


def mixed_difference(differences: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of :func:`weighted_difference` of any number of colour differences (2,H,W).

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import mixed_difference
        >>> mixed_difference([np.array([[[value]], [[0.0]]]) for value in (0.4, -0.1, 0.0)]).round(3).tolist()
        [[[0.3]], [[0.0]]]
    """
    sizes = [np.abs(one) for one in differences]
    total = np.sum(sizes, axis=0)
    mixed = np.sum([one * size for one, size in zip(differences, sizes, strict=True)], axis=0)
    result: np.ndarray = np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0)
    return result


def recolour(y: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """RGB, float32 (H,W,3) on [0,1], of luminance (H,W) and Cb, Cr (2,H,W).

    Where a channel would leave [0,1], both differences are scaled down by one factor until none does. That keeps the
    luminance, which is what was fused, and the hue, and gives up saturation; clipping channel by channel would
    change all three.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import recolour
        >>> red = np.array([[[-0.1]], [[0.3]]])
        >>> recolour(np.full((1, 1), 0.4), red).round(3).tolist()
        [[[0.821, 0.22, 0.223]]]
        >>> recolour(np.full((1, 1), 0.9), red).round(3).tolist()  # less saturated, as bright as asked for
        [[[1.0, 0.857, 0.858]]]
    """
    y = np.clip(y, 0, 1)
    red, blue = _CR * difference[1], _CB * difference[0]
    green = red * (-_RED / _GREEN)
    green -= blue * (_BLUE / _GREEN)
    up = np.maximum(np.maximum(red, green), blue)
    down = np.minimum(np.minimum(red, green), blue)
    # How much of the differences there is room for: (1 − y)/up and y/−down, at most all; 0/0 is grey and needs none.
    share = np.divide(1 - y, up, out=np.ones_like(y), where=up > 0)
    np.minimum(share, np.divide(y, -down, out=np.ones_like(y), where=down < 0), out=share)
    np.minimum(share, 1, out=share)
    rgb = np.empty((*y.shape, 3), y.dtype)
    for channel, offset in enumerate((red, green, blue)):
        offset *= share
        offset += y
        np.clip(offset, 0, 1, out=rgb[..., channel])
    return rgb


def colour_fused(y: np.ndarray, a: np.ndarray, b: np.ndarray, rule: ColourRule = "visible") -> np.ndarray:
    """Fused luminance (H,W) with the colour of its sources, float32 on [0,1]: (H,W,3), or (H,W) without any.

    Args:
        y: the fused luminance.
        a, b: the sources, (H,W) or (H,W,3) on [0,1]; b is the visible one.
        rule: ``visible`` takes Cb and Cr of b; ``weighted`` mixes those of a and b (:func:`weighted_difference`);
            ``none`` takes no colour.

    Raises:
        UsageError: an unknown rule.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import colour_fused
        >>> grey, blue = np.zeros((1, 1)), np.array([[[0.2, 0.2, 0.6]]])
        >>> colour_fused(np.full((1, 1), 0.5), grey, blue).round(3).tolist()
        [[[0.454, 0.454, 0.854]]]
    """
    if rule not in COLOUR_RULES:
        raise UsageError(f"Unknown rule of colour {rule!r}: use {', '.join(COLOUR_RULES)}")
    coloured = [image for image in ((a, b) if rule == "weighted" else (b,)) if image.ndim == 3]
    if rule == "none" or not coloured:
        return np.asarray(np.clip(y, 0, 1))
    differences = [colour_difference(image) for image in coloured]
    return recolour(y, differences[0] if len(differences) == 1 else weighted_difference(*differences))


def to_levels(values: np.ndarray, bits: int) -> np.ndarray:
    """uint8 or uint16 of values on [0,1]: 255 or 65535 times the value, clipped, rounded half to even.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.colour import to_levels
        >>> to_levels(np.array([0, 0.5, 1, 2]), 16).tolist()
        [0, 32768, 65535, 65535]
    """
    top, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    scaled = values * np.asarray(top, values.dtype)
    result: np.ndarray = np.rint(np.clip(scaled, 0, top, out=scaled), out=scaled).astype(kind)
    return result
