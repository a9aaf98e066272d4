"""What frames are read from: known containers only, told by their bytes; hostile files are one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.images import encode_png
from fusionbench.evaluation.fusing.video import fuse_videos
from fusionbench.evaluation.fusing.video_frames import _container, _File

pytest.importorskip("av")


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"\x00\x00\x00\x18ftypisom", "mov"),
        (b"\x1a\x45\xdf\xa3rest", "matroska"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "avi"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"\x47" + bytes(187) + b"\x47", "mpegts"),
    ],
)
def test_containers_are_told_by_their_bytes(begin: bytes, kind: str) -> None:
    assert _container(begin, Path("any.name")) == kind


@pytest.mark.parametrize(
    "content",
    [
        b"\x1a\x45\xdf\xa3" + b"\x81" * 200,
        b"",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"\x1a\x45\xdf\xa3" + bytes(3000),
        b"RIFF\xff\xff\xff\x7fAVI " + b"\xff" * 3000,
        b"\x00\x00\x00\x18ftypisom" + b"\x00" * 3000,
        encode_png(np.zeros((4, 4), np.uint8)),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.mkv") as error:
        fuse_videos(path, path, tmp_path / "out.mkv", np.maximum)
    assert "\n" not in str(error.value) and sorted(p.name for p in tmp_path.iterdir()) == ["a.mkv"]


def test_damaged_bytes_anywhere_are_one_line_or_frames(tmp_path: Path) -> None:
    """FFmpeg answers with errors of many kinds, some of them no OSError."""
    rng = np.random.default_rng(3)
    for ending in (".mkv", ".avi"):
        folder = tmp_path / f"frames{ending[1:]}"
        folder.mkdir()
        for number in range(3):
            (folder / f"{number}.png").write_bytes(encode_png(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)))
        fuse_videos(folder, folder, tmp_path / f"good{ending}", np.maximum)
        good = (tmp_path / f"good{ending}").read_bytes()
        for _ in range(25):
            content = np.frombuffer(good, np.uint8).copy()
            content[rng.integers(0, min(len(good), 700), 12)] = rng.integers(0, 256, 12)
            (tmp_path / "bad.mkv").write_bytes(content.tobytes())
            try:
                for frame in _File(tmp_path / "bad.mkv").frames():
                    assert frame.dtype == np.uint8
            except DataError as error:
                assert "\n" not in str(error)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    with pytest.raises(DataError, match=r"pipe\.mkv: no such file"):
        _File(tmp_path / "pipe.mkv")
