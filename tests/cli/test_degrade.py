"""``fusionbench degrade``: folders, colours, sheets, the record, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.images import read_image
from fusionbench.evaluation import degrade_files
from fusionbench.synth.degradations import DEGRADATIONS, degrade, list_degradations
from tests.cli.runner import run
from tests.helpers import pair_folders


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    pair_folders.write(tmp_path, ((40, 56), (33, 70)))
    return tmp_path / "a", tmp_path / "b"


def test_pairs_are_degraded_in_colour_with_the_truth_beside(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, printed, _ = run(capsys, "degrade", *folders, "--family", "shift/1", "--severity", 4, "-o", out)
    assert code == 0 and printed == f"{out}: 2 pairs, shift/1 at severity 4\n"
    record = json.loads((out / "degraded.json").read_text())
    assert record["family"] == "shift/1" and record["level"] == {"length in 1/256 pixel": 400}
    for entry in record["pairs"]:
        stem = entry["stem"]
        thermal, visible = (read_image(folder / f"{stem}.png").pixels for folder in folders)
        views = np.stack([thermal, *visible.transpose(2, 0, 1)])[None]
        assert entry["sample"] == int.from_bytes(hashlib.sha256(stem.encode()).digest()[:4], "little") >> 1
        made = degrade(
            views,
            "shift/1",
            4,
            dataset="files",
            split="all",
            samples=np.array([entry["sample"]]),
            planes=(0, 1, 1, 1),
        )
        assert np.array_equal(read_image(out / "a" / f"{stem}.png").pixels, made.views[0, 0])
        assert np.array_equal(read_image(out / "b" / f"{stem}.png").pixels, visible)
        field = np.load(out / "field" / f"{stem}.npy", allow_pickle=False)
        assert field.dtype == np.int32 and np.array_equal(field, made.field[0])
        assert np.array_equal(read_image(out / "lost_a" / f"{stem}.png").pixels, 255 * made.lost[0, 0])
        assert not (out / "lost_b").exists()
        for side, digest in entry["sha256"].items():
            (file,) = (out / side).glob(f"{stem}.*")
            assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


def test_a_pair_is_the_same_whatever_lies_beside_it(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--family", "rain/1", "--family", "poisson/1", "--severity", 2, "--severity", 5]
    both, one = tmp_path / "both", tmp_path / "one"
    assert run(capsys, "degrade", *folders, *options, "-o", both)[0] == 0
    files = [folder / "scene 1.png" for folder in folders]
    code, printed, _ = run(capsys, "degrade", *files, *options, "-o", one, "--json")
    assert code == 0 and sorted(json.loads(printed)["folders"]) == [
        "poisson/1 2",
        "poisson/1 5",
        "rain/1 2",
        "rain/1 5",
    ]
    for path in one.glob("*/*/?/*.png"):
        assert path.read_bytes() == (both / path.relative_to(one)).read_bytes()
    assert len(list(one.glob("*/*/?/*.png"))) == 8
    other = tmp_path / "other"
    run(capsys, "degrade", *files, "--family", "rain/1", "--severity", 2, "--seed", 1, "-o", other)
    assert (other / "b" / "scene 1.png").read_bytes() != (one / "rain-1" / "2" / "b" / "scene 1.png").read_bytes()


def test_what_was_there_before_is_not_left_as_the_truth_of_another_family(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for family, truth in (("shift/1", ["field", "lost_a"]), ("haze/1", []), ("occlude/1", ["lost_a", "lost_b"])):
        assert run(capsys, "degrade", *folders, "--family", family, "--severity", 5, "-o", out, "--force")[0] == 0
        found = sorted(folder for folder in ("field", "lost_a", "lost_b") if list(out.glob(f"{folder}/*")))
        assert found == truth and json.loads((out / "degraded.json").read_text())["family"] == family


def test_a_sheet_shows_all_families_at_all_severities(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    code, printed, _ = run(capsys, "degrade", *folders, "--all", "-o", sheet)
    assert code == 0 and printed == f"{sheet}\n"
    with Image.open(sheet) as image:
        assert image.size[0] > 6 * 112 and image.size[1] > len(list_degradations()) * 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "sheet.png"]


def test_occluders_can_be_cut_out_of_ones_own_pictures(
    folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One has alpha, one is cut by its edges, of one nothing can be cut; the family's name has their digest."""
    monkeypatch.setattr(DEGRADATIONS, "_objects", {})
    built_in = len(list_degradations())
    things = tmp_path / "things"
    things.mkdir()
    plate = np.zeros((30, 40), np.uint8)
    plate[5:25, 10:30] = 200
    Image.fromarray(plate).save(things / "edges.png")
    Image.merge("LA", [Image.new("L", (40, 30), 90), Image.fromarray(plate)]).save(things / "alpha.png")
    Image.new("L", (9, 9), 70).save(things / "nothing.png")
    own = ["--family", "occlude/2", "--objects", things]
    out = tmp_path / "out"
    code, printed, said = run(capsys, "degrade", *folders, *own, "-o", out, "--json")
    assert code == 0 and "1 of 3 pictures, as nothing.png" in said
    record = json.loads((out / "degraded.json").read_text())
    (key,) = json.loads(printed)["folders"]
    assert record["family"].startswith("occlude/2+") and key == f"{record['family']} 3"
    lost, before = (read_image(out / side / "scene 0.png").pixels for side in ("lost_a", "a"))
    clean = read_image(folders[0] / "scene 0.png").pixels
    assert np.array_equal(before[lost == 0], clean[lost == 0]) and 0 < (lost > 0).mean() < 0.3
    again = tmp_path / "again"
    monkeypatch.setattr(DEGRADATIONS, "_objects", {})
    assert run(capsys, "degrade", *folders, *own[2:], "--all", "--severity", 3, "-o", again)[0] == 0
    assert len(list(again.iterdir())) == built_in  # in the place of occlude/2
    name = record["family"].replace("/", "-")
    assert (again / name / "3" / "a" / "scene 0.png").read_bytes() == (out / "a" / "scene 0.png").read_bytes()
    (things / "alpha.png").unlink()
    (things / "edges.png").unlink()
    for arguments, message in (
        (own, "nothing can be cut out of its 1 pictures"),
        (["--family", "occlude/1", *own[2:]], "name this family, too"),
        (["--family", "occlude/2", "--objects", tmp_path / "no"], "no such folder"),
        (["--suite", "pairs-demo-robust", *own[2:]], "--suite decides"),
    ):
        code, printed, said = run(capsys, "degrade", *folders, *arguments, "-o", tmp_path / "x")
        assert code == 2 and not printed and message in said.strip().splitlines()[-1], said


