"""Frames one at a time, from a video file (FFmpeg through PyAV) or from a folder of numbered images."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import images_in, read_image

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_FRAME = 64 << 20  # pixels of a frame


class _Folder:
    """Numbered image files: the last number of a name counts, so that ``ir_0007.png`` goes with ``7.jpg``."""

    rate: Fraction | None = None

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, dict[int, Path]()
        for stem, file in images_in(path).items():
            if not (numbers := re.findall(r"[0-9]{1,18}", stem)):
                raise DataError(f"{file}: has no number; name frames as 0001.png, 0002.png, …")
            if (other := self.files.setdefault(int(numbers[-1]), file)) is not file:
                raise DataError(f"{path}: {other.name} and {file.name} are both frame {numbers[-1]}; rename one")
        self.declared: int | None = len(self.files)

    def frames(self) -> Iterator[np.ndarray]:
        for number in sorted(self.files):
            yield np.ascontiguousarray(read_image(self.files[number]).pixels)


class _File:
    """The first video stream of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as container:
            stream = container.streams.video[0]
            self.rate: Fraction | None = stream.average_rate or stream.base_rate
            self.declared: int | None = stream.frames or None  # Matroska does not say
            self.seconds = float(container.duration or 0) / 1e6

    @contextlib.contextmanager
    def _open(self) -> Iterator[InputContainer]:
        av = _library()
        with contextlib.ExitStack() as stack:
            try:
                if not self.path.is_file():  # opening a pipe would wait for ever
                    raise DataError(f"{self.path}: no such file")
                content = stack.enter_context(open(self.path, "rb"))
                kind = _container(content.read(1024), self.path)
                content.seek(0)
                container = stack.enter_context(av.open(content, format=kind))
                if not container.streams.video:
                    raise DataError(f"{self.path}: has no video stream")
                if container.streams.video[0].codec_context is None:
                    raise DataError(f"{self.path}: its codec is not known; it may be damaged, or convert it to H.264")
            except (OSError, ValueError, av.FFmpegError) as error:
                raise self._unreadable(error) from error
            yield container

    def _unreadable(self, error: Exception) -> DataError:
        reason = getattr(error, "strerror", None) or str(error)
        return DataError(f"{self.path}: cannot be read as a video: {reason}; it may be truncated or damaged")

    def frames(self) -> Iterator[np.ndarray]:
        av = _library()
        with self._open() as container:
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_FRAME:
                raise DataError(f"{self.path}: frames of {stream.height}×{stream.width} pixels are too large")
            frames = container.decode(stream)
            while True:
                try:
                    frame = next(frames, None)
                    if frame is None:
                        return
                    if frame.is_corrupt:
                        raise ValueError("a damaged frame")
                    grey = frame.format.name in ("gray", "gray8")
                    pixels = frame.to_ndarray(format="gray" if grey else "rgb24")
                except (OSError, ValueError, av.FFmpegError) as error:
                    raise self._unreadable(error) from error
                yield pixels


def _library() -> Any:
    try:
        import av
        import av.logging
    except ImportError as error:
        raise UsageError(
            "Video files need PyAV: pip install 'fusionbench[video]', or give folders of frames"
        ) from error
    av.logging.set_level(av.logging.PANIC)  # what is wrong is in the errors
    return av


def _container(begin: bytes, path: Path) -> str:
    """FFmpeg's name of the container that these first bytes belong to: never a playlist or a list of files."""
    if begin[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if begin.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if begin.startswith(b"RIFF") and begin[8:12] == b"AVI ":
        return "avi"
    if begin.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if begin.startswith(b"\x47") and begin[188:189] in (b"\x47", b""):
        return "mpegts"
    raise DataError(f"{path}: is no video of a known container (MP4, MOV, Matroska, WebM, AVI, MPEG)")
