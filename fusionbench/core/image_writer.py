"""Writes images of 8 and 16 bits, grey and RGB, as PNG, TIFF or JPEG, with EXIF, colour profile and XMP.

Pillow writes no RGB of 16 bits, so PNGs are encoded by OpenCV and get their chunks of metadata here, and TIFFs have one
deflated strip with a directory of Pillow's. Whatever is written is read back by :mod:`fusionbench.core.images`.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_headers import PNG_HEAD
from fusionbench.core.image_metadata import NO_METADATA, ImageMetadata

ImageFormat = Literal["png", "tiff", "jpeg"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
SUFFIX: dict[ImageFormat, str] = {"png": ".png", "tiff": ".tif", "jpeg": ".jpg"}
_BY_SUFFIX: dict[str, ImageFormat] = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".jpg": "jpeg", ".jpeg": "jpeg"}
# Of RoadScene's 221 colour images, level 2 takes a quarter of the time of level 6 and 9 % more bytes.
_PNG_LEVEL = 2
_MAX_JPEG_SIDE = 65_500


def format_of(path: str | Path) -> ImageFormat:
    """The format that a file's name asks for.

    Raises:
        UsageError: no such format.

    Example:
        >>> from fusionbench.core.image_writer import format_of
        >>> format_of("fused/street.TIF")
        'tiff'
    """
    found = _BY_SUFFIX.get(Path(path).suffix.lower())
    if found is None:
        raise UsageError(f"{path}: images are written as {', '.join(_BY_SUFFIX)}; choose such a name, or --format")
    return found


def encode_pixels(
    pixels: np.ndarray, kind: ImageFormat = "png", *, metadata: ImageMetadata = NO_METADATA, quality: int = 95
) -> bytes:
    """The content of an image file.

    Args:
        pixels: uint8 or uint16, (H,W) or RGB (H,W,3).
        kind: ``png``, ``tiff`` (both without loss) or ``jpeg`` (uint8 alone; colour at full resolution).
        metadata: written where the format has a place for it; a colour profile only where it fits the channels.
        quality: of JPEG, 1 to 100.

    Raises:
        UsageError: pixels of another kind, an unknown format, or 16 bits for JPEG.
        DataError: an image that is too large for the format.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.image_writer import encode_pixels
        >>> from fusionbench.core.images import decode_full_depth
        >>> pixels = np.array([[0, 257, 65535]], np.uint16)
        >>> (decode_full_depth(encode_pixels(pixels), "a.png").pixels * 65535).tolist()
        [[0.0, 257.0, 65535.0]]
    """
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype not in (np.uint8, np.uint16) or not shaped:
        raise UsageError(f"images to write are uint8 or uint16, (H,W) or (H,W,3), not {pixels.dtype} {pixels.shape}")
    if kind not in IMAGE_FORMATS:
        raise UsageError(f"Unknown format of images {kind!r}: use {', '.join(IMAGE_FORMATS)}")
    if not 1 <= quality <= 100:
        raise UsageError(f"quality={quality}: a JPEG has 1 to 100")
    pixels = np.ascontiguousarray(pixels)
    if kind == "png":
        return _png(pixels, metadata)
    return _tiff(pixels, metadata) if kind == "tiff" else _jpeg(pixels, metadata, quality)


def _png(pixels: np.ndarray, metadata: ImageMetadata) -> bytes:
    import cv2

    planes = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".png", planes, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    if not done:
        raise DataError(f"an image of {pixels.shape[0]}×{pixels.shape[1]} pixels cannot be encoded as PNG")
    content, extras = encoded.tobytes(), b""
    if profile := metadata.profile_for(_channels(pixels)):
        extras += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    if metadata.exif:
        extras += _chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        extras += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    return content[:PNG_HEAD] + extras + content[PNG_HEAD:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _channels(pixels: np.ndarray) -> int:
    return 3 if pixels.ndim == 3 else 1


def _jpeg(pixels: np.ndarray, metadata: ImageMetadata, quality: int) -> bytes:
    from PIL import Image

    if pixels.dtype != np.uint8:
        raise UsageError("a JPEG has 8 bits a channel: choose --bits 8, or --format png or tiff")
    if max(pixels.shape[:2]) > _MAX_JPEG_SIDE:
        raise DataError(f"{pixels.shape[0]}×{pixels.shape[1]} pixels are too many for a JPEG; choose --format png")
    extra = b""
    if metadata.xmp:
        body = b"http://ns.adobe.com/xap/1.0/\0" + metadata.xmp
        extra = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    buffer = io.BytesIO()
    profile = metadata.profile_for(_channels(pixels)) or None
    exif = b"Exif\0\0" + metadata.exif if metadata.exif else b""
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=quality, subsampling=0, exif=exif, icc_profile=profile, extra=extra
    )
    return buffer.getvalue()


def _tiff(pixels: np.ndarray, metadata: ImageMetadata) -> bytes:
    """One strip: differences along the rows (predictor 2), deflated."""
    from PIL import Image, TiffImagePlugin

    height, width = pixels.shape[:2]
    channels, bits = _channels(pixels), 8 * pixels.dtype.itemsize
    rows = pixels.reshape(height, width, channels)
    strip = rows.copy()
    strip[:, 1:] -= rows[:, :-1]  # whole numbers that wrap around, as they do when they are added again
    packed = zlib.compress(strip.astype(strip.dtype.newbyteorder("<")).tobytes(), 6)
    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II\x2a\0\0\0\0\0")
    if metadata.exif:
        told = Image.Exif()
        told.load(metadata.exif)
        for tag in told:
            tags[tag] = told[tag] if tag not in (0x8769, 0x8825) else dict(told.get_ifd(tag))
    tags[256], tags[257], tags[258] = width, height, (bits,) * channels
    tags[259], tags[262], tags[277], tags[284], tags[317] = 8, 2 if channels == 3 else 1, channels, 1, 2
    tags[278], tags[279], tags[339] = height, len(packed), (1,) * channels
    tags.tagtype[279] = tags.tagtype[273] = 4
    tags[273] = 0  # moved behind the directory as it is written
    if profile := metadata.profile_for(channels):
        tags.tagtype[34675], tags[34675] = 7, profile
    if metadata.xmp:
        tags.tagtype[700], tags[700] = 1, metadata.xmp
    buffer = io.BytesIO()
    tags.save(buffer)
    return buffer.getvalue() + packed


__all__ = ["IMAGE_FORMATS", "SUFFIX", "ImageFormat", "encode_pixels", "format_of"]
