"""Reads picture files that others made: sizes are checked from the header, before a pixel is decoded.

PNG and JPEG are decoded by OpenCV (8 bits; orientation tags are ignored: pixels as stored), other formats by Pillow.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fusionbench.errors import DataError
from fusionbench.files import read_bounded

MAX_FILE = 256 << 20  # bytes
MAX_PIXELS = 64 << 20
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".pgm", ".ppm")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def png_size(content: bytes) -> tuple[int, int] | None:
    """Height and width from a PNG's header, or None when it is not an 8-bit (or smaller) PNG."""
    if len(content) < 26 or content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or content[24] > 8:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return height, width


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Height and width from a JPEG's frame header, or None when it has none."""
    at = 2
    if content[:2] != b"\xff\xd8":
        return None
    while at + 9 < len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8:  # fill byte, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return height, width
        at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    return None


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture at ``path`` as uint8 RGB (h, w, 3).

    Args:
        size: the height and width that it must have.

    Raises:
        DataError: missing, not a picture, of another size, too large, or damaged.
    """
    content = read_bounded(path, MAX_FILE, "picture")
    return decode(content, str(path), size)


def decode(content: bytes, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture in ``content`` as uint8 RGB (h, w, 3); ``name`` is for messages. Raises as :func:`read_image`."""
    found = png_size(content) or jpeg_size(content)
    if found is None:
        return _decode_by_pillow(content, name, size)
    _check_size(name, found, size)
    import cv2

    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None or picture.shape[:2] != found:
        raise DataError(f"{name}: damaged picture; fetch it again")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _check_size(name: str, found: tuple[int, int], size: tuple[int, int] | None) -> None:
    if size is not None and found != size:
        raise DataError(f"{name}: {found[0]}×{found[1]} pixels instead of {size[0]}×{size[1]}")
    if found[0] < 1 or found[1] < 1 or found[0] * found[1] > MAX_PIXELS:
        raise DataError(f"{name}: says it has {found[0]}×{found[1]} pixels; at most {MAX_PIXELS} are read")


def _decode_by_pillow(content: bytes, name: str, size: tuple[int, int] | None) -> np.ndarray:
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["TIFF", "WEBP", "BMP", "PPM"]) as picture:
            _check_size(name, (picture.height, picture.width), size)
            if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise DataError(f"{name}: pictures of mode {picture.mode!r} are not read; convert it to 8 bits")
            return np.asarray(picture.convert("RGB"))
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they like on damaged files
        raise DataError(f"{name}: not a PNG, JPEG, TIFF, WebP, BMP or PNM picture of 8 bits, or damaged") from error
