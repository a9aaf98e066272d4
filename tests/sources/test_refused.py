"""Refused files of published sources: found like any other, and never left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import Recipe, load_recipe, parse_recipe
from fusionbench.data.refused import find_refused
from fusionbench.data.shard_layout import open_source
from tests.sources import folders, idx


def _mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    idx.shrink(monkeypatch)
    return idx.write_all(folder)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("fusionmnist", _mnist, "the source 'mnist' is not made of single image files"),
        ("fusionceleba", lambda root, _: folders.celeba(root), "the official partition of CelebA"),
        ("fusioncoil", lambda root, _: folders.coil(root), "the turntable of COIL"),
        ("fusiontless", lambda root, _: folders.tless(root), "the release of T-LESS"),
        ("roadscene", lambda root, _: folders.pairs(root, "ir", "vi"), "that of a published data set (a588fda09624…)"),
        ("fusiondigits", lambda root, _: None, "the source 'digits' is not made of single image files"),
    ],
)
def test_published_sets_stay_whole(
    name: str, make: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "files", monkeypatch)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        build_dataset(load_recipe(name), root, tmp_path / "out", skip_refused=True)
    assert message in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def _without_expectations(name: str) -> Recipe:
    text = (shipped_folder("datasets_recipes") / f"{name}.toml").read_text().partition("[expect]")[0]
    return parse_recipe(text.encode(), name)  # type: ignore[return-value]


def test_celeba_with_damaged_files(tmp_path: Path) -> None:
    folders.celeba(tmp_path)
    for name in ("000001.jpg", "000004.jpg", "000006.jpg"):  # the first of a split, too
        path = tmp_path / "img_align_celeba" / name
        path.write_bytes(path.read_bytes()[:400])
    one = _without_expectations("fusionceleba")
    found = find_refused(one, open_source(one, tmp_path))
    assert [(one.split, one.name) for one in found.refused] == [
        ("train", "000001.jpg"),
        ("train", "000004.jpg"),
        ("validation", "000006.jpg"),
    ]
    with pytest.raises(DataError, match=r"3 of \d files are refused.*; repair them; "):  # no option that does not go
        build_dataset(one, tmp_path, tmp_path / "out")


def test_an_occluder_in_which_nothing_can_be_cut(tmp_path: Path) -> None:
    folders.coil(tmp_path)
    text = (shipped_folder("datasets_recipes") / "fusioncoil@1.0.0.toml").read_text().partition("[expect]")[0]
    one = parse_recipe(text.replace("every = 6", "every = 3").encode(), "coil.toml")
    folders.save(tmp_path / "coil20" / "obj1__1.png", folders.picture(0, 64, 64))  # a target
    occluder = tmp_path / "coil100" / "obj10__5.png"
    assert occluder.exists() and not find_refused(one, open_source(one, tmp_path)).refused[1:]
    folders.save(occluder, np.zeros((128, 128, 3), np.uint8))
    (tmp_path / "coil100" / "obj3__0.png").write_bytes(b"")  # no class of the recipe
    found = find_refused(one, open_source(one, tmp_path), everything=True)
    reasons = {one.name: one.reason for one in found.refused}
    assert list(reasons) == ["obj1__1.png", "obj3__0.png", "obj10__5.png"]
    assert "64×64 pixels instead of 128×128" in reasons["obj1__1.png"]
    assert "nothing could be cut out" in reasons["obj10__5.png"]
    assert [one.name for one in found.used] == ["obj1__1.png", "obj10__5.png"]
    with pytest.raises(DataError, match=r"2 of \d+ files are refused: obj1__1\.png \("):
        build_dataset(one, tmp_path, tmp_path / "out")


def test_a_source_in_one_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _mnist(tmp_path, monkeypatch)
    path = next(path for path in sorted(root.iterdir()) if "train-images" in path.name)
    path.write_bytes(path.read_bytes()[:-50])
    one = _without_expectations("fusionmnist")
    found = find_refused(one, open_source(one, root))
    assert len(found.refused) == 1 and found.refused[0].name == "images 0 and following" and found.refused[0].reason
