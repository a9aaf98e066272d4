"""Two registered videos, or two folders of numbered frames, to one: frame by frame, with a function for a frame.

    a.mkv, b.mkv ─ decode, a frame of each at a time ─ fuse_frame ─ encode ─► fused.mkv   lossless FFV1
    a/, b/ (0001.png …) ─ read, matched by number ───┘            └ write ──► fused/      a PNG for every number

Files are decoded by FFmpeg through PyAV (extra ``fusionbench[video]``). A file is opened by its bytes and by one of the
known containers, never by its name, so that a playlist or a pattern cannot lead to other files or to the network.
Sound is left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.images import encode_png
from fusionbench.core.io import write_bytes
from fusionbench.core.progress import progress
from fusionbench.evaluation.fusing.video_frames import _File, _Folder, _library

FuseFrame = Callable[[np.ndarray, np.ndarray], np.ndarray]  # uint8 (H,W[,3]) of a and b to uint8 (H,W[,3])
MAX_FRAMES = 1 << 22  # 38 hours at 30 frames a second
# container -> encoder and pixel format, lossless and lossy; few players show H.264 with lossless RGB
LOSSLESS = {".mkv": ("ffv1", "bgr0"), ".avi": ("ffv1", "bgr0")}
LOSSY = {".mp4": ("libx264", "yuv420p"), ".mkv": ("libx264", "yuv420p"), ".mov": ("libx264", "yuv420p")}


@dataclass(frozen=True)
class VideoReport:
    """What was written.

    Attributes:
        frames: their number.
        height, width: of every frame.
        rate: frames a second as a fraction; None for folders.
        change_a, change_b, change_fused: mean absolute difference of successive frames in grey levels, 0 for one frame.
            Fused frames that change more than both sources flicker.
    """

    frames: int
    height: int
    width: int
    rate: Fraction | None
    change_a: float
    change_b: float
    change_fused: float

    @property
    def flicker(self) -> float:
        """Change of the fused frames over that of the source that changes more; above 1 the fusion adds flicker.

        Example:
            >>> from fusionbench.evaluation.fusing.video import VideoReport
            >>> VideoReport(9, 480, 640, None, change_a=2.0, change_b=4.0, change_fused=5.0).flicker
            1.25
        """
        most = max(self.change_a, self.change_b)
        return self.change_fused / most if most else float("inf") if self.change_fused else 1.0


class _Frames(Protocol):
    """A source of frames: its name for messages, its rate, and what it says of its length (None: nothing)."""

    @property
    def path(self) -> Path: ...
    @property
    def rate(self) -> Fraction | None: ...
    @property
    def declared(self) -> int | None: ...

    def frames(self) -> Iterator[np.ndarray]: ...


def fuse_videos(
    a: str | Path,
    b: str | Path,
    out: str | Path,
    fuse_frame: FuseFrame,
    *,
    lossless: bool | None = None,
    quality: int = 16,
    rate: float | Fraction | None = None,
    force: bool = False,
) -> VideoReport:
    """Fuse two video files, or two folders of numbered frames, to a video file or a folder of PNG files.

    Memory holds two frames of each at a time. ``out`` appears when it is complete.

    Args:
        a, b: two files, or two folders; the same number of frames, all of one size.
        out: a file (``.mkv``, ``.avi``, ``.mp4``, ``.mov``), or a folder where it has no such ending.
        fuse_frame: makes the fused frame, uint8 (H,W) or (H,W,3), of the frames of a and b in RGB, or grey where a
            stream or image file is.
        lossless: FFV1, every bit as fused; None: where ``out`` ends in ``.mkv`` or ``.avi``. Otherwise H.264, for which
            odd sides are refused.
        quality: of H.264, its constant rate factor: 0 to 51, smaller is better.
        rate: frames a second of a file made of folders (25 if None); videos keep theirs.
        force: replace a file that is there.

    Raises:
        UsageError: a file and a folder, an unknown ending, an option that does not fit, or ``out`` is there already.
        DataError: unreadable, truncated or damaged video, other numbers of frames, sizes or rates. Nothing is written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from fusionbench.core.images import encode_png
        >>> from fusionbench.evaluation.fusing.video import fuse_videos
        >>> kept = tempfile.TemporaryDirectory()
        >>> folder = Path(kept.name)
        >>> for name, value in (("ir", 100), ("vi", 200)):
        ...     (folder / name).mkdir()
        ...     for number in (1, 2):
        ...         frame = np.full((4, 6), value + number, np.uint8)
        ...         _ = (folder / name / f"{number:04d}.png").write_bytes(encode_png(frame))
        >>> report = fuse_videos(folder / "ir", folder / "vi", folder / "fused", np.maximum)
        >>> report.frames, report.change_fused, sorted(path.name for path in (folder / "fused").iterdir())
        (2, 1.0, ['0001.png', '0002.png'])
        >>> kept.cleanup()
    """
    a, b, out = Path(a), Path(b), Path(out)
    if a.is_dir() != b.is_dir():
        raise UsageError(f"{a} and {b}: give two video files, or two folders of frames")
    if not 0 <= quality <= 51:
        raise UsageError(f"quality={quality} is not between 0 and 51")
    ending = out.suffix.lower()
    to_file = ending in {**LOSSLESS, **LOSSY}
    if not to_file and (ending[1:].isalpha() or lossless is not None):
        raise UsageError(
            f"{out}: a video ends in {', '.join(sorted({**LOSSLESS, **LOSSY}))}; a folder of frames in none"
        )
    known = LOSSLESS if (ending in LOSSLESS if lossless is None else lossless) else LOSSY
    if to_file and ending not in known:
        raise UsageError(f"{out}: {'lossless' if known is LOSSLESS else 'H.264'} video ends in {' or '.join(known)}")
    if out.exists() and (out.is_dir() or not (force and to_file)):
        raise UsageError(f"{out}: is there already; {'use --force' if to_file else 'name a new folder'}")
    if out.exists() and any(place.exists() and os.path.samefile(out, place) for place in (a, b)):
        raise UsageError(f"{out}: is one of the sources, which are never replaced; choose another name")
    first, second = (_Folder(path) if path.is_dir() else _File(path) for path in (a, b))
    frames_a_second = _checked_rate(first, second, rate)
    _check_numbers(first, second)
    sink: _Encoder | _Pngs
    with contextlib.ExitStack() as stack:
        if to_file:
            sink = stack.enter_context(_Encoder(out, frames_a_second or Fraction(25), *known[ending], quality))
        else:
            sink = stack.enter_context(_Pngs(out, first))
        return _run(first, second, fuse_frame, sink, frames_a_second if to_file else first.rate)


def _checked_rate(first: _Frames, second: _Frames, rate: float | Fraction | None) -> Fraction | None:
    if first.rate is None or second.rate is None:
        if rate is not None and not 0 < rate <= 1000:
            raise UsageError(f"rate={rate} is not between 0 and 1000 frames a second")
        return Fraction(rate).limit_denominator(1001) if rate is not None else Fraction(25)
    if rate is not None:
        raise UsageError("videos keep their rate; give a rate for folders of frames only")
    if abs(first.rate - second.rate) > first.rate / 1000:
        raise DataError(
            f"{first.path} has {float(first.rate):g} frames a second, {second.path} {float(second.rate):g}: convert one"
        )
    return first.rate


def _check_numbers(first: _Frames, second: _Frames) -> None:
    """Refuse sequences of different lengths before the first frame is fused, as far as they say."""
    if isinstance(first, _Folder) and isinstance(second, _Folder) and first.files.keys() != second.files.keys():
        lacking = [(second, n) for n in first.files.keys() - second.files.keys()]
        lacking += [(first, n) for n in second.files.keys() - first.files.keys()]
        names = some([f"{n} in {folder.path}" for folder, n in sorted(lacking, key=lambda item: item[1])])
        raise DataError(f"{len(lacking)} frames have no partner: no {names}")
    counts = first.declared, second.declared
    if None not in counts and counts[0] != counts[1]:
        raise DataError(f"{first.path} has {counts[0]} frames, {second.path} {counts[1]}: cut them to the same")


def _run(
    first: _Frames, second: _Frames, fuse_frame: FuseFrame, sink: _Encoder | _Pngs, rate: Fraction | None
) -> VideoReport:
    shape: tuple[int, int] | None = None
    before: list[np.ndarray] | None = None
    change, count = np.zeros(3), 0
    streams = first.frames(), second.frames()
    with progress(f"fuse {first.path.name} and {second.path.name}", first.declared, "frames") as bar:
        while True:
            frames = [next(stream, None) for stream in streams]
            frame_a, frame_b = frames
            if frame_a is None or frame_b is None:
                break
            pair = (frame_a, frame_b)
            for frame, source in zip(pair, (first, second), strict=True):
                shape = shape or frame.shape[:2]
                if frame.shape[:2] != shape:
                    here, there = "×".join(map(str, frame.shape[:2])), "×".join(map(str, shape))
                    raise DataError(
                        f"{source.path}: frame {count + 1} has {here} pixels, the first one of {first.path} {there}"
                    )
            fused = fuse_frame(*pair)
            if not isinstance(fused, np.ndarray):
                raise UsageError(f"fuse_frame made a {type(fused).__name__}, not an array of uint8")
            if fused.dtype != np.uint8 or fused.shape not in (frame_a.shape[:2], (*frame_a.shape[:2], 3)):
                raise UsageError(f"fuse_frame made {fused.dtype} {fused.shape} of frames {shape}")
            sink.write(fused)
            now = [image.astype(np.int16) for image in (*pair, fused)]
            if before is not None:
                change += [_apart(x, y) for x, y in zip(now, before, strict=True)]
            before, count = now, count + 1
            bar.advance()
            if count > MAX_FRAMES:
                raise DataError(f"{first.path}: has more than {MAX_FRAMES} frames; cut it")
    _check_complete(count, [frame is not None for frame in frames], first, second)
    sink.finish(count)
    height, width = shape or (0, 0)
    mean = change / max(1, count - 1)
    return VideoReport(count, height, width, rate, *(float(value) for value in mean))


def _apart(x: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute difference; a frame in colour beside a grey one counts by its channels."""
    if x.ndim != y.ndim:
        x, y = (image if image.ndim == 3 else image[..., None] for image in (x, y))
    return float(np.abs(x - y).mean())


