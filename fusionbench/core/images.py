"""The one reader of image files, and the one writer of PNG: every kind to uint8 by the table of docs/images.md.

The generator, pairs, scoring and submissions read with :func:`read_image`. Every file is hostile until it is checked:
its size is bounded, its header is read before a pixel is decoded, and whatever is wrong is one line.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.image_decoders import MAX_PIXELS, decode_stored
from fusionbench.core.image_metadata import NO_METADATA, ImageMetadata, read_metadata
from fusionbench.core.image_ranges import Range, Ranges, Values, to_eight_bits, to_unit_floats
from fusionbench.core.io import read_bounded

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MAX_BYTES = 1 << 29
GreyRule = Literal["bt601", "opencv-float32"]
FULL = Range("full")  # for images that are known to be right whatever their values, such as masks and our own output


@dataclass(frozen=True)
class DecodedImage:
    """A decoded file.

    Attributes:
        pixels: uint8 (H,W), or (H,W,3) RGB; upright.
        format: "PNG", "JPEG", "BMP", "TIFF", "WEBP" or "PPM".
        bits: a channel of the file, 8 where it has fewer.
        notes: what was done that a reader should know.
        alpha: uint8 (H,W) where it was asked for and is there.
    """

    pixels: np.ndarray
    format: str
    bits: int = 8
    notes: tuple[str, ...] = ()
    alpha: np.ndarray | None = None

    @property
    def note(self) -> str:
        """The notes as one text, "" without any."""
        return ", ".join(self.notes)

    def grey(self, rule: GreyRule = "bt601") -> np.ndarray:
        """uint8 (H,W): the pixels themselves or their luma by a rule."""
        return to_grey(self.pixels, rule)

    def rgb(self) -> np.ndarray:
        """uint8 (H,W,3): three equal channels where the file is grey."""
        return self.pixels if self.pixels.ndim == 3 else np.repeat(self.pixels[..., None], 3, axis=2)


@dataclass(frozen=True)
class FullDepthImage:
    """A decoded file in the depth that it has.

    Attributes:
        pixels: float32 (H,W), or (H,W,3) RGB, in [0,1]; upright.
        bits: 8, or 16 for every file that has more than 8 a channel.
        format: as of :class:`DecodedImage`.
        notes: what was done that a reader should know.
        metadata: what the file says of itself, where it was asked for.
    """

    pixels: np.ndarray
    bits: int
    format: str
    notes: tuple[str, ...] = ()
    metadata: ImageMetadata = NO_METADATA


def read_image(
    path: str | Path,
    value_range: Range | None = None,
    *,
    size: tuple[int, int] | None = None,
    option: str = "",
    keep_alpha: bool = False,
) -> DecodedImage:
    """Decode one file.

    Args:
        value_range: which of its values are black and white; None leaves 8 bits as they are and scales deeper integers
            that fill their type.
        size: the height and width that it must have.
        option: what the command line calls ``value_range``, for messages; "" where it has no such option.
        keep_alpha: give the alpha channel apart instead of refusing what is not opaque.

    Raises:
        DataError: missing, too large, truncated, no image, of another size, or of a kind that is refused.
    """
    content = read_bounded(path, MAX_BYTES, "image")
    return decode_image(content, str(path), value_range, size=size, option=option, keep_alpha=keep_alpha)


def decode_image(
    content: bytes,
    name: str,
    value_range: Range | None = None,
    *,
    size: tuple[int, int] | None = None,
    option: str = "",
    keep_alpha: bool = False,
) -> DecodedImage:
    """Decode the content of a file; ``name`` is for messages. Arguments and errors as of :func:`read_image`."""
    stored = decode_stored(content, name, size, keep_alpha)
    pixels, notes = to_eight_bits(stored.values, value_range, name, option)
    pixels, alpha = _upright(pixels, stored.turn), stored.alpha
    if size is not None and pixels.shape[:2] != size:
        raise DataError(f"{name}: {pixels.shape[0]}×{pixels.shape[1]} pixels instead of {size[0]}×{size[1]}")
    notes = (*notes, *stored.notes, *(("turned upright",) if stored.turn > 1 else ()))
    alpha = None if alpha is None else _upright(alpha, stored.turn)
    return DecodedImage(pixels, stored.format, stored.values.bits, notes, alpha)


def read_full_depth(
    path: str | Path, value_range: Range | None = None, *, option: str = "", metadata: bool = False
) -> FullDepthImage:
    """Decode one file without rounding it to 8 bits; what is refused is what :func:`read_image` refuses.

    Args:
        value_range, option: as of :func:`read_image`.
        metadata: read EXIF, colour profile and XMP, too.

    Raises:
        DataError: as :func:`read_image`.
    """
    content = read_bounded(path, MAX_BYTES, "image")
    return decode_full_depth(content, str(path), value_range, option=option, metadata=metadata)


def decode_full_depth(
    content: bytes, name: str, value_range: Range | None = None, *, option: str = "", metadata: bool = False
) -> FullDepthImage:
    """Decode the content of a file; ``name`` is for messages. Arguments and errors as of :func:`read_full_depth`."""
    stored = decode_stored(content, name, None, False)
    pixels, notes = to_unit_floats(stored.values, value_range, name, option)
    notes = (*notes, *stored.notes, *(("turned upright",) if stored.turn > 1 else ()))
    bits = 8 if stored.values.bits <= 8 else 16
    about = read_metadata(content) if metadata else NO_METADATA
    return FullDepthImage(_upright(pixels, stored.turn), bits, stored.format, notes, about)


def read_values(path: str | Path) -> Values:
    """The values of one file as they are stored.

    Raises:
        DataError: as :func:`read_image`.
    """
    return decode_stored(read_bounded(path, MAX_BYTES, "image"), str(path), None, False).values


def fit_ranges(ranges: Ranges, files: Mapping[str, Iterable[Path]]) -> Ranges:
    """The ranges that sets of files share: what ``auto`` and ``set:percentile`` find in all files of a side.

    A file that cannot be read is passed over here, and refused when it is its turn: leaving it out changes nothing.

    Args:
        files: side ("a", "b", "fused") -> its files.

    Raises:
        DataError: no file of a side can be read, or there is no such range for one.
    """

    def values_of(paths: list[Path]) -> Iterator[tuple[str, Values]]:
        read, problem = False, None
        for path in paths:
            try:
                values = read_values(path)
            except DataError as error:
                problem = problem or error
                continue
            read = True
            yield str(path), values
        if not read and problem is not None:
            raise problem

    found = {}
    for side, wanted in ranges.given.items():
        paths = list(files.get(side, ()))
        found[side] = wanted.fit(lambda paths=paths: values_of(paths)) if paths else wanted  # type: ignore[misc]
    return replace(ranges, **found)


def to_grey(pixels: np.ndarray, rule: GreyRule = "bt601") -> np.ndarray:
    """uint8 (H,W) of uint8 (H,W) or (H,W,3): themselves or their luma.

    Args:
        rule: ``"bt601"`` is the exact :func:`luma`; ``"opencv-float32"`` is :func:`float32_luma`.
    """
    if pixels.ndim == 2:
        return pixels
    return luma(pixels) if rule == "bt601" else float32_luma(pixels)


def luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 (...,3) as uint8 (...): (299 R + 587 G + 114 B)/1000, rounded half to even."""
    thousandths, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    for channel, weight in ((thousandths, 299), (green, 587), (blue, 114)):
        channel *= weight
    thousandths += green
    thousandths += blue
    return _rounded_thousandths().take(thousandths)


