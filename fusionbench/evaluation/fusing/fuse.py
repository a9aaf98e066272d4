"""One pair of images in, one fused image out: arrays, files and Pillow images, in colour and in the depth they have.

fused = fuse("ir.png", "vis.jpg")                       # uint8 (H,W,3)
fused = fuse(thermal, visible, method="guided-filter")  # arrays
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusionbench.core.colour import COLOUR_RULES, ColourRule, colour_fused, luminance, to_levels
from fusionbench.core.errors import DataError, SizeMismatchError, UsageError
from fusionbench.core.image_ranges import Range, Values, to_unit_floats
from fusionbench.core.images import read_full_depth
from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD, LoadedMethod, Method, Tile, load_method

if TYPE_CHECKING:
    from PIL.Image import Image

ImageLike: TypeAlias = "np.ndarray | str | Path | Image"


@dataclass(frozen=True)
class FusingOptions:
    """How a pair is fused, whatever the method.

    Attributes:
        colour: where the colour comes from, see :func:`fusionbench.core.colour.colour_fused`.
        bits: a channel of the fused image, 8 or 16; None takes those of b.
        tile, memory: as of :meth:`fusionbench.evaluation.fusing.methods.LoadedMethod.fuse_luminance`.

    Raises:
        UsageError: an unknown rule, or another number.
    """

    colour: ColourRule = "visible"
    bits: int | None = None
    tile: Tile = "auto"
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.colour not in COLOUR_RULES:
            raise UsageError(f"Unknown rule of colour {self.colour!r}: use {', '.join(COLOUR_RULES)}")
        if self.bits not in (None, 8, 16):
            raise UsageError(f"bits={self.bits}: images have 8 or 16 bits a channel")
        if self.tile not in ("auto", "none") and (not isinstance(self.tile, int) or self.tile < 1):
            raise UsageError(f"tile={self.tile!r}: use auto, none or a number of pixels")


_USUAL = FusingOptions()
_ROUNDING = 1e-6  # by which computed values may lie outside [0,1]: a quarter of a thousandth of a level of 8 bits


def fuse_pixels(
    method: LoadedMethod,
    a: np.ndarray,
    b: np.ndarray,
    options: FusingOptions = _USUAL,
    names: tuple[str, str] = ("a", "b"),
) -> np.ndarray:
    """The fused image of decoded ones.

    Args:
        a, b: float32 (H,W) or (H,W,3) in [0,1]; b is the visible one.
        names: what messages call them.

    Returns:
        float32 in [0,1], (H,W,3), or (H,W) where there is no colour or none is wanted.

    Raises:
        DataError: sizes that differ, or a pair that the method cannot fuse.
    """
    if a.shape[:2] != b.shape[:2]:
        (h, w), (k, m) = a.shape[:2], b.shape[:2]
        raise SizeMismatchError(f"{names[0]} is {h}×{w} and {names[1]} is {k}×{m} pixels")
    y = method.fuse_luminance(luminance(a), luminance(b), tile=options.tile, memory=options.memory)
    return colour_fused(y, a, b, options.colour)


def fuse(
    a: ImageLike,
    b: ImageLike,
    method: Method | LoadedMethod = DEFAULT_METHOD,
    *,
    colour: ColourRule = "visible",
    bits: int | None = None,
    tile: Tile = "auto",
    memory: int | None = None,
    device: str = "auto",
    weights: str | Path | None = None,
    preset: str | None = None,
    params: Mapping[str, Any] | None = None,
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
) -> np.ndarray:
    """Fuse two registered images of one size.

    Args:
        a, b: the two sources, b the visible one: paths, Pillow images, or arrays uint8, uint16 or floating point in
            [0,1] (at most 1e-6 outside, as rounding leaves it, is clipped), of shape (H,W) or RGB (H,W,3); they may be
            of different kinds.
        method: a model's name, a run folder, ``file.py:Class``, a model object, or what
            :func:`fusionbench.evaluation.fusing.methods.load_method` gave, which saves loading it for every pair.
        colour: ``visible`` keeps Cb and Cr of b; ``weighted`` mixes the colours of both; ``none`` gives grey.
        bits: 8 or 16 for the depth of the fused image; None takes the type of b.
        tile, memory: how images too large for the memory are fused; ``auto`` decides.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        weights, preset, params: of a method by name, see
            :func:`fusionbench.evaluation.fusing.methods.load_method`.
        range_a, range_b: which values are black and white, for sensors that fill a part of their type
            (docs/images.md): ``"14bit"``, ``"20:37.5"``.

    Returns:
        An array of the type of b: its dtype where it is one, else uint8, or uint16 for files of more than 8 bits.
        (H,W,3) where colour is wanted and there is any, else (H,W).

    Raises:
        UsageError: an array of another type or shape, unknown names, or a method that needs weights.
        DataError: files that cannot be read, sizes that differ, values that are not finite.

    Example:
        >>> import numpy as np
        >>> import fusionbench
        >>> thermal = np.full((4, 6), 200, np.uint8)
        >>> visible = np.full((4, 6, 3), (90, 60, 30), np.uint8)
        >>> fused = fusionbench.fuse(thermal, visible, method="average", device="cpu")
        >>> fused.shape, fused.dtype.name, fused[0, 0].tolist()
        ((4, 6, 3), 'uint8', [157, 127, 97])
        >>> fusionbench.fuse(thermal, visible / 255, method="average", colour="none").dtype.name
        'float64'
    """
    options = FusingOptions(colour, bits, tile, memory)
    first, second = _opened(a, "a", Range.of(range_a)), _opened(b, "b", Range.of(range_b))
    if not isinstance(method, LoadedMethod):
        size = (first.pixels.shape[0], first.pixels.shape[1])
        method = load_method(method, weights=weights, preset=preset, params=params, device=device, size=size)
    elif weights is not None or preset is not None or params:
        raise UsageError("weights, preset and params are for a method by name; this one is loaded")
    fused = fuse_pixels(method, first.pixels, second.pixels, options, (first.name, second.name))
    if bits is None and second.kind.kind == "f":
        return fused.astype(second.kind)
    return to_levels(fused, bits or 8 * second.kind.itemsize)


@dataclass(frozen=True)
class _Opened:
    pixels: np.ndarray
    kind: np.dtype
    name: str


def _opened(image: ImageLike, side: str, wanted: Range | None) -> _Opened:
    option = f"range_{side}"
    if isinstance(image, str | Path):
        found = read_full_depth(image, wanted, option=option)
        return _Opened(found.pixels, np.dtype(np.uint8 if found.bits == 8 else np.uint16), str(image))
    if not isinstance(image, np.ndarray):
        image = _array_of(image, side)
    if np.ma.is_masked(image):
        raise UsageError(f"{side}: a masked array with values that are masked; fill them first")
    image = np.asarray(image)  # a matrix or another array with rules of its own becomes a plain one
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise UsageError(f"{side}: an array of shape {image.shape}; give grey (H,W) or RGB (H,W,3)")
    image = image.astype(
        image.dtype.newbyteorder("="), copy=False
    )  # readers of FITS and raw files give big-endian ones
    kind = image.dtype
    if kind in (np.uint8, np.uint16):
        values = Values(image, 255 if kind == np.uint8 else 65535, 8 * kind.itemsize)
        return _Opened(to_unit_floats(values, wanted, side, option)[0], kind, side)
    if kind.kind != "f":
        raise UsageError(f"{side}: an array of {kind}; give uint8, uint16 or floating point in [0,1]")
    if not np.isfinite(image).all():
        raise UsageError(f"{side}: has values that are not finite; replace them first")
    if wanted is not None:
        values = Values(image.astype(np.float32), None, 32)
        return _Opened(to_unit_floats(values, wanted, side, option)[0], kind, side)
    low, high = float(image.min()), float(image.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        shown = f"{low:.9g}..{high:.9g}"
        raise UsageError(f"{side}: values {shown}; floating point is in [0,1], or give {option}='LOW:HIGH'")
    return _Opened(image.astype(np.float32).clip(0, 1), kind, side)


def _array_of(image: Image, side: str) -> np.ndarray:
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


__all__ = ["FusingOptions", "ImageLike", "fuse", "fuse_pixels"]