def test_what_cannot_be_done_is_told_in_one_line(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = folders
    out = tmp_path / "out"
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    Image.new("L", (2, 2)).save(tmp_path / "tiny.png")
    Image.new("L", (3, 2)).save(tmp_path / "wide.png")
    shift = ["--family", "shift/1"]
    cases = [
        ([a, b, *shift, "--severity", 9, "-o", out], "no severity 9"),
        ([a, b, "--family", "shft/1", "-o", out], "Did you mean 'shift/1'"),
        ([a, b, "-o", out], "Missing --family"),
        ([a, b, "--all", *shift, "-o", out], "leave out --family"),
        ([a, b, *shift], "nothing to write"),
        ([a, b, *shift, "-o", full], "is not empty"),
        ([a, b, *shift, "-o", tmp_path, "--force"], "has the sources in it"),
        ([a, b, *shift, "-o", a / "scene 0.png"], "is one of the sources"),
        ([a, b, *shift, "-o", out, "--sheet", "sheet.jpg"], "a sheet is a PNG"),
        ([a, b, *shift, "-o", tmp_path / "x.png", "--sheet", "y.png"], "two sheets"),
        ([a, tmp_path / "nowhere", *shift, "-o", out], "no such file or folder"),
        ([a, b / "scene 0.png", *shift, "-o", out], "must be"),
        ([tmp_path / "tiny.png"] * 2 + [*shift, "--severity", 5, "-o", out], "moves a view by up to 5 pixels"),
        ([tmp_path / "tiny.png", tmp_path / "wide.png", *shift, "-o", out], "2×2"),
    ]
    for arguments, message in cases:
        code, printed, said = run(capsys, "degrade", *arguments)
        line = said.strip().splitlines()[-1]
        assert code == 2 and not printed and message in line, (arguments, said)
        assert not out.exists() or not list(out.glob("**/*.png")), arguments
    (b / "scene 1.png").unlink()
    code, _, said = run(capsys, "degrade", a, b, *shift, "-o", out, "--strict")
    assert code == 2 and "lack a partner" in said
    code, printed, said = run(capsys, "degrade", a, b, *shift, "-o", out)
    assert code == 0 and "1 pairs" in printed and "lack a partner" in said


def test_a_broken_pair_leaves_nothing_and_ctrl_c_what_the_same_command_goes_on_with(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["degrade", *folders, "--family", "shift/1", "-o", tmp_path / "out"]
    path = folders[0] / "scene 1.png"
    content = path.read_bytes()
    path.write_bytes(content[:60])
    code, printed, said = run(capsys, *command)
    assert code == 2 and not printed and "scene 1.png" in said and not (tmp_path / "out").exists()
    path.write_bytes(content)
    real, calls = degrade_files._write, []

    def interrupted(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(degrade_files, "_write", interrupted)
    code, _, said = run(capsys, *command)
    assert code == 130 and "Rerun to resume" in said
    unfinished = ["--a", tmp_path / "out" / "a", "--b", tmp_path / "out" / "b"]
    for verb in (["fuse", *unfinished, "-o", tmp_path / "fused"], ["score", *unfinished, "--fused", folders[0]]):
        code, _, said = run(capsys, *verb)
        assert code == 2 and "its degraded pairs are unfinished" in said.strip().splitlines()[-1]
    assert run(capsys, *command)[0] == 0 and len(calls) == 3
    assert run(capsys, "fuse", *unfinished, "average", "-o", tmp_path / "fused")[0] == 0


def test_families_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capsys, "list", "degradations", "--json")
    cards = json.loads(printed)
    assert code == 0 and [card["name"] for card in cards] == sorted(list_degradations())
    assert all(len(card["levels"]) == 5 and card["title"] for card in cards)
    code, printed, _ = run(capsys, "describe", "haze/1")
    assert code == 0 and "haze/1 · degradation" in printed and "severity 5" in printed
