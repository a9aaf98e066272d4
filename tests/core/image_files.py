"""Image files for tests: written by Pillow and tifffile, or by hand where they are to lie."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
DEEP = np.linspace(0, 65535, 48).reshape(6, 8).astype(np.uint16)
DEEP_COLOUR = np.random.default_rng(1).integers(0, 65536, (6, 8, 3)).astype(np.uint16)
ALL_KINDS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def tiff(path: Path, pixels: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, pixels, **options)  # type: ignore[arg-type]
    return path


def encoded(kind: str, pixels: np.ndarray = COLOUR, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def png_that_says(width: int, height: int, depth: int = 8, kind: int = 0, data: bytes = b"") -> bytes:
    """A PNG that claims a size and has other pixels, or none."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
