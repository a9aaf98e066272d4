"""Layouts of stacks, in small folders that are written here; and what is wrong with a folder, in one line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.sources import SOURCES
from fusionbench.sources.stacks import LARGEST, Lytro, Mefb, Mffw, RealMff, Stacks
from tests.sources import folders


def write(path: Path, level: int = 90, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


def levels(source: Stacks, split: str = "all", index: int = 0) -> list[int]:
    return [int(view[0, 0, 0]) for view in source.read_stack(split, index)[0]]


def test_lytro_has_pairs_and_triples(tmp_path: Path) -> None:
    source = Lytro(folders.stacks(tmp_path, ".", "Triple Series"))
    assert list(source.splits) == ["pairs", "triples"] and source.stems("pairs") == ["lytro-01", "lytro-02"]
    views, truth = source.read_stack("triples", 1)
    assert views.shape == (3, 24, 32, 3) and truth is None
    assert [path.name[-5] for path in source.paths("triples", 1)] == ["A", "B", "C"]
    assert np.array_equal(source.read("pairs", np.array([0]))[0], source.read_stack("pairs", 0)[0][0])


def test_views_of_two_folders_are_paired_up_to_their_letter(tmp_path: Path) -> None:
    for letter, level in (("A", 10), ("B", 20)):
        for number in (2, 10):
            write(tmp_path / f"source{letter}" / f"lytro-{number}-{letter}.png", level + number)
    source = Stacks(tmp_path)
    assert source.stems("all") == ["lytro-2", "lytro-10"] and levels(source) == [12, 22]  # numbers by their value


def test_real_mff_has_its_truth(tmp_path: Path) -> None:
    source = RealMff(folders.real_mff(tmp_path))
    views, truth = source.read_stack("all", 1)
    assert source.stems("all") == ["1", "10"] and views.shape == (2, 24, 32, 3) and truth is not None
    assert np.array_equal(source.read("all", np.array([1]))[0], truth)
    assert [path.parent.name for path in source.paths("all", 1)] == ["imageA", "imageB", "Fusion"]
    assert len(source.stack_files("all", 1)) == 2


def test_mefb_is_read_from_dark_to_bright(tmp_path: Path) -> None:
    source = Mefb(folders.scenes(tmp_path / "input").parent)
    views, _ = source.read_stack("all", 0)
    assert source.stems("all") == ["Arno", "Cave"] and views[0].mean() < views[1].mean()
    assert list(Mffw(folders.stacks(tmp_path, "MFFW2", "MFFW3")).splits) == ["pairs", "more"]


def test_a_truth_among_the_pictures(tmp_path: Path) -> None:
    for name in ("cup/1.png", "cup/2.png", "cup/GT.png"):
        write(tmp_path / "scenes" / name, 200 if "GT" in name else 50)
    views, truth = Stacks(tmp_path / "scenes").read_stack("all", 0)
    assert len(views) == 2 and truth is not None and truth[0, 0, 0] == 200
    for name in ("cup-A.png", "cup-B.png", "cup-truth.png", "notes.png", "tea-A.png"):
        write(tmp_path / "flat" / name)
    source = Stacks(tmp_path / "flat")
    assert source.stems("all") == ["cup"] and source.read_stack("all", 0)[1] is not None
    with pytest.raises(DataError, match="1 scenes lack a picture that others have: tea"):
        Stacks(tmp_path / "flat", strict=True)


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    def refused(folder: str, text: str) -> None:
        with pytest.raises(FusionbenchError, match=text) as caught:
            source = Stacks(tmp_path / folder)
            source.read_stack("all", 0)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)

    refused("nothing", "no such folder")
    write(tmp_path / "one" / "cup" / "1.png")
    refused("one", r"the stack cup has 1 picture\(s\); a stack has 2 to 64")
    for number in range(LARGEST + 1):
        write(tmp_path / "many" / "cup" / f"{number}.png")
    refused("many", r"has 65 picture\(s\)")
    for name in ("cup/1.png", "cup/2.png", "tea/1.png", "tea/2.png", "tea/3.png"):
        write(tmp_path / "uneven" / name)
    refused("uneven", "the stack cup has 2 pictures and tea has 3")
    write(tmp_path / "sizes" / "x-A.png")
    write(tmp_path / "sizes" / "x-B.png", size=(9, 6))
    refused("sizes", r"x-A\.png is 6×8 and .*x-B\.png is 6×9 pixels")
    write(tmp_path / "broken" / "x-A.png")
    (tmp_path / "broken" / "x-B.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    refused("broken", r"x-B\.png")
    write(tmp_path / "linked" / "x-A.png")
    (tmp_path / "linked" / "x-B.png").symlink_to(tmp_path / "one" / "cup" / "1.png")
    refused("linked", r"x-B\.png: leads out of the folder")
    with pytest.raises(DataError, match="a damaged PNG"):
        Stacks(tmp_path / "broken").fingerprint("all")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("A/x-A.png", "A/x-A.jpg", "B/x-B.png"), r"A: x-A\.jpg and x-A\.png share the name 'x' of a scene; rename"),
        (("A/r-a.png", "A/r-b.png", "B/r-a.png"), r"A: r-a\.png and r-b\.png share the name 'r' of a scene"),
        (("A/x.png", "B/x.png", "GT/x_F.png", "GT/x_G.png"), r"GT: x_F\.png and x_G\.png share the name 'x'"),
        (("x-A.png", "x-A.jpg", "x-B.png"), r"x-A\.jpg and x-A\.png share the place 'a' in the stack 'x'; rename"),
        (("x-A.png", "x_a.png", "x-B.png"), r"share the place 'a' in the stack 'x'"),
        (("x-A.png", "x-B.png", "x-gt.png", "x-truth.png"), r"x-gt\.png and x-truth\.png share the place 'truth'"),
        (("cup/1.png", "cup/2.png", "cup/gt.png", "cup/truth.png"), r"cup: gt\.png and truth\.png are both a truth"),
    ],
)
def test_no_picture_is_left_out_because_another_has_its_name(tmp_path: Path, names: tuple[str, ...], text: str) -> None:
    for name in names:
        write(tmp_path / name)
    with pytest.raises(DataError, match=text) as caught:
        Stacks(tmp_path)
    assert "\n" not in str(caught.value)


def test_ends_that_all_folders_have_alike_are_no_letters_of_views(tmp_path: Path) -> None:
    for number, name in enumerate(("room-a", "room-b", "hall")):
        for level, letter in enumerate("AB"):
            write(tmp_path / letter / f"{name}.png", 40 * number + 20 * level)
        write(tmp_path / "Fusion" / f"{name}_F.png", 200 + number)
    source = Stacks(tmp_path)
    assert source.stems("all") == ["hall", "room-a", "room-b"]
    assert levels(source, index=1) == [0, 20] and levels(source, index=2) == [40, 60]
    assert source.read("all", np.array([2]))[0, 0, 0, 0] == 201


def test_a_pixel_is_a_picture(tmp_path: Path) -> None:
    for letter in "AB":
        write(tmp_path / f"x-{letter}.png", size=(1, 1))
    assert SOURCES.get("stacks")(tmp_path).read_stack("all", 0)[0].shape == (2, 1, 1, 3)  # type: ignore[attr-defined]
