"""From the bytes of an image file to the values that it stores; what is refused is refused here, in one line.

Whole 8-bit JPEGs are decoded by OpenCV, which takes half of Pillow's time. Both contain libjpeg-turbo, and gave the
same bytes for all 11,110 JPEGs of CelebA, RoadScene and VIFB that were compared, so that digests of data sets and
scores do not depend on the choice. Everything else is Pillow's, which is strict about damage. Only colours of 16 bits
a channel, which Pillow cuts to 8, are decoded again by OpenCV and compared with what Pillow saw.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.image_headers import (
    PNG_SIGNATURE,
    TIFF_ORDERS,
    TiffHeader,
    jpeg_header,
    png_header,
    png_is_damaged,
    pnm_header,
    tiff_header,
)
from fusionbench.core.image_ranges import Values

KINDS = "PNG, JPEG, BMP, TIFF, WebP or PNM"
MAX_PIXELS = 1 << 26  # 64 megapixels
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
_ORIENTATION = 0x0112
_PNM = re.compile(rb"P[2356][\s#]")
_PROFILE = "embedded colour profile not applied"


@dataclass(frozen=True)
class Stored:
    """What a decoder gave: values as they are stored, not yet turned.

    Attributes:
        alpha: uint8 (H,W), where it was asked for and is there.
        turn: what EXIF calls the orientation, 1..8; 1 is upright.
    """

    values: Values
    format: str
    notes: tuple[str, ...] = ()
    alpha: np.ndarray | None = None
    turn: int = 1


def decode_stored(content: bytes, name: str, size: tuple[int, int] | None, keep_alpha: bool) -> Stored:
    """Decode the content of a file; arguments and errors as of :func:`fusionbench.core.images.read_image`."""
    try:
        stored = _by_opencv(content, name, size) or _deep_pnm(content, name, size)
        if stored is None:
            stored = _by_pillow(content, name, size, keep_alpha)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow answers damaged files with errors of a dozen types
        raise DataError(f"{name}: not a readable {KINDS} image ({_reason(error, content)})") from error
    if stored.values.pixels.dtype.kind == "f" and not np.isfinite(stored.values.pixels).all():
        raise DataError(f"{name}: has values that are not finite; replace them first")
    return stored


def _reason(error: Exception, content: bytes) -> str:
    text = " ".join(str(error).split()).strip(" '\"")[:160] or type(error).__name__
    if "BytesIO" not in text:  # else Pillow's "cannot identify image file" and the address of a buffer
        return text
    header = tiff_header(content)
    return "unknown format" if header is None else f"a TIFF of {header}; save it with 8 or 16 bits or 32-bit float"


def _check_size(name: str, height: int, width: int, size: tuple[int, int] | None) -> None:
    """Before a pixel is decoded. A file that is still to be turned may have its sides exchanged."""
    if size is not None and (height, width) not in (size, size[::-1]):
        raise DataError(f"{name}: {height}×{width} pixels instead of {size[0]}×{size[1]}")
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise DataError(f"{name}: {height}×{width} pixels is too large (limit {MAX_PIXELS} pixels)")


def _by_opencv(content: bytes, name: str, size: tuple[int, int] | None) -> Stored | None:
    """A whole JPEG of 8 bits, grey or colour; None for any other file: Pillow has the last word on doubtful ones."""
    header = jpeg_header(content)
    # Some versions of OpenCV fill what is missing of a truncated file with grey, hence the end marker.
    if header is None or header.bits != 8 or header.channels not in (1, 3) or not header.complete:
        return None
    _check_size(name, header.height, header.width, size)
    import cv2

    how = cv2.IMREAD_GRAYSCALE if header.channels == 1 else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), how | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        return None
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    notes = _noted(header.has_profile, _PROFILE) + _noted(header.has_more_images, "the first of several images in it")
    return Stored(Values(pixels, 255, 8), "JPEG", notes, turn=_turn_of(header.exif))


def _noted(found: bool, note: str) -> tuple[str, ...]:
    return (note,) if found else ()


def _turn_of(exif: bytes) -> int:
    """The orientation 1..8 that EXIF data tell; damaged ones tell 1."""
    if not exif:
        return 1
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged data
        found = Image.Exif()
        with contextlib.suppress(Exception):
            found.load(exif)
        return _orientation(found)


def _deep_pnm(content: bytes, name: str, size: tuple[int, int] | None) -> Stored | None:
    """A PNM of more than 8 bits, whose values Pillow would stretch; None for any other file."""
    header = pnm_header(content)
    if header is None or header.maximum < 256:
        return None
    if header.plain or header.maximum > 65535:
        raise DataError(f"{name}: a PNM of text and of more than 8 bits is not read; save it as PNG")
    _check_size(name, header.height, header.width, size)
    shape = (header.height, header.width) + ((3,) if header.channels == 3 else ())
    count = int(np.prod(shape))
    if len(content) < header.start + 2 * count:
        raise DataError(f"{name}: not a readable {KINDS} image (image file is truncated)")
    pixels = np.frombuffer(content, ">u2", count, header.start).astype(np.uint16).reshape(shape)
    if int(pixels.max()) > header.maximum:
        raise DataError(f"{name}: damaged: values above the {header.maximum} that it calls white")
    return Stored(Values(pixels, header.maximum, header.maximum.bit_length()), "PPM")


def _by_pillow(content: bytes, name: str, size: tuple[int, int] | None, keep_alpha: bool) -> Stored:
    from PIL import Image

    png, tiff = png_header(content), tiff_header(content)
    if (header := png or tiff) is not None:
        _check_size(name, header.height, header.width, size)
    if png is not None and png_is_damaged(content):
        raise DataError(f"{name}: not a readable {KINDS} image (a checksum in it is wrong)")
    if tiff is None and content[:2] in TIFF_ORDERS:
        raise DataError(f"{name}: a damaged TIFF: its first directory cannot be read, or names a tag twice")
    if tiff is not None and tiff.has_more:  # Pillow would look for all of them, in time that grows with their square
        raise DataError(f"{name}: holds several images; export one of them")
    if png is None and content.startswith(PNG_SIGNATURE):
        raise DataError(f"{name}: a damaged PNG: it does not begin with its header")
    if _PNM.match(content) and pnm_header(content) is None:  # Pillow would bring any depth to 8 bits, or not say which
        raise DataError(f"{name}: a PNM whose header is damaged or too long; save it as PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own bomb warning; the limit is stricter
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_size(name, image.height, image.width, size)
            if (frames := getattr(image, "n_frames", 1)) > 1:
                raise DataError(f"{name}: holds {frames} images; export one of them")
            image.load()
            turn = 1 if tiff is not None else _orientation(image)  # Pillow turns TIFFs as it decodes them
            turned = tiff is not None and tiff.turn > 1
            notes = _noted(turned, "turned upright") + _noted(bool(image.info.get("icc_profile")), _PROFILE)
            values, alpha = _values(content, name, image)
    if alpha is not None and not keep_alpha:
        if (alpha != 255).any():
            raise DataError(f"{name}: has translucent pixels; flatten the alpha channel first")
        alpha, notes = None, (*notes, "opaque alpha channel dropped")
    return Stored(values, image.format or "", notes, alpha, turn)


def _orientation(told: Any) -> int:
    """1..8 by the EXIF data of an opened image, or by such data; what is damaged tells 1."""
    try:
        exif = told.getexif() if hasattr(told, "getexif") else told
        turn = int(exif.get(_ORIENTATION, 1))
    except Exception:  # Pillow answers damaged EXIF data with errors of many types
        return 1
    return turn if 1 <= turn <= 8 else 1


def _values(content: bytes, name: str, image: Any) -> tuple[Values, np.ndarray | None]:
    """What is stored in a file that Pillow has opened and loaded, and its alpha channel in 8 bits."""
    mode: str = image.mode
    png, tiff = png_header(content), tiff_header(content)
    depth = png.bits if png is not None else max(tiff.bits) if tiff is not None else 8
    if depth == 16 and mode in ("RGB", "RGBA", "LA"):
        return _deep_colour(content, name, image)
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if "transparency" in image.info or mode == "PA" else "RGB")
    elif mode in ("1", "L", "RGB") and "transparency" in image.info:
        image = image.convert("RGBA" if mode == "RGB" else "LA")  # a key colour becomes an alpha channel
    elif mode == "1":
        image = image.convert("L")
    mode, pixels = image.mode, np.asarray(image)
    if tiff is not None and tiff.photometric == 0 and (tiff.sample != 1 or depth > 16):
        raise DataError(f"{name}: a TIFF of {tiff}, in which 0 is white; invert it first")
    if tiff is not None and tiff.sample == 2 and mode == "L":
        return Values(np.ascontiguousarray(pixels).view(np.int8), None, 8), None
    if mode in ("L", "RGB"):
        return Values(np.ascontiguousarray(pixels), 255, 8), None
    if mode in ("LA", "RGBA"):
        colours = pixels[..., 0] if mode == "LA" else pixels[..., :3]
        return Values(np.ascontiguousarray(colours), 255, 8), np.ascontiguousarray(pixels[..., -1])
    if mode.startswith("I") and png is None and tiff is None:
        raise DataError(f"{name}: more than 8 bits in a form that is not read; save it as PNG")
    if mode.startswith("I;16") or mode == "I":
        return _integers(name, pixels, image, depth, tiff)
    if mode == "F":
        return Values(pixels.astype(np.float32), None, 32), None
    raise DataError(f"{name}: pixels of kind {mode!r} are not read; convert the image to 8-bit grey or RGB")


def _integers(
    name: str, pixels: np.ndarray, image: Any, depth: int, tiff: TiffHeader | None
) -> tuple[Values, np.ndarray | None]:
    """Grey of more than 8 bits; ``depth`` is the file's."""
    if tiff is not None and tiff.sample == 2:
        return Values(pixels.astype(np.int16 if depth == 16 else np.int32), None, depth), None
    if depth > 16:
        return Values(np.ascontiguousarray(pixels, np.int32).view(np.uint32), None, depth), None
    values = pixels.astype(np.uint16)
    full = 2**depth - 1
    if tiff is not None and tiff.photometric == 0:  # 0 is white: Pillow inverts 8 bits and leaves deeper ones
        values = full - values
    key = image.info.get("transparency")
    alpha = None if key is None else np.where(values == key, 0, 255).astype(np.uint8)
    return Values(values, full, depth), alpha


