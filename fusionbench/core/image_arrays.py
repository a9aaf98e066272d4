"""Images that are in memory, arrays or Pillow images, by the same rules as images that are read from files.

``fuse`` and ``score`` take both, so that the same pixels give the same result wherever they come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Range, Values

if TYPE_CHECKING:
    from PIL.Image import Image

ROUNDING = 1e-6  # by which computed values may lie outside [0,1]: a quarter of a thousandth of a level of 8 bits


def array_of(image: Any, side: str) -> np.ndarray:
    """The pixels of an image: (H,W), or RGB (H,W,3), uint8, uint16 or floating point that is finite.

    Args:
        image: an array, or a Pillow image.
        side: what messages call it.

    Raises:
        UsageError: an array of another type or shape.
        DataError: a Pillow image that cannot be read.
    """
    if not isinstance(image, np.ndarray):
        image = _array_of_pillow(image, side)
    if np.ma.is_masked(image):
        raise UsageError(f"{side}: a masked array with values that are masked; fill them first")
    pixels = np.asarray(image)  # a matrix or another array with rules of its own becomes a plain one
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)) or 0 in pixels.shape:
        raise UsageError(f"{side}: an array of shape {pixels.shape}; give grey (H,W) or RGB (H,W,3)")
    # readers of FITS and raw files give big-endian ones
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    kind = pixels.dtype
    if kind not in (np.uint8, np.uint16) and kind.kind != "f":
        raise UsageError(f"{side}: an array of {kind}; give uint8, uint16 or floating point in [0,1]")
    if kind.kind == "f" and not np.isfinite(pixels).all():
        raise UsageError(f"{side}: has values that are not finite; replace them first")
    return pixels


def values_of(pixels: np.ndarray) -> Values:
    """The pixels that :func:`array_of` gives, as values of a file: with full scale and depth, where they have some."""
    if pixels.dtype.kind == "f":
        return Values(pixels.astype(np.float32), None, 32)
    return Values(pixels, 255 if pixels.dtype == np.uint8 else 65535, 8 * pixels.dtype.itemsize)


def unit_floats(pixels: np.ndarray, side: str, option: str) -> np.ndarray:
    """float32 of floating-point pixels in [0,1]; what rounding left outside is clipped.

    Raises:
        UsageError: values outside.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        shown = f"{low:.9g}..{high:.9g}"
        remedy = f", or give {option}='LOW:HIGH'" if option else ""
        raise UsageError(f"{side}: values {shown}; floating point is in [0,1]{remedy}")
    return pixels.astype(np.float32).clip(0, 1)


def eight_bits(image: Any, side: str, wanted: Range | None = None, option: str = "") -> np.ndarray:
    """uint8 (H,W) or (H,W,3): what the image has once it is saved with 8 bits a channel.

    Floating point is in [0,1] and is rounded; uint16 is scaled by its type. A range says otherwise.

    Raises:
        UsageError, DataError: an image of another kind, or values that do not fit.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.image_arrays import eight_bits
        >>> eight_bits(np.array([[0.0, 0.5, 1.0]]), "fused").tolist()
        [[0, 128, 255]]
    """
    from fusionbench.core.colour import to_levels
    from fusionbench.core.image_ranges import to_eight_bits

    pixels = array_of(image, side)
    if pixels.dtype.kind == "f" and wanted is None:
        return to_levels(unit_floats(pixels, side, option), 8)
    return to_eight_bits(values_of(pixels), wanted, side, option)[0]


def _array_of_pillow(image: Image, side: str) -> np.ndarray:
    """The pixels of a Pillow image, upright, as the same image is read from a file."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    if not isinstance(image, Pillow.Image):
        raise UsageError(f"{side}: a {type(image).__name__}; give an array, a path or a Pillow image")
    try:
        image.load()  # here, where an error of a file that was opened and not yet read has a name
        image = ImageOps.exif_transpose(image) or image
    except (OSError, ValueError, SyntaxError, TypeError, AttributeError) as error:  # truncated, or closed
        raise DataError(f"{side}: a Pillow image that cannot be read: {error}; open it again") from error
    image = _without_alpha(image, side)
    if image.mode not in ("L", "RGB", "F") and not image.mode.startswith("I;16"):
        raise UsageError(f"{side}: a Pillow image of mode {image.mode}; convert it to L, RGB or I;16 first")
    return np.asarray(image)


def _without_alpha(image: Image, side: str) -> Image:
    """Two levels and palettes as grey and colour, and no alpha channel where it is opaque."""
    if image.mode in ("1", "P") and "transparency" not in image.info:
        return image.convert("L" if image.mode == "1" else "RGB")
    if image.mode not in ("LA", "PA", "RGBA") and not (image.mode in ("P", "L", "RGB") and image.has_transparency_data):
        return image
    whole = image.convert("RGBA")
    if whole.getchannel("A").getextrema() != (255, 255):
        raise DataError(f"{side}: has translucent pixels; flatten the alpha channel first")
    return whole.convert("L" if image.mode in ("L", "LA") else "RGB")
