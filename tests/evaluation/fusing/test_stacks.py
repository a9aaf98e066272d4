"""Stacks of pictures to files: which method, which colour, which folder, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.evaluation.fusing.stacks import fuse_stack, fuse_stack_files, method_for, stacks_of
from fusionbench.sources.scenes import ScenesDemo
from fusionbench.synth import DefocusViews, SmoothDepth
from fusionbench.synth.exposure import MOST, curve
from tests.cli.runner import run

SHARP = ScenesDemo().read("test", np.array([10]))[0, 40:80, 40:88]  # wood and the rim of a plate


def focused(count: int = 3) -> np.ndarray:
    maker = DefocusViews("x", "y", 0, 40, 48, 3, count, (3, 3), SmoothDepth(3))
    found: np.ndarray = maker.make_views(SHARP[None], np.array([0]))[0]
    return found


def exposed() -> np.ndarray:
    return np.stack([curve()[MOST + quarters][SHARP] for quarters in (-8, 2, 9)])


def write(folder: Path, views: np.ndarray, ending: str = ".png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}{ending}" for number in range(len(views))]
    for path, view in zip(paths, views, strict=True):
        Image.fromarray(view).save(path)
    return paths


def test_the_method_follows_from_the_brightness() -> None:
    assert method_for(focused().mean(-1) / 255) == "laplacian-pyramid"
    assert method_for(exposed().mean(-1) / 255) == "exposure-fusion"
    assert method_for(np.zeros((2, 3, 3))) == "laplacian-pyramid"


def test_a_fused_stack_is_nearer_to_the_truth_than_the_average() -> None:
    views = focused()
    fused = fuse_stack(list(views), device="cpu")
    error = np.abs(fused.astype(int) - SHARP).mean()
    assert fused.shape == SHARP.shape and fused.dtype == np.uint8
    assert error < np.abs(views.mean(0) - SHARP).mean() / 2
    grey = fuse_stack(list(views), colour=False, device="cpu")
    assert grey.shape == SHARP.shape[:2]
    assert fuse_stack([view / 255 for view in views], "average", device="cpu").dtype == np.float64
    assert fuse_stack(list(views), "average", bits=16, device="cpu").dtype == np.uint16


def test_pictures_that_cannot_be_a_stack() -> None:
    for pictures, text in (([SHARP], "1 picture"), ([], "0 picture"), ([SHARP] * 65, "65 picture")):
        with pytest.raises(UsageError, match=text):
            fuse_stack(pictures)
    with pytest.raises(DataError, match="picture 0 is 40×48 and picture 1 is 20×48 pixels"):
        fuse_stack([SHARP, SHARP[:20]])
    with pytest.raises(UsageError, match="fuses two grey views"):
        fuse_stack(list(focused()), "gtf", device="cpu")
    pixel = [np.full((1, 1, 3), level, np.uint8) for level in (10, 200)]
    assert fuse_stack(pixel, device="cpu").shape == (1, 1, 3)


def test_what_stacks_are_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "one", focused())
    assert {name: len(found) for name, found in stacks_of([tmp_path / "one"]).items()} == {"one": 3}
    write(tmp_path / "many" / "cup", focused())
    write(tmp_path / "many" / "tea", focused())
    assert list(stacks_of([tmp_path / "many"])) == ["cup", "tea"]
    for name in ("cup-A", "cup-B", "tea-A", "tea-B", "tea-truth", "cup-truth"):
        Image.fromarray(SHARP).save(tmp_path / f"{name}.png")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in tmp_path.glob("*.png"):
        path.rename(flat / path.name)
    assert {name: len(found) for name, found in stacks_of([flat]).items()} == {
        "cup": 2,
        "tea": 2,
    }  # no truth among them


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write(tmp_path / "cup", focused())
    code, out, err = run(capsys, "fuse", *map(str, paths), "-o", tmp_path / "sharp.png", "--device", "cpu")
    assert code == 0 and "1 stack(s) fused by laplacian-pyramid" in out and "3 pictures" in err
    assert np.asarray(Image.open(tmp_path / "sharp.png")).shape == SHARP.shape
    code, _, err = run(capsys, "fuse", *map(str, paths), "-o", tmp_path / "sharp.png")
    assert code == 2 and "is there already" in err
    write(tmp_path / "stacks" / "dark", exposed())
    write(tmp_path / "stacks" / "tea", focused())
    Image.fromarray(SHARP[:9]).save(tmp_path / "stacks" / "tea" / "1.png")
    code, out, err = run(
        capsys, "fuse", "wavelet", tmp_path / "stacks", "-o", tmp_path / "fused", "--json", "--device", "cpu"
    )
    found = json.loads(out)
    assert (
        code == 2 and [one["id"] for one in found["outputs"]] == ["dark"] and "9×48" in found["problems"][0]["problem"]
    )
    assert (tmp_path / "fused" / "dark.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0.png", "-o", "x.png"], "one picture; a stack has 2 to 64"),
        (["0.png", "nothing.png", "-o", "x.png"], "no such file or folder"),
        (["0.png", "1.png", "-o", "0.png", "--force"], "is one of the sources"),
        (["0.png", "1.png", "-o", "x.png", "--sheet", "s.png"], "leave out --sheet"),
        (["0.png", "1.png", "-o", "x.png", "--a", "0.png"], "leave out --a"),
        (["laplacian-pyramd", "0.png", "1.png", "-o", "x.png"], "laplacian-pyramid"),
        (["0.png", ".", "-o", "x.png"], "a folder among files"),
        (["empty", "-o", "x.png"], "no stacks of pictures here"),
        (["0.png", "1.png", "-o", "x.jpg", "--bits", "16"], "a JPEG has 8 bits"),
    ],
)
def test_what_is_refused_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, focused(2))
    (tmp_path / "empty").mkdir()
    before = (tmp_path / "0.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "fuse", *words)
    lines = [line for line in err.splitlines() if line.startswith("fusionbench:")]
    assert code == 2 and len(lines) == 1 and said in lines[0]
    assert (tmp_path / "0.png").read_bytes() == before and not (tmp_path / "x.png").exists()


def test_files_of_a_folder_are_written_in_the_format_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "cup", focused(2), ".jpg")
    done = fuse_stack_files([tmp_path / "cup"], tmp_path / "out", "average", file_format="tiff", device="cpu")
    assert done.outputs["cup"].name == "cup.tif" or done.outputs["cup"].name == "cup.tiff"
    with pytest.raises(FusionbenchError, match="already"):
        fuse_stack_files([tmp_path / "cup"], tmp_path / "out", "average", file_format="tiff", device="cpu")
