"""What frames are read from: known containers only, told by their bytes; hostile files are one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.images import encode_png
from fusionbench.evaluation.fusing.video import fuse_videos
from fusionbench.evaluation.fusing.video_frames import _container

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