def _check_complete(count: int, left: list[bool], first: _Frames, second: _Frames) -> None:
    for more, source, other in ((left[0], second, first), (left[1], first, second)):
        if more:
            raise DataError(f"{source.path}: ends after {count} frames, {other.path} goes on: truncated, or cut one")
    for source in (first, second):
        expected = source.declared
        if expected is None and isinstance(source, _File) and source.rate:
            # a container without a count of frames says how long it is, to about a frame
            expected = round(source.seconds * source.rate) - 2
        if expected is not None and count < expected:
            raise DataError(
                f"{source.path}: ends after {count} of {expected} frames: truncated, damaged, or of a variable rate "
                "(convert it to a constant one)"
            )
    if not count:
        raise DataError(f"{first.path}: has no frames")


class _Encoder:
    """A video file that takes its name when all frames are in it."""

    def __init__(self, out: Path, rate: Fraction, codec: str, pixels: str, quality: int) -> None:
        self.out, self.rate, self.codec, self.pixels, self.quality = out, rate, codec, pixels, quality
        self.stream: Any = None

    def __enter__(self) -> _Encoder:
        av = _library()
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            # FFmpeg writes to a place of its own; the ending chooses the container
            self.folder = tempfile.mkdtemp(prefix=".fusing-", dir=self.out.parent)
            self.part = Path(self.folder) / f"video{self.out.suffix.lower()}"
            self.container = av.open(str(self.part), "w")
        except OSError as error:
            raise DataError(f"{self.out}: cannot write: {error.strerror}; check the folder") from error
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 (H,W) or (H,W,3)."""
        av = _library()
        rgb = np.ascontiguousarray(frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, 2))
        if self.stream is None:
            height, width = rgb.shape[:2]
            if self.pixels == "yuv420p" and (height % 2 or width % 2):
                raise UsageError(f"{self.out}: H.264 takes even sides, not {height}×{width}: write a lossless .mkv")
            self.stream = self.container.add_stream(self.codec, rate=self.rate)
            self.stream.height, self.stream.width, self.stream.pix_fmt = height, width, self.pixels
            self.stream.options = {"crf": str(self.quality)} if self.codec == "libx264" else {"slicecrc": "1"}
        self._mux(av.VideoFrame.from_ndarray(rgb, format="rgb24"))

    def _mux(self, frame: Any) -> None:
        try:
            self.container.mux(self.stream.encode(frame))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.out}: cannot write: {reason}; check the space on the disk") from error

    def finish(self, count: int) -> None:
        """Close the file and give it its name."""
        self._mux(None)
        try:
            self.container.close()
            os.replace(self.part, self.out)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.out}: cannot write: {getattr(error, 'strerror', error)}; check the folder"
            ) from error

    def __exit__(self, *problem: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.container.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Pngs:
    """A folder of PNG files that takes its name when all frames are in it."""

    def __init__(self, out: Path, source: _Frames) -> None:
        self.out, self.written = out, 0
        files = source.files if isinstance(source, _Folder) else {}
        self.names = [files[number].stem for number in sorted(files)]

    def __enter__(self) -> _Pngs:
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=".fusing-", dir=self.out.parent))
        except OSError as error:
            raise DataError(f"{self.out}: cannot write: {error.strerror}; check the folder") from error
        return self

    def write(self, frame: np.ndarray) -> None:
        """Write a frame under the name of a's, or its number from 1."""
        name = self.names[self.written] if self.names else f"{self.written + 1:06d}"
        write_bytes(self.folder / f"{name}.png", encode_png(frame), durable=False)
        self.written += 1

    def finish(self, count: int) -> None:
        """Give the folder its name."""
        try:
            os.chmod(self.folder, 0o755)
            os.rename(self.folder, self.out)
        except OSError as error:
            raise DataError(f"{self.out}: cannot write: {error.strerror}; check the folder") from error

    def __exit__(self, *problem: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
