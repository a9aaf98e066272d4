"""Folders and files to files: pairing, colour, depth, metadata, resuming, and what is never overwritten."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_metadata import read_metadata
from fusionbench.core.images import read_full_depth
from fusionbench.evaluation.fusing.folders import fuse_files
from fusionbench.evaluation.fusing.fuse import fuse
from fusionbench.evaluation.fusing.record import LOCK, RECORD, only_fuser
from tests.core.test_image_metadata import PROFILE, camera, parsed
from tests.evaluation.fusing.scenes import folders, pixels


def fused(root: Path, method: Any = "average", **options: Any) -> Any:
    return fuse_files(root / "ir", root / "vis", root / "out", method, **{"device": "cpu", "jobs": 1, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (RECORD, LOCK)}


def test_a_folder_is_what_the_python_function_gives_pair_by_pair(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    done = fused(tmp_path, "laplacian-pyramid")
    assert [found.id for found in done.outputs] == ["one", "two", "wide"] and not done.problems
    for found in done.outputs:
        expected = fuse(ir / f"{found.id}.png", vis / f"{found.id}.png", "laplacian-pyramid", device="cpu")
        assert np.array_equal(pixels(found.file), expected) and (found.channels, found.bits) == (3, 8)
    assert sorted(contents(tmp_path / "out")) == ["one.png", "two.png", "wide.png"]


def test_the_number_of_jobs_changes_nothing(tmp_path: Path) -> None:
    folders(tmp_path, tuple("abcdefg"))
    fused(tmp_path, "guided-filter", jobs=1)
    first = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    fused(tmp_path, "guided-filter", jobs=3)
    assert contents(tmp_path / "out") == first


def test_what_is_there_is_kept_and_what_changed_is_fused_again(tmp_path: Path) -> None:
    ir, _ = folders(tmp_path)
    fused(tmp_path)
    times = {name: (tmp_path / "out" / f"{name}.png").stat().st_mtime_ns for name in ("one", "two", "wide")}
    Image.fromarray(np.full((12, 17), 9, np.uint8)).save(ir / "two.png")
    (tmp_path / "out" / "wide.png").unlink()
    done = fused(tmp_path)
    assert {found.id: found.kept for found in done.outputs} == {"one": True, "two": False, "wide": False}
    assert (tmp_path / "out" / "one.png").stat().st_mtime_ns == times["one"]
    assert all(found.kept for found in fused(tmp_path).outputs)


def test_other_settings_and_foreign_images_are_not_taken_for_ours(tmp_path: Path) -> None:
    folders(tmp_path)
    fused(tmp_path)
    before = contents(tmp_path / "out")
    with pytest.raises(UsageError, match="fused with method average, not copy-a"):
        fused(tmp_path, "copy-a")
    with pytest.raises(UsageError, match="fused with tile auto, not auto in 1000000 bytes"):
        fused(tmp_path, memory=1_000_000)
    (tmp_path / "out" / "one.png").write_bytes(b"half an im")
    done = fused(tmp_path)
    assert list(done.problems) == ["one"] and "not from this command" in done.problems["one"]
    assert (tmp_path / "out" / "one.png").read_bytes() == b"half an im"
    assert not fused(tmp_path, force=True).problems and contents(tmp_path / "out") == before
    assert len(fused(tmp_path, "copy-a", force=True).outputs) == 3 and contents(tmp_path / "out") != before


def test_a_second_command_at_once_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    folders(tmp_path)
    fused(tmp_path)
    before = contents(tmp_path / "out")
    with only_fuser(tmp_path / "out"), pytest.raises(UsageError, match="another command is fusing"):
        fused(tmp_path, "copy-a", force=True)
    assert contents(tmp_path / "out") == before


def test_a_bad_pair_does_not_stop_the_others(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path, ("a", "b", "c", "d"))
    (vis / "a.png").write_bytes((vis / "a.png").read_bytes()[:200])
    Image.new("L", (3, 4)).save(ir / "c.png")
    Image.new("L", (3, 4)).save(ir / "lonely.png")
    done = fused(tmp_path, jobs=2)
    assert [found.id for found in done.outputs] == ["b", "d"]
    assert "a.png: not a readable" in done.problems["a"]
    assert "c.png is 4×3 and" in done.problems["c"] and "resize or register" in done.problems["c"]
    assert done.missing == {"lonely": ["b"]}
    assert done.warnings == ["1 stems lack a partner and were not fused: lonely (not in b)"]
    assert sorted(contents(tmp_path / "out")) == ["b.png", "d.png"]
    with pytest.raises(DataError, match=r"lonely .* leave out --strict"):
        fused(tmp_path, strict=True)


def test_metadata_of_the_visible_source_are_kept_and_it_is_upright(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path, ("one",))
    rgb = pixels(vis / "one.png")
    (vis / "one.png").unlink()
    exif = camera().tobytes()
    Image.fromarray(np.rot90(rgb)).save(vis / "one.tif", exif=exif, icc_profile=PROFILE)
    Image.fromarray(np.rot90(rgb)).save(vis / "one.png", exif=exif, icc_profile=PROFILE)
    (vis / "one.tif").unlink()
    for kind in ("png", "tiff", "jpeg"):
        (found,) = fused(tmp_path, "copy-b", file_format=kind, force=True).outputs
        about = read_metadata(found.file.read_bytes())
        first, inner, place = parsed(about.exif)
        assert first == {0x010F: "Maker", 0x0110: "Camera"} and inner and place and about.icc == PROFILE
        assert read_full_depth(found.file).pixels.shape == rgb.shape
        if kind != "jpeg":
            assert np.array_equal(pixels(found.file), rgb), "turned once"
        assert found.notes == {str(vis / "one.png"): "turned upright"}
    (found,) = fused(tmp_path, "copy-b", colour="none", force=True).outputs
    assert read_metadata(found.file.read_bytes()).icc == b"" and pixels(found.file).ndim == 2
    assert ir.is_dir()


def test_sixteen_bits_in_and_out(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (12, 17)).astype(np.uint16)
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        Image.fromarray(deep).save(tmp_path / side / "x.png")
    (found,) = fused(tmp_path, "copy-b").outputs
    assert found.bits == 16 and np.array_equal(pixels(found.file), deep)
    (eight,) = fused(tmp_path, "copy-b", bits=8, force=True).outputs
    assert np.array_equal(pixels(eight.file), np.rint(deep / 257).astype(np.uint8))
    done = fused(tmp_path, "copy-b", file_format="jpeg", force=True)
    assert done.outputs[0].bits == 8 and "written with the 8 that a JPEG has" in done.warnings[0]
    with pytest.raises(UsageError, match="leave out --bits 16"):
        fused(tmp_path, "copy-b", file_format="jpeg", bits=16)


def test_ranges_are_of_the_set_and_recorded(tmp_path: Path) -> None:
    folders(tmp_path, ("one", "two"))
    for number, stem in enumerate(("one", "two")):
        Image.fromarray(np.full((12, 17), 1000 + 15000 * number, np.uint16)).save(tmp_path / "ir" / f"{stem}.png")
    done = fused(tmp_path, "copy-a", colour="none", range_a="auto")
    values = [int(pixels(found.file)[0, 0]) for found in done.outputs]
    assert values == [round(1000 / 16383 * 255), round(16000 / 16383 * 255)], "14 bits, for both"
    with pytest.raises(UsageError, match="ranges"):
        fused(tmp_path, "copy-a", colour="none", range_a="full")
    assert all("--range-a" in text for text in fused(tmp_path, "copy-a", force=True).problems.values())


def test_colour_of_both_and_a_note_where_it_is_lost(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path, ("one",))
    done = fuse_files(vis, ir, tmp_path / "out", "average", device="cpu")
    assert done.outputs[0].channels == 1 and "--colour weighted takes it" in done.warnings[0]
    done = fuse_files(vis, ir, tmp_path / "other", "copy-a", device="cpu", colour="weighted")
    assert np.array_equal(pixels(done.outputs[0].file), pixels(vis / "one.png"))


def test_two_files_to_a_file_or_a_folder(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path, ("one",))
    a, b = ir / "one.png", vis / "one.png"
    done = fuse_files(a, b, tmp_path / "x.tif", "average", device="cpu")
    assert done.outputs[0].file == tmp_path / "x.tif" and not (tmp_path / "fuse.jsonl").exists()
    with Image.open(tmp_path / "x.tif") as image:
        assert image.format == "TIFF"
    with pytest.raises(UsageError, match=r"x\.tif: is there already"):
        fuse_files(a, b, tmp_path / "x.tif", "average", device="cpu")
    fuse_files(a, b, tmp_path / "x.tif", "copy-b", device="cpu", force=True)
    assert np.array_equal(pixels(tmp_path / "x.tif"), pixels(b))
    assert fuse_files(a, b, tmp_path / "new", "average", device="cpu").outputs[0].file == tmp_path / "new" / "one.png"
    with pytest.raises(UsageError, match="another format than its name says"):
        fuse_files(a, b, tmp_path / "y.png", "average", file_format="tiff")
    with pytest.raises(UsageError, match=r"y\.gif: images are written as"):
        fuse_files(a, b, tmp_path / "y.gif", "average")
    with pytest.raises(UsageError, match=r"is a file, .*vis is a folder: --a and --b must be two files or two folders"):
        fuse_files(a, vis, tmp_path / "y.png", "average")


def test_the_same_source_twice_is_told(tmp_path: Path) -> None:
    ir, _ = folders(tmp_path)
    (tmp_path / "link").symlink_to(ir)
    done = fuse_files(ir, tmp_path / "link", tmp_path / "same", "average", device="cpu", jobs=1)
    told = f"{ir}: is given as --a and as --b"
    assert any(line.startswith(told) for line in done.warnings) and len(done.outputs) == 3
    assert not any(told in line for line in fused(tmp_path).warnings)


def test_sources_are_never_replaced(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    before = contents(ir), contents(vis)
    link, hard = tmp_path / "link", tmp_path / "hard"
    link.symlink_to(vis, target_is_directory=True)
    hard.mkdir()
    os.link(ir / "two.png", hard / "two.png")
    for out in (ir, vis, link, tmp_path / "ir" / ".." / "vis"):
        with pytest.raises(UsageError, match="is a folder of sources"):
            fuse_files(ir, vis, out, "average", force=True)
    with pytest.raises(UsageError, match=r"two\.png: is one of the sources"):
        fuse_files(ir, vis, hard, "average", force=True)
    for out in (ir / "one.png", link / "one.png"):
        with pytest.raises(UsageError, match="is one of the sources"):
            fuse_files(ir / "one.png", vis / "one.png", out, "average", force=True)
    with pytest.raises(UsageError, match="is one of the sources"):
        fused(tmp_path, sheet=ir / "one.png")
    with pytest.raises(UsageError, match="would be one file"):
        fused(tmp_path, sheet=tmp_path / "out" / "one.png")
    with pytest.raises(UsageError, match="a sheet is a PNG"):
        fused(tmp_path, sheet=tmp_path / "sheet.jpg")
    assert (contents(ir), contents(vis)) == before


def test_a_link_in_the_output_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    folders(tmp_path, ("one",))
    (tmp_path / "out").mkdir()
    (tmp_path / "precious.png").write_bytes(b"precious")
    (tmp_path / "out" / "one.png").symlink_to(tmp_path / "precious.png")
    assert list(fused(tmp_path).problems) == ["one"]
    assert not fused(tmp_path, force=True).problems
    assert (tmp_path / "precious.png").read_bytes() == b"precious" and not (tmp_path / "out" / "one.png").is_symlink()


def test_an_output_that_cannot_be_written_ends_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path)
    calls: list[Path] = []

    def full(path: Path, content: bytes, **options: object) -> None:
        calls.append(path)
        raise DataError(f"{path}: cannot write: No space left on device; free some space and run it again")

    monkeypatch.setattr("fusionbench.evaluation.fusing.folders.write_bytes", full)
    with pytest.raises(DataError, match="No space left on device"):
        fused(tmp_path)
    assert len(calls) == 1, "the others would fail, too"
    monkeypatch.undo()
    assert [found.kept for found in fused(tmp_path).outputs] == [False] * 3
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"file\.png: is a file, and the outputs are many"):
        fuse_files(tmp_path / "ir", tmp_path / "vis", tmp_path / "file.png", "average")


def test_names_that_are_not_utf8_and_the_json(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path, ("one",))
    for folder in (ir, vis):
        os.rename(folder / "one.png", os.path.join(os.fsencode(folder), b"\xff3.png"))
    done = fused(tmp_path, sheet=tmp_path / "sheet.png")
    assert os.listdir(os.fsencode(tmp_path / "out")).count(b"\xff3.png") == 1
    told = done.to_json()
    assert told["outputs"] == [
        {"id": r"\xff3", "file": rf"{tmp_path}/out/\xff3.png", "status": "fused", "channels": 3, "bits": 8}
    ]
    assert (told["method"], told["problems"], told["missing"]) == ("average", [], {})
    assert told["sheet"] == str(tmp_path / "sheet.png") and pixels(tmp_path / "sheet.png").ndim == 3
    assert fused(tmp_path).to_json()["outputs"][0]["status"] == "kept"


def test_real_pairs_in_colour(real_data: Path, tmp_path: Path) -> None:
    for side in ("ir", "vi"):
        (tmp_path / side).mkdir()
        for name in ("FLIR_00006", "FLIR_00018"):
            shutil.copy(real_data / "roadscene" / side / f"{name}.jpg", tmp_path / side)
    done = fuse_files(tmp_path / "ir", tmp_path / "vi", tmp_path / "out", "copy-b", device="cpu")
    for found in done.outputs:
        assert np.array_equal(pixels(found.file), pixels(tmp_path / "vi" / f"{found.id}.jpg"))
