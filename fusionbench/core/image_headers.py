"""Sizes and kinds of PNG, JPEG, PNM and TIFF files, read from their first bytes: nothing here decodes a pixel.

The only place that parses these headers. A file may lie about itself; whoever decodes it compares what came out.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEAD = 33  # bytes: signature and IHDR
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MAX_SEGMENTS, _MAX_CHUNKS = 1 << 16, 1 << 20  # a file of nothing else must not keep a loop of Python busy
_PNM_HEAD = 1 << 16  # bytes with comments, of which programs write a line or two
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P([2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s")
TIFF_ORDERS = {b"II": "<", b"MM": ">"}  # how a TIFF begins, and the order of its bytes
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG and BigTIFF's LONG8


@dataclass(frozen=True)
class PngHeader:
    """IHDR. ``colour``: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha; ``bits`` a channel."""

    height: int
    width: int
    bits: int
    colour: int


@dataclass(frozen=True)
class JpegHeader:
    """Frame header and what the segments before the first scan tell; ``complete``: an end marker follows the scan."""

    height: int
    width: int
    bits: int
    channels: int
    exif: bytes
    has_profile: bool
    has_more_images: bool
    complete: bool


@dataclass(frozen=True)
class PnmHeader:
    """``plain``: numbers as text; ``maximum``: the value of white; ``start`` of the pixels."""

    height: int
    width: int
    channels: int
    maximum: int
    plain: bool
    start: int


@dataclass(frozen=True)
class TiffHeader:
    """The first directory.

    ``sample``: 1 unsigned, 2 signed, 3 float; ``photometric``: 0 means that 0 is white; ``turn``: orientation, 1..8;
    ``has_more``: another directory follows, which is another image.
    """

    height: int
    width: int
    bits: tuple[int, ...]
    sample: int
    photometric: int
    turn: int
    has_more: bool = False

    def __str__(self) -> str:
        kind = {1: "unsigned", 2: "signed", 3: "float"}.get(self.sample, "unknown")
        return f"{len(self.bits)} × {max(self.bits)} bits, {kind}"


def png_header(content: bytes) -> PngHeader | None:
    """From the first 33 bytes of a file, or None where it is no PNG."""
    if len(content) < PNG_HEAD or content[:16] != PNG_SIGNATURE + b"\0\0\0\rIHDR":
        return None
    width, height, bits, colour = struct.unpack(">IIBB", content[16:26])
    return PngHeader(height, width, bits, colour)


def png_is_damaged(content: bytes) -> bool:
    """Whether the checksum of a chunk that matters is wrong: Pillow decodes such pixels without a word."""
    at = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(content):
            return False  # what is missing is for the decoder to tell
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        critical = content[at + 4] & 0x20 == 0  # a capital letter
        told = content[end : end + 4]
        if critical and len(told) == 4 and zlib.crc32(memoryview(content)[at + 4 : end]) != int.from_bytes(told, "big"):
            return True
        at = end + 4
    return False


def png_extras(content: bytes, most: int) -> int:
    """Number of chunks that hold no pixels, such as texts and profiles; not counted beyond ``most`` + 1.

    Decoders keep all of them, so that a small file of nothing else costs much.
    """
    at, found = len(PNG_SIGNATURE), 0
    while at + 12 <= len(content) and found <= most:
        name = content[at + 4 : at + 8]
        found += name not in (b"IHDR", b"IDAT", b"PLTE", b"IEND")
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        if name == b"IEND":
            break
    return found


def jpeg_header(content: bytes) -> JpegHeader | None:
    """From the whole content of a file, or None where it is no JPEG or has no frame before its first scan."""
    if content[:3] != b"\xff\xd8\xff":
        return None
    at, frame, exif, profile, more = 2, None, b"", False, False
    for _ in range(_MAX_SEGMENTS):
        if at + 4 > len(content) or content[at] != 0xFF:
            break
        marker = content[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:  # a fill byte, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        if marker in _JPEG_FRAMES and len(body) >= 6:
            if frame is not None:
                return None  # two frames: which one is meant is the file's secret
            frame = struct.unpack(">BHHB", body[:6])
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif marker == 0xE2:
            profile |= body.startswith(b"ICC_PROFILE\0")
            more |= body.startswith(b"MPF\0")
        elif marker == 0xDA:
            break
        at += 2 + length
    if frame is None:
        return None
    bits, height, width, channels = frame
    return JpegHeader(height, width, bits, channels, exif, profile, more, content.find(b"\xff\xd9", at) >= 0)


def pnm_header(content: bytes) -> PnmHeader | None:
    """Of grey and RGB files (P2, P3, P5, P6), or None."""
    match = _PNM.match(content[:_PNM_HEAD])
    if match is None:
        return None
    width, height, maximum = (int(match[group]) for group in (2, 3, 4))
    return PnmHeader(height, width, 3 if match[1] in b"36" else 1, maximum, match[1] in b"23", match.end())


def tiff_header(content: bytes) -> TiffHeader | None:
    """Of the first directory of a TIFF or BigTIFF, or None where it is none, damaged, or has a tag twice.

    Decoders differ in which of two equal tags they believe, so that such a file could pass with a small size and be
    decoded with a large one.
    """
    order = TIFF_ORDERS.get(content[:2])
    if order is None or len(content) < 16:
        return None
    try:
        (version,) = struct.unpack_from(f"{order}H", content, 2)
        if version == 42:
            (at,) = struct.unpack_from(f"{order}I", content, 4)
            (count,) = struct.unpack_from(f"{order}H", content, at)
            entry, at, inline = f"{order}HHI", at + 2, 4
        elif version == 43:
            (at,) = struct.unpack_from(f"{order}Q", content, 8)
            (count,) = struct.unpack_from(f"{order}Q", content, at)
            entry, at, inline = f"{order}HHQ", at + 8, 8
        else:
            return None
        tags: dict[int, tuple[int, ...]] = {}
        for _ in range(min(count, 4096)):
            tag, kind, many = struct.unpack_from(entry, content, at)
            place = at + struct.calcsize(entry)
            at = place + inline
            if tag in tags:
                return None
            tags[tag] = ()
            if tag in (256, 257, 258, 262, 274, 339) and kind in _TIFF_TYPES and many <= 16:
                values = f"{order}{many}{_TIFF_TYPES[kind]}"
                if struct.calcsize(values) > inline:
                    (place,) = struct.unpack_from(f"{order}{'I' if inline == 4 else 'Q'}", content, place)
                tags[tag] = struct.unpack_from(values, content, place)
        following = content[at : at + inline].strip(b"\0")  # the place of the next directory, 0 for none
    except struct.error:
        return None
    (width, *_), (height, *_) = tags.get(256) or (0,), tags.get(257) or (0,)
    sample, photometric, turn = ((tags.get(tag) or (1,))[0] for tag in (339, 262, 274))
    turn = turn if 1 <= turn <= 8 else 1
    return TiffHeader(height, width, tags.get(258) or (1,), sample, photometric, turn, following != b"")
