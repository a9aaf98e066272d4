"""Videos by a method: each frame is what fusing the two images gives, notes come once, and options reach the method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.images import encode_png
from fusionbench.core.progress import say
from fusionbench.evaluation.fusing.fuse import fuse
from fusionbench.evaluation.fusing.video_method import fuse_videos_by
from tests.evaluation.fusing.scenes import THERMAL, VISIBLE, pixels


def frames(folder: Path, make: Callable[[int], np.ndarray], count: int = 3) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(encode_png(make(number)))
    return folder


@pytest.mark.parametrize("colour", ["visible", "none"])
def test_a_frame_is_what_fusing_its_images_gives(tmp_path: Path, colour: str) -> None:
    a = frames(tmp_path / "ir", lambda n: np.roll(THERMAL, n, 1))
    b = frames(tmp_path / "vis", lambda n: np.roll(VISIBLE, n, 0))
    done = fuse_videos_by(a, b, tmp_path / "out", "laplacian-pyramid", colour=colour, device="cpu")  # type: ignore[arg-type]
    assert (done.method, done.report.frames, done.to_json()["height"]) == ("laplacian-pyramid", 3, 12)
    for number in range(3):
        name = f"{number:03}.png"
        expected = fuse(a / name, b / name, "laplacian-pyramid", colour=colour, device="cpu")  # type: ignore[arg-type]
        assert np.array_equal(pixels(tmp_path / "out" / name), expected)


class Talker:
    def fuse(self, batch):
        say("note: tiles")
        return batch.views[:, 0]

    def to(self, device):
        return self

    def eval(self):
        return self


def test_what_a_method_says_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = frames(tmp_path / "ir", lambda n: THERMAL), frames(tmp_path / "vis", lambda n: VISIBLE)
    fuse_videos_by(a, b, tmp_path / "out", Talker(), device="cpu")  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert told.count("note: tiles") == 1 and "3/3 frames" in told, "the progress is not silenced"


def test_more_change_than_in_the_sources_is_told(tmp_path: Path) -> None:
    a = frames(tmp_path / "ir", lambda n: np.full((8, 8), 100 + n, np.uint8))
    b = frames(tmp_path / "vis", lambda n: np.full((8, 8), 101 + n, np.uint8))
    (tmp_path / "own.py").write_text(
        "import torch\n\nclass Flickers(torch.nn.Module):\n"
        "    def __init__(self, spec, by=1):\n        super().__init__()\n"
        "        self.by = by\n\n    def fuse(self, batch):\n        return (batch.views[:, 0] - 0.39) * self.by\n"
    )
    own = f"{tmp_path}/own.py:Flickers"
    assert not fuse_videos_by(a, b, tmp_path / "calm", own, device="cpu").warnings
    (warning,) = fuse_videos_by(a, b, tmp_path / "wild", own, params={"by": 9}, device="cpu").warnings
    assert "changes 9 times as much from frame to frame" in warning


def test_colour_that_is_left_behind_is_told(tmp_path: Path) -> None:
    a, b = frames(tmp_path / "pet", lambda n: VISIBLE), frames(tmp_path / "mri", lambda n: THERMAL)
    done = fuse_videos_by(a, b, tmp_path / "out", "average", device="cpu")
    assert len(done.warnings) == 1 and "--colour weighted takes it" in done.warnings[0]
    assert not fuse_videos_by(a, b, tmp_path / "both", "average", colour="weighted", device="cpu").warnings


def test_a_wrong_name_leaves_nothing(tmp_path: Path) -> None:
    a, b = frames(tmp_path / "ir", lambda n: THERMAL), frames(tmp_path / "vis", lambda n: VISIBLE)
    with pytest.raises(UsageError, match="Unknown method 'averge'"):
        fuse_videos_by(a, b, tmp_path / "out", "averge")
    assert {path.name for path in tmp_path.iterdir()} == {"ir", "vis"}
