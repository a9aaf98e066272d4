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
from fusionbench.core.errors import SizeMismatchError, UsageError
from fusionbench.core.image_arrays import array_of, unit_floats, values_of
from fusionbench.core.image_ranges import Range, to_unit_floats
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
    pixels = array_of(image, side)
    kind = pixels.dtype
    if kind.kind == "f" and wanted is None:
        return _Opened(unit_floats(pixels, side, option), kind, side)
    return _Opened(to_unit_floats(values_of(pixels), wanted, side, option)[0], kind, side)


__all__ = ["FusingOptions", "ImageLike", "fuse", "fuse_pixels"]
