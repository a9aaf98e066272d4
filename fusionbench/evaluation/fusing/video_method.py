"""Two videos, or two folders of numbered frames, fused by a method and a rule of colour, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.colour import ColourRule, to_levels
from fusionbench.core.io import utf8
from fusionbench.core.progress import silenced
from fusionbench.evaluation.fusing.fuse import FusingOptions, fuse_pixels
from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD, LoadedMethod, Method, Tile, load_method
from fusionbench.evaluation.fusing.video import VideoReport, fuse_videos

FLICKER = 1.5  # times the change of the sources from frame to frame, above which a warning says so


@dataclass(frozen=True)
class FusedVideo:
    """A fused video: where it is, what made it, what it is like, and what the reader should know.

    Attributes:
        report: numbers of the frames, see :class:`fusionbench.evaluation.fusing.video.VideoReport`.
    """

    method: str
    file: Path
    report: VideoReport
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values; names that are not UTF-8 are escaped."""
        found = self.report
        change = {"a": found.change_a, "b": found.change_b, "fused": found.change_fused}
        return {
            "method": utf8(self.method),
            "file": utf8(str(self.file)),
            "frames": found.frames,
            "height": found.height,
            "width": found.width,
            "rate": None if found.rate is None else str(found.rate),
            "change": change,
            "warnings": [utf8(text) for text in self.warnings],
        }


def fuse_videos_by(
    a: str | Path,
    b: str | Path,
    out: str | Path,
    method: Method = DEFAULT_METHOD,
    *,
    weights: str | Path | None = None,
    preset: str | None = None,
    params: Mapping[str, Any] | None = None,
    colour: ColourRule = "visible",
    tile: Tile = "auto",
    memory: int | None = None,
    device: str = "auto",
    rate: float | Fraction | None = None,
    force: bool = False,
) -> FusedVideo:
    """Fuse two video files, or two folders of numbered frames, in 8 bits.

    What a method says of a pair (tiles) is said for the first frame only.

    Args:
        a, b, out, rate, force: see :func:`fusionbench.evaluation.fusing.video.fuse_videos`; b is the visible one.
        method, weights, preset, params, device: see :func:`fusionbench.evaluation.fusing.methods.load_method`.
        colour, tile, memory: see :func:`fusionbench.evaluation.fusing.fuse.fuse`.

    Raises:
        UsageError: as of these functions, or PyAV is missing where a file is a video.
        DataError: as of these functions. Nothing is written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from fusionbench.evaluation.fusing.video_method import fuse_videos_by
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for side, colour in (("ir", (100, 100, 100)), ("vis", (60, 80, 100))):
        ...         (Path(root) / side).mkdir()
        ...         for number in (1, 2):
        ...             Image.new("RGB", (6, 4), colour).save(Path(root) / side / f"{number:04d}.png")
        ...     done = fuse_videos_by(f"{root}/ir", f"{root}/vis", f"{root}/out", "average", device="cpu")
        ...     done.report.frames, Image.open(f"{root}/out/0001.png").getpixel((0, 0))
        (2, (72, 92, 112))
    """
    options = FusingOptions(colour, 8, tile, memory)
    loaded: list[LoadedMethod] = []
    warnings: list[str] = []

    def fuse_frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        begun = bool(loaded)
        if not begun:  # now the size is known, which some methods are built for
            size = (second.shape[0], second.shape[1])
            loaded.append(load_method(method, weights=weights, preset=preset, params=params, device=device, size=size))
            if colour == "visible" and second.ndim == 2 and first.ndim == 3 and np.ptp(first, axis=2).any():
                warnings.append(
                    f"{a}: has colour and {b} has none: --colour weighted takes it, or exchange --a and --b"
                )
        first, second = (np.divide(frame, 255, dtype=np.float32) for frame in (first, second))
        with silenced() if begun else nullcontext():
            return to_levels(fuse_pixels(loaded[0], first, second, options, (str(a), str(b))), 8)

    report = fuse_videos(a, b, out, fuse_frame, rate=rate, force=force)
    if report.flicker > FLICKER:
        warnings.append(
            f"{out}: changes {report.flicker:.2g} times as much from frame to frame as its sources do: it has more "
            "contrast, or it flickers; look at it, or try another method or preset"
        )
    return FusedVideo(loaded[0].name, Path(out), report, warnings)


__all__ = ["FLICKER", "FusedVideo", "fuse_videos_by"]
