"""Degrading files: pairs as planes, channels, sheets; the command line is tested in tests/cli/test_degrade.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import decode_image
from fusionbench.evaluation import degrade_files as module
from fusionbench.evaluation.degrade_files import Pair, degrade_files, draw_sheet, read_pair
from fusionbench.evaluation.unfinished_pairs import JOURNAL
from tests.helpers import pair_folders


def saved(folder: Path, name: str, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def test_grey_pictures_with_three_channels_stay_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    a = saved(tmp_path, "a.png", np.repeat(grey[..., None], 3, axis=2))
    pair = read_pair("one", a, saved(tmp_path, "b.png", grey))
    assert pair.planes.shape == (2, 30, 40) and pair.channels == (1, 1) and pair.written == (3, 1)
    thermal, visible = pair.images(pair.degraded("gaussian-noise/1", 5).views[0])
    assert thermal.shape == (30, 40, 3) and (thermal == thermal[..., :1]).all() and visible.shape == (30, 40)
    assert not np.array_equal(thermal[..., 0], grey)


def test_colour_is_kept_as_it_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (20, 30), np.uint8), rng.integers(0, 256, (20, 30, 3), np.uint8)
    pair = read_pair("one", saved(tmp_path, "a.png", a), saved(tmp_path, "b.png", b))
    assert pair.channels == (1, 3)
    for made, was in zip(pair.images(pair.planes), (a, b), strict=True):
        assert np.array_equal(made, was)


def test_a_sheet_has_an_empty_frame_where_a_field_is_too_large(tmp_path: Path) -> None:
    pixels = np.full((4, 9), 100, np.uint8)
    pair = read_pair("one", saved(tmp_path, "a.png", pixels), saved(tmp_path, "b.png", pixels))
    with pytest.raises(UsageError, match=r"^one: shift/1: moves a view by up to 5 pixels"):
        pair.degraded("shift/1", 5)
    sheet = decode_image(draw_sheet(pair, ["shift/1", "haze/1"], [1, 5]), "sheet").pixels
    assert sheet.ndim == 3 and sheet.shape[0] > 100


def test_sixteen_bits_are_read_by_their_range(tmp_path: Path) -> None:
    deep = (np.arange(48, dtype=np.uint16) * 300).reshape(6, 8)
    a, b = saved(tmp_path, "a.png", deep), saved(tmp_path, "b.png", np.zeros((6, 8), np.uint8))
    done = degrade_files(a, b, tmp_path / "out", ["block/1"], [1], range_a="14bit")
    made = np.asarray(Image.open(done.folders["block/1 1"] / "a" / "b.png"))
    assert made.dtype == np.uint8 and np.abs(made.astype(float) - deep / 16383 * 255).max() < 8


def test_what_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    good = saved(tmp_path, "good.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"bad\.png"):
        degrade_files(tmp_path / "bad.png", good, tmp_path / "out", ["block/1"], [1])
    assert not list((tmp_path / "out").glob("**/*.png"))


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_all_pairs_that_cannot_be_degraded_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    a, b = pair_folders.write(tmp_path).joinpath("a"), tmp_path / "b"
    whole = {path: path.read_bytes() for path in a.iterdir()}
    (a / "scene 1.png").write_bytes(b"\x89PNG")
    (a / "scene 3.png").write_bytes(whole[a / "scene 3.png"][:-40])
    Image.new("L", (3, 3)).save(a / "scene 2.png")
    Image.new("L", (3, 3)).save(b / "scene 2.png")
    out = tmp_path / "out"
    with pytest.raises(DataError, match="3 of 5 pairs cannot be degraded") as caught:
        degrade_files(a, b, out, ["shift/1"], [5])
    assert "\n" not in str(caught.value) and not out.exists()
    for text in ("scene 1.png", "scene 3.png", "scene 2: shift/1: moves a view by up to 5 pixels"):
        assert text in str(caught.value)
    for path in (a / "scene 2.png", b / "scene 2.png"):
        path.unlink()
    for path in (a / "scene 1.png", a / "scene 3.png"):
        path.write_bytes(whole[path])
    assert degrade_files(a, b, out, ["shift/1"], [5]).pairs == 4  # the same command, once they are whole


KILLED = """
import os, sys
from fusionbench.evaluation import degrade_files as module
real, calls = module.write_bytes, []
def write(path, *args, **more):
    calls.append(path)
    if len(calls) == 11:
        os._exit(9)
    real(path, *args, **more)
module.write_bytes = write
module.degrade_files(*sys.argv[1:4], ["shift/1", "occlude/1"], [2, 4])
"""


def test_a_killed_call_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair_folders.write(tmp_path)
    a, b, out, whole = (tmp_path / name for name in ("a", "b", "out", "whole"))
    what: tuple[Any, Any] = (["shift/1", "occlude/1"], [2, 4])
    degrade_files(a, b, whole, *what)
    ended = subprocess.run([sys.executable, "-c", KILLED, a, b, out], check=False)
    assert ended.returncode == 9 and (out / JOURNAL).is_file() and not list(out.rglob("degraded.json"))
    done = (out / JOURNAL).read_text().count("\n") - 1
    assert done > 0
    with pytest.raises(DataError, match="its degraded pairs are unfinished"):
        degrade_files(out / "shift-1" / "2" / "a", b, tmp_path / "more", ["block/1"], [1])
    with pytest.raises(UsageError, match=r"unfinished there \(seed 0, not 1\)"):
        degrade_files(a, b, out, *what, seed=1)
    made: list[str] = []
    real = module._write
    monkeypatch.setattr(module, "_write", lambda pair, *rest: made.append(pair.stem) or real(pair, *rest))
    degrade_files(a, b, out, *what)
    assert content_of(out) == content_of(whole) and len(made) == 5 * 4 - done


def test_an_interrupted_call_goes_on_and_begins_anew_with_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair_folders.write(tmp_path)
    a, b, out, whole = (tmp_path / name for name in ("a", "b", "out", "whole"))
    degrade_files(a, b, whole, ["haze/1"], [3])
    real, made = module._write, []

    def interrupted(pair: Pair, *rest: Any) -> Any:
        made.append(pair.stem)
        if len(made) == 3:
            raise KeyboardInterrupt
        return real(pair, *rest)

    monkeypatch.setattr(module, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        degrade_files(a, b, out, ["haze/1"], [3])
    degrade_files(a, b, out, ["haze/1"], [3])
    assert content_of(out) == content_of(whole) and len(made) == 6
    with pytest.raises(UsageError, match="is not empty"):
        degrade_files(a, b, out, ["haze/1"], [3])  # it is whole: nothing goes on
    made[:] = [""]
    with pytest.raises(KeyboardInterrupt):
        degrade_files(a, b, out, ["shift/1"], [3], force=True)
    assert not (out / "degraded.json").exists()  # it was of haze/1, which is half replaced
    made[:] = [""] * 3
    degrade_files(a, b, out, ["haze/1"], [3], force=True)
    assert len(made) == 3 + 5 and content_of(out) == content_of(whole)
