"""Picture files of strangers: PNG, JPEG, BMP and TIFF to uint8, with everything checked before it is decoded.

What becomes of the pixels is written down here and nowhere else:

* colour to grey: ITU-R BT.601 luma, (299 R + 587 G + 114 B)/1000 in whole numbers, rounded half to even;
* 16-bit grey: value · 255/65535 rounded half to even, with a note; refused where the file uses less than a
  sixteenth of the range, because hardly anything would be left of it;
* a palette is looked up; an opaque alpha channel is dropped; translucent pixels are refused, also those that a key
  colour makes transparent;
* a photograph that says how it was held (EXIF orientation) is turned upright, with a note;
* float, CMYK and 16-bit colour files, and files of several pictures, are refused.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fusionbench.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MAX_BYTES = 1 << 29
MAX_PIXELS = 1 << 26  # 64 megapixels
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")


@dataclass(frozen=True)
class Picture:
    """A decoded file: ``pixels`` uint8 (H,W) or (H,W,3) RGB, its ``format`` ("PNG", …) and a ``note`` or ""."""

    pixels: np.ndarray
    format: str
    note: str = ""

    def grey(self) -> np.ndarray:
        """uint8 (H,W): the pixels themselves or their luma."""
        return self.pixels if self.pixels.ndim == 2 else luma(self.pixels)


def luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 (...,3) as uint8 (...): whole numbers, rounded half to even."""
    thousandths, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    for channel, weight in ((thousandths, 299), (green, 587), (blue, 114)):
        channel *= weight
    thousandths += green
    thousandths += blue
    return _rounded_thousandths().take(thousandths)


@lru_cache(maxsize=1)
def _rounded_thousandths() -> np.ndarray:
    """Every sum of weighted channels in whole levels, uint8 (255001,): looking up is four times as fast as dividing."""
    down, rest = np.divmod(np.arange(255_001), 1000)
    return (down + ((rest > 500) | ((rest == 500) & (down % 2 == 1)))).astype(np.uint8)


def read_picture(path: str | Path) -> Picture:
    """Decode one file.

    Raises:
        DataError: missing, too large, truncated, not a picture, or of a kind that is refused (see above).
    """
    from PIL import Image

    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such picture")
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: {path.stat().st_size} bytes is too large for a picture (limit {MAX_BYTES})")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; the limit below is stricter
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise DataError(f"{path}: {width}×{height} pixels is too large (limit {MAX_PIXELS} pixels)")
                if getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{path}: holds {image.n_frames} pictures; export one of them")  # type: ignore[attr-defined]
                _refuse_deep_colour(path, image.format or "", image.mode)
                image.load()
                picture = _convert(path, image, image.format or "")
                return _upright(picture, image)
    except DataError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # Pillow answers damaged files with errors of a dozen types
        reason = str(error).replace(str(path), "").strip(" '\"") or type(error).__name__
        raise DataError(f"{path}: not a readable PNG, JPEG, BMP or TIFF picture ({reason})") from error


def _refuse_deep_colour(path: Path, kind: str, mode: str) -> None:
    """Pillow reads 16-bit colour PNGs as 8-bit without a word; look at the header instead."""
    if kind == "PNG" and mode in ("RGB", "RGBA", "LA"):
        with open(path, "rb") as stream:
            header = stream.read(26)
        if len(header) == 26 and header[24] == 16:
            raise DataError(f"{path}: 16 bits a channel; convert it to 8-bit colour first")


def _convert(path: Path, image: object, kind: str) -> Picture:
    mode: str = image.mode  # type: ignore[attr-defined]
    convert = image.convert  # type: ignore[attr-defined]
    if mode in ("P", "PA"):
        translucent = "transparency" in image.info or mode == "PA"  # type: ignore[attr-defined]
        image = convert("RGBA" if translucent else "RGB")
        mode = image.mode  # type: ignore[attr-defined]
    elif mode in ("1", "L", "RGB") and "transparency" in image.info:  # type: ignore[attr-defined]
        image = convert("RGBA" if mode == "RGB" else "LA")  # a key colour becomes an alpha channel
        mode = image.mode  # type: ignore[attr-defined]
    if mode == "1":
        return Picture(np.asarray(convert("L")), kind)
    pixels = np.asarray(image)
    if mode in ("RGBA", "LA"):
        if (pixels[..., -1] != 255).any():
            raise DataError(f"{path}: has translucent pixels; flatten the alpha channel first")
        pixels = pixels[..., :-1].squeeze(-1) if mode == "LA" else pixels[..., :-1]
        mode = mode[:-1]
    if mode == "L" or (mode == "RGB" and pixels.shape[-1] == 3):
        return Picture(np.ascontiguousarray(pixels), kind)
    if mode.startswith("I;16") or mode == "I":
        return Picture(_eight_bits(path, pixels), kind, "16 bits scaled to 8")
    raise DataError(f"{path}: pixels of kind {mode!r} are not scored; convert the picture to 8-bit grey or RGB")


def _upright(picture: Picture, image: object) -> Picture:
    """The picture turned as its EXIF data say; damaged ones say nothing."""
    try:
        turn = int(image.getexif().get(0x0112, 1))  # type: ignore[attr-defined]
    except Exception:  # Pillow answers damaged EXIF data with errors of many types
        return picture
    if not 2 <= turn <= 8:
        return picture
    pixels = picture.pixels
    if turn >= 5:  # rows and columns are exchanged
        pixels = pixels.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    note = "turned upright" if not picture.note else f"{picture.note}, turned upright"
    return Picture(np.ascontiguousarray(pixels), picture.format, note)


def _eight_bits(path: Path, pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype(np.int64)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise DataError(f"{path}: values {low}..{high} are not 16-bit; convert the picture to 8-bit grey")
    if high - low < 4096:
        raise DataError(f"{path}: uses only {low}..{high} of 16 bits; stretch it to 8-bit grey yourself")
    return np.rint(pixels / 257).astype(np.uint8)


def pictures_in(folder: str | Path) -> dict[str, Path]:
    """Stem -> file of every picture directly in ``folder``, sorted by stem; other files are passed over.

    Raises:
        DataError: no such folder, no picture in it, or two files of one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'a file, not a folder of pictures' if folder.exists() else 'no such folder'}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            if path.stem in found:
                both = f"{found[path.stem].name} and {path.name}"
                raise DataError(f"{folder}: {both} share the stem {path.stem!r}; keep one")
            found[path.stem] = path
    if not found:
        raise DataError(f"{folder}: no picture ({', '.join(SUFFIXES)}) in this folder")
    return found
