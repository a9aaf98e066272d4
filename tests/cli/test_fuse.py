"""``fusionbench fuse`` as people call it: exit codes, stdout, one line for what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import run
from tests.evaluation.fusing.scenes import OWN, folders, pixels


def test_a_folder_with_the_default_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir, vis = folders(tmp_path)
    code, out, _ = run(capsys, "fuse", "--a", ir, "--b", vis, "-o", tmp_path / "out", "--sheet", tmp_path / "s.png")
    assert code == 0 and out.startswith(f"{tmp_path}/out: 3 fused by ") and (tmp_path / "s.png").is_file()
    code, out, _ = run(capsys, "fuse", "--a", ir, "--b", vis, "-o", tmp_path / "out")
    assert code == 0 and ": 0 fused by " in out and out.endswith(", 3 kept\n")


def test_a_bad_pair_is_named_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir, vis = folders(tmp_path)
    (ir / "two.png").write_bytes(b"no image")
    code, out, err = run(capsys, "-q", "fuse", "average", "--a", ir, "--b", vis, "-o", tmp_path / "out", "--json")
    told = json.loads(out)
    assert code == 2 and [found["id"] for found in told["outputs"]] == ["one", "wide"]
    assert told["problems"][0]["id"] == "two" and "not a readable" in told["problems"][0]["problem"]
    assert err.count("\n") == 1 and err.startswith("fusionbench: 1 of 3 pairs were not fused: ") and "two.png" in err
    code, _, err = run(capsys, "-q", "fuse", "average", "--a", ir / "two.png", "--b", vis / "two.png", "-o", "x.png")
    assert code == 2 and err.count("\n") == 1 and "two.png: not a readable" in err


def test_stdout_is_data_whatever_an_own_class_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir, vis = folders(tmp_path)
    body = "import torch\nprint('loaded')\nclass Net(torch.nn.Module):\n    def __init__(self, spec):\n"
    body += "        super().__init__()\n    def fuse(self, batch):\n        print('noise')\n"
    body += "        return batch.views[:, 0]\n"
    (tmp_path / "loud_for_cli.py").write_text(body)
    method = f"{tmp_path}/loud_for_cli.py:Net"
    code, out, err = run(capsys, "fuse", method, "--a", ir, "--b", vis, "-o", tmp_path / "out", "--json")
    assert code == 0 and len(json.loads(out)["outputs"]) == 3 and err.count("noise") == 3


def test_every_option_arrives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir, vis = folders(tmp_path)
    (tmp_path / "mine_for_cli.py").write_text(OWN)
    method = f"{tmp_path}/mine_for_cli.py:Mine"
    options = [
        "--set",
        "gain=0.5",
        "--colour",
        "none",
        "--bits",
        "16",
        "--format",
        "tiff",
        "--jobs",
        "2",
        "--device",
        "cpu",
    ]
    options += ["--range-a", "0:510", "--tile", "none", "--json"]
    code, out, err = run(capsys, "fuse", method, "--a", ir, "--b", vis, "-o", tmp_path / "out", *options)
    assert code == 0, err
    assert {found["bits"] for found in json.loads(out)["outputs"]} == {16}
    assert np.abs(pixels(tmp_path / "out" / "one.tif") / 65535 - pixels(ir / "one.png") / 255 / 4).max() < 1e-4
    code, _, _ = run(
        capsys, "fuse", "copy-b", "--a", ir, "--b", vis, "-o", tmp_path / "out", "--force", "--quality", "5"
    )
    assert code == 0 and np.array_equal(pixels(tmp_path / "out" / "one.png"), pixels(vis / "one.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["dae-fuse"], "dae-fuse learns, so it needs weights"),
        (["averge"], "Unknown method 'averge'. Did you mean 'average'"),
        (["average", "--tile", "many"], "--tile 'many': give auto, none or the side"),
        (["average", "--tile", "0"], "--tile '0'"),
        (["average", "--set", "gain"], "--set 'gain': write KEY=VALUE, for example --set levels=5"),
        (["average", "--range-b", "wide"], "--range-b: 'wide' is no range"),
        (["average", "--weights", "w.safetensors"], "average has no weights"),
        (["average", "--strict"], "1 stems lack a partner and were not fused: lonely (not in b); add them"),
    ],
)
def test_what_is_refused_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    ir, vis = folders(tmp_path, ("one",))
    (ir / "lonely.png").write_bytes((ir / "one.png").read_bytes())
    code, out, err = run(capsys, "-q", "fuse", *options, "--a", ir, "--b", vis, "-o", tmp_path / "out")
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists(), "nothing was begun"


def test_folders_without_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir, vis = folders(tmp_path, ("one",))
    (vis / "one.png").rename(vis / "other.png")
    code, _, err = run(capsys, "-q", "fuse", "average", "--a", ir, "--b", vis, "-o", tmp_path / "out")
    assert code == 2 and "No stem is in both folders (a: one.png, b: other.png)" in err
    code, _, err = run(capsys, "-q", "fuse", "average", "--a", tmp_path / "no", "--b", vis, "-o", tmp_path / "out")
    assert code == 2 and "no: no such file or folder" in err


def test_the_demo_is_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "fuse", "average", "--demo", "-o", tmp_path / "d", "--json")
    told, visible = json.loads(out), pixels(tmp_path / "d" / "visible" / "coffee.png")
    assert code == 0 and told["b"] == f"{tmp_path}/d/visible" and told["sheet"] == f"{tmp_path}/d/sheet.png"
    assert f"sources: {tmp_path}/d/simulated-infrared" in err and f"sheet: {tmp_path}/d/sheet.png" in err
    assert [Path(found["file"]).name for found in told["outputs"]] == ["astronaut.png", "chelsea.png", "coffee.png"]
    fused = pixels(tmp_path / "d" / "fused" / "coffee.png").astype(int)
    assert fused.shape == (256, 256, 3) and np.ptp(fused, axis=2).mean() > 0.3 * np.ptp(visible, axis=2).mean() > 10
    code, out, _ = run(capsys, "fuse", "average", "--demo", "-o", tmp_path / "d")
    assert code == 0 and out == f"{tmp_path}/d/fused: 0 fused by average, 3 kept\n"


def test_a_video_of_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir, vis = folders(tmp_path, ("f1", "f2"))
    code, out, _ = run(capsys, "fuse", "copy-b", "--video", "--a", ir, "--b", vis, "-o", tmp_path / "out")
    assert code == 0 and out == f"{tmp_path}/out: 2 frames of 12×17 fused by copy-b\n"
    assert np.array_equal(pixels(tmp_path / "out" / "f2.png"), pixels(vis / "f2.png"))
    code, out, _ = run(
        capsys, "fuse", "average", "--video", "--a", ir, "--b", vis, "-o", tmp_path / "o2", "--colour", "none", "--json"
    )
    told = json.loads(out)
    assert code == 0 and (told["frames"], told["method"], told["rate"]) == (2, "average", None)
    assert pixels(tmp_path / "o2" / "f1.png").ndim == 2


def test_a_video_file_has_the_rate_that_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    av = pytest.importorskip("av")
    ir, vis = folders(tmp_path, ("f1", "f2"))
    options = ["--video", "--a", ir, "--b", vis, "-o", tmp_path / "out.mkv", "--rate", "12.5"]
    code, _, err = run(capsys, "fuse", "copy-b", *options)
    assert code == 0, err
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].average_rate == 12.5
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(frames[1], pixels(vis / "f2.png"))
    code, _, err = run(capsys, "-q", "fuse", "copy-b", *options)
    assert code == 2 and err == f"fusionbench: {tmp_path}/out.mkv: is there already; use --force\n"
    assert run(capsys, "-q", "fuse", "copy-b", *options, "--force")[0] == 0


def test_without_pyav_the_remedy_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    ir, vis = folders(tmp_path, ("f1", "f2"))
    code, _, err = run(capsys, "-q", "fuse", "--video", "--a", ir, "--b", vis, "-o", tmp_path / "out.mkv")
    assert code == 2 and err.count("\n") == 1 and "pip install 'fusionbench[video]'" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Missing --a and --b: name the sources, or fuse three embedded pairs with --demo"),
        (["--a", "x"], "Missing --b"),
        (["--demo", "--a", "x"], "--demo fuses embedded images: leave out --a"),
        (["--demo", "--video"], "--demo fuses embedded images: leave out --video"),
        (
            ["--video", "--a", "x", "--b", "y", "--jobs", "2", "--bits", "8"],
            "one after the other: leave out --bits, --jobs",
        ),
        (["--a", "x", "--b", "y", "--rate", "5"], "--rate is of a video made of folders of frames: add --video"),
        (["--a", "clip.mp4", "--b", "y"], "clip.mp4: a video; add --video"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    code, out, err = run(capsys, "-q", "fuse", *options, "-o", "out")
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
