"""What an image file says of itself beside its pixels: EXIF, colour profile and XMP, read for another file.

Files are hostile: sizes are bounded, EXIF data are taken apart and only known tags are written again, and what is
damaged is left out. The orientation is always left out, because the reader of images turns pixels upright, and so are
thumbnails, which would show the image as it was, and notes of a camera's maker, whose inner addresses would be wrong.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass
from typing import Any

MAX_EXIF = 60_000  # bytes; a JPEG has room for 65,527
MAX_XMP = 60_000
MAX_PROFILE = 4 << 20
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Description, maker, model, resolution, software, time, artist, copyright; the rest says how pixels are stored.
_KEPT = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x013B, 0x0132, 0x8298)
# Maker's note, width and height (exchanged where the image was turned), and the address of another directory.
_LEFT_OUT = (0x927C, 0xA002, 0xA003, 0xA005)
_TURN = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>\s*))[0-9]+""")


@dataclass(frozen=True)
class ImageMetadata:
    """Bytes to be written into another file; each is empty where there is none.

    Attributes:
        exif: a TIFF structure, beginning with the order of its bytes.
        icc: a colour profile.
        xmp: an XML packet.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""

    def profile_for(self, channels: int) -> bytes:
        """The colour profile where it is one for images of 1 (grey) or 3 channels (RGB), else nothing."""
        return self.icc if self.icc[16:20] == (b"RGB " if channels == 3 else b"GRAY") else b""


NO_METADATA = ImageMetadata()


def read_metadata(content: bytes) -> ImageMetadata:
    """EXIF, colour profile and XMP of an image file; what is damaged, unknown or too large is left out.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from fusionbench.core.image_metadata import read_metadata
        >>> exif, file = Image.Exif(), io.BytesIO()
        >>> exif[0x0110], exif[0x0112] = "A camera", 6  # model, orientation
        >>> Image.new("L", (4, 3)).save(file, "PNG", exif=exif)
        >>> again = Image.Exif()
        >>> again.load(read_metadata(file.getvalue()).exif)
        >>> dict(again)
        {272: 'A camera'}
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged data
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.format == "PNG" and _says_more_behind(content):
                    image.load()
                about, exif = dict(image.info), _kept_exif(image)
        except Exception:  # Pillow answers damaged files with errors of a dozen types
            return NO_METADATA
    return ImageMetadata(exif, _kept_profile(about.get("icc_profile")), _kept_xmp(about))


def _says_more_behind(png: bytes) -> bool:
    """Whether chunks behind the pixels may have EXIF or XMP: Pillow decodes the pixels to reach them."""
    pixels = png.find(b"IDAT")
    return any(png.rfind(name) > pixels for name in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"))


def _kept_exif(image: Any) -> bytes:
    from PIL import Image

    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return b""  # Pillow would decode the pixels to look behind them
    kept = Image.Exif()
    with contextlib.suppress(Exception):
        told = image.getexif()
        if len(image.info.get("exif", b"")) > MAX_EXIF:
            return b""
        for tag in _KEPT:
            if tag in told:
                kept[tag] = told[tag]
        for ifd in (_EXIF_IFD, _GPS_IFD):
            inner = {tag: value for tag, value in dict(told.get_ifd(ifd)).items() if tag not in _LEFT_OUT}
            if inner:
                kept[ifd] = inner
        if not dict(kept):
            return b""
        found: bytes = kept.tobytes()
        found = found.removeprefix(b"Exif\0\0")
        return found if len(found) <= MAX_EXIF else b""
    return b""


def _kept_profile(profile: object) -> bytes:
    """A profile that has the length that it says and the signature of profiles."""
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= MAX_PROFILE:
        return b""
    whole = int.from_bytes(profile[:4], "big") == len(profile) and profile[36:40] == b"acsp"
    return profile if whole else b""


def _kept_xmp(about: dict[Any, Any]) -> bytes:
    found = about.get("xmp") or about.get("XML:com.adobe.xmp") or b""
    if isinstance(found, str):
        found = found.encode()
    if not isinstance(found, bytes) or len(found) > MAX_XMP or b"\0" in found:
        return b""
    if b"<!DOCTYPE" in found or b"<!ENTITY" in found:  # no XMP has them; they make parsers of others expand or fetch
        return b""
    return _TURN.sub(rb"\g<1>1", found)


__all__ = ["MAX_EXIF", "MAX_PROFILE", "MAX_XMP", "NO_METADATA", "ImageMetadata", "read_metadata"]