def float32_luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 (...,3) as uint8 (...), as scripts get it that give OpenCV float32 and round half to even.

    OpenCV rounds to float32 after the product with green and after each fused multiply-add, of blue and then of red. So
    some sums that are exactly between two levels fall to one side: 904 of the 16.8 million colours differ from
    :func:`luma`, 4 of 65,536 pixels of a PET slice. The same on every processor: in float64 each of the three steps is
    exact before it is rounded.
    """
    red, green, blue = (np.float64(np.float32(weight)) for weight in (0.299, 0.587, 0.114))
    total = (rgb[..., 1] * green).astype(np.float32)
    total = (rgb[..., 2] * blue + total).astype(np.float32)
    total = (rgb[..., 0] * red + total).astype(np.float32)
    result: np.ndarray = np.rint(total, out=total).astype(np.uint8)
    return result


@lru_cache(maxsize=1)
def _rounded_thousandths() -> np.ndarray:
    """Every sum of weighted channels in whole levels, uint8 (255001,): looking up is four times as fast as dividing."""
    down, rest = np.divmod(np.arange(255_001), 1000)
    result: np.ndarray = (down + ((rest > 500) | ((rest == 500) & (down % 2 == 1)))).astype(np.uint8)
    return result


def encode_png(pixels: np.ndarray, *, small: bool = False) -> bytes:
    """PNG of uint8 (H,W), (H,W,1) or RGB (H,W,3); ``small`` takes longer for fewer bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=small)
    return buffer.getvalue()


def images_in(folder: str | Path) -> dict[str, Path]:
    """Stem -> file of every image directly in ``folder``, sorted by stem; other files are passed over.

    Among these are names that begin with ``._``: macOS puts such a file beside each image on disks of other systems.

    Raises:
        DataError: no such folder, no image in it, or two files of one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'a file, not a folder of images' if folder.exists() else 'no such folder'}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("._") and path.is_file():
            if path.stem in found:
                both = f"{found[path.stem].name} and {path.name}"
                raise DataError(f"{folder}: {both} share the stem {path.stem!r}; keep one")
            found[path.stem] = path
    if not found:
        raise DataError(f"{folder}: no image ({', '.join(SUFFIXES)}) in this folder")
    return found


def _upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels turned as EXIF's orientation 1..8 says."""
    if turn >= 5:  # rows and columns are exchanged
        pixels = pixels.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


__all__ = [
    "FULL",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "DecodedImage",
    "FullDepthImage",
    "GreyRule",
    "decode_full_depth",
    "decode_image",
    "encode_png",
    "fit_ranges",
    "float32_luma",
    "images_in",
    "luma",
    "read_full_depth",
    "read_image",
    "read_values",
    "to_grey",
]