def _deep_colour(content: bytes, name: str, image: Any) -> tuple[Values, np.ndarray | None]:
    """16 bits a channel by OpenCV, whose high bytes must be what Pillow decoded."""
    import cv2

    seen, key = np.asarray(image), image.info.get("transparency")
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[:2] != seen.shape[:2]:
        raise DataError(f"{name}: 16 bits a channel in a form that is not read; convert it to 8 bits or to PNG")
    planes = np.asarray(found, np.uint16)
    colours = planes[..., 2::-1]
    alpha = planes[..., 3:] if planes.shape[2] == 4 else np.full_like(planes[..., :1], 65535)
    both = np.concatenate([colours[..., :1] if image.mode == "LA" else colours, alpha], axis=2)[..., : seen.shape[2]]
    if not np.array_equal(both >> 8, seen):
        raise DataError(f"{name}: 16 bits a channel, and two decoders see different images; convert it to 8 bits")
    if key is not None:
        alpha = np.where((colours == np.array(key)).all(axis=2, keepdims=True), 0, 65535)
    eight = np.where(alpha == 65535, 255, np.minimum(alpha >> 8, 254)).astype(np.uint8)[..., 0]
    header = png_header(content)
    grey = header is not None and header.colour in (0, 4)  # three equal channels from either decoder
    pixels = np.ascontiguousarray(colours[..., 0] if grey else colours)
    return Values(pixels, 65535, 16), None if key is None and seen.shape[2] == 3 else eight
