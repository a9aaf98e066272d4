"""Oracle: small LMDBs that the tests write, in the layout of the release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import file_sha256
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.data.verify import verify_dataset
from fusionbench.sources.tless_release import FusionTLessRelease
from tests.sources import folders

lmdb = pytest.importorskip("lmdb", reason="the extra 'lmdb' is not installed")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folders.tless_release(tmp_path / "release", monkeypatch)


def put(root: Path, split: str, key: bytes, value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change one value, and let the source expect the changed file."""
    part = FusionTLessRelease.parts[split]
    with lmdb.open(str(root / part.folder), map_size=1 << 22) as file, file.begin(write=True) as writing:
        writing.put(key, value)
    path = root / part.folder / "data.mdb"
    changed = replace(part, bytes=path.stat().st_size, sha256=file_sha256(path))
    monkeypatch.setattr(FusionTLessRelease, "parts", {**FusionTLessRelease.parts, split: changed})


def test_the_table_of_the_release() -> None:
    found = {split: (part.count, part.tiles, part.bytes) for split, part in FusionTLessRelease.parts.items()}
    assert found == {
        "train": (5836, 1, 35_905_536),
        "occluders": (15552, 1, 116_310_016),
        "valid": (644, 4, 6_991_872),
    }


def test_images_views_and_masks(root: Path) -> None:
    source = FusionTLessRelease(root)
    assert np.array_equal(source.read("train", np.array([4, 0]))[0, ..., 1], folders.picture(40, 128, 128, grey=True))
    target, views = source.read("valid", np.array([2])), source.views("valid", np.array([2]))
    assert target.shape == (1, 64, 64, 3) and views.shape == (1, 3, 64, 64, 3)
    for tile in range(4):
        found = views[0, tile] if tile < 3 else target[0]
        assert np.array_equal(found[..., 0], folders.picture(20 + tile, 64, 64, grey=True))
    for index in (0, 1):  # without and with alpha
        mask = source.visible_mask("occluders", index)
        assert mask is not None
        assert np.array_equal(mask > 0, folders.picture(10 * index, 100, 100, grey=True) > 0)
    with pytest.raises(UsageError, match="has no views"):
        source.views("train", np.array([0]))


def test_tiles_from_top_to_bottom(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = [folders.picture(tile, 64, 64, grey=True) for tile in (5, 6, 7, 8)]
    put(root, "valid", b"0", cv2.imencode(".png", np.concatenate(tiles))[1].tobytes(), monkeypatch)
    source = FusionTLessRelease(root)
    assert np.array_equal(source.views("valid", np.array([0]))[0, 1, ..., 0], tiles[1])
    assert np.array_equal(source.read("valid", np.array([0]))[0, ..., 0], tiles[3])


def test_the_paper_s_evaluation_images_are_the_test_split(root: Path, tmp_path: Path) -> None:
    folder = build_dataset(load_recipe("fusiontless-5"), root, tmp_path / "out")
    dataset, source = open_dataset(folder), FusionTLessRelease(root)
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 5, "test": 3}
    arrays = dataset.arrays("test")
    assert np.array_equal(np.asarray(arrays.targets), source.read("valid", np.arange(3))[..., 0])
    assert np.array_equal(np.asarray(arrays.views), source.views("valid", np.arange(3))[..., 0])
    assert dataset.split("test").coverage == [] and dataset.split("test").cutouts is None
    assert len(dataset.split("train").coverage) == 3
    live = dataset.stream("test").batch([1, 2], epoch=5).views  # they came with the source: none can be made
    assert np.array_equal((live[:, :, 0].numpy() * 255).round(), arrays.views[1:3])
    with pytest.raises(UsageError, match="came with the source"):
        dataset.view_maker("test")
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert build_dataset(load_recipe("fusiontless-5"), root, tmp_path / "out") == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    report = verify_dataset(folder, regenerate="all", source_dir=root)
    assert report.ok and report.regenerated == 8


def test_a_begun_build_goes_on(root: Path, tmp_path: Path) -> None:
    recipe = load_recipe("fusiontless-5")
    folder = build_dataset(recipe, root, tmp_path / "out")
    identity = open_dataset(folder).id
    (folder / "manifest.json").unlink()
    kept = next(folder.glob("*-test-*.h5"))
    before = kept.stat().st_mtime_ns
    assert open_dataset(build_dataset(recipe, root, tmp_path / "out")).id == identity
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["longer", "other bytes", "missing"])
def test_other_files_are_not_opened(change: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / FusionTLessRelease.parts["valid"].folder / "data.mdb"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(bytes(content) + (b"x" if change == "longer" else b""))
    monkeypatch.setattr(lmdb, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(
        DataError, match={"longer": "instead of", "other bytes": "sha256", "missing": "no such"}[change]
    ):
        FusionTLessRelease(root)


@pytest.mark.parametrize(
    "value, reason",
    [
        (b"not a picture", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2 << 20), "not a PNG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\x00\x01\x00\x00" * 2 + b"\x08\x02" + bytes(40), "65536×65536"),
        (cv2.imencode(".png", np.zeros((64, 64), np.uint8))[1].tobytes(), "64×64 pixels instead of"),
    ],
)
def test_hostile_values_are_refused(value: bytes, reason: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "valid", b"1", value, monkeypatch)
    source = FusionTLessRelease(root)
    with pytest.raises(DataError, match=reason) as caught:
        source.read("valid", np.array([1]))
    assert "image 1" in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_that_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = replace(FusionTLessRelease.parts["train"], count=9)
    monkeypatch.setattr(FusionTLessRelease, "parts", {**FusionTLessRelease.parts, "train": more})
    with pytest.raises(DataError, match="image 5: it is not there"):
        FusionTLessRelease(root).fingerprint("train")
