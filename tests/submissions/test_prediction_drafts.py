"""Archives of predictions before their check: the record says what was predicted on, the files are what was given."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.submissions.archive import META
from fusionbench.submissions.prediction_drafts import write_prediction_draft, write_samples
from fusionbench.submissions.predictions import SAMPLES, pairs_of
from tests.helpers.submissions import drawn_pairs

WORDS = {"model": "theirs", "title": "Theirs", "submitter": "Ada", "link": None, "note": ""}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pairs(tmp_path_factory.mktemp("pairs") / "scenes")


def record_in(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read(META))
    return found


def test_samples_of_an_array_and_of_hdf5_give_the_same_archive(dataset: Path, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (5, 4, 2, 32, 32), np.uint8)
    np.save(tmp_path / "s.npy", samples)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["samples"] = samples
    for name in ("s.npy", "s.h5"):
        write_prediction_draft(tmp_path / name, dataset, tmp_path / f"{name}.zip", WORDS)
    assert (tmp_path / "s.npy.zip").read_bytes() == (tmp_path / "s.h5.zip").read_bytes()
    opened, record = open_dataset(dataset), record_in(tmp_path / "s.npy.zip")
    assert (record["kind"], record["images"], record["split"]) == ("masked", 5, "test")
    assert (record["dataset"], record["dataset_id"]) == ("fusiondigits", opened.id)
    with zipfile.ZipFile(tmp_path / "s.npy.zip") as archive:
        assert archive.namelist() == [META, SAMPLES]
        archive.extract(SAMPLES, tmp_path)
    with h5py.File(tmp_path / SAMPLES) as file:
        np.testing.assert_array_equal(file["samples"][:], samples)


def test_images_are_copied_as_they_are(pairs: Path, tmp_path: Path) -> None:
    write_prediction_draft(pairs / "fused", pairs, tmp_path / "p.zip", WORDS)
    record = record_in(tmp_path / "p.zip")
    assert (record["kind"], record["images"], record["split"], record["dataset"]) == ("pairs", 4, "all", "pairs")
    assert record["dataset_id"] == pairs_of(pairs).identity.id
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        for number in range(4):
            assert archive.read(f"images/{number:02}.png") == (pairs / "fused" / f"{number:02}.png").read_bytes()


def test_a_data_set_of_whole_pairs_and_its_source_give_the_same_archive(tmp_path: Path) -> None:
    stored = build_dataset(load_recipe("pairs-demo"), out=tmp_path / "data")
    (tmp_path / "fused").mkdir()
    for name, pair in zip(pairs_of("pairs-demo").stems, pairs_of("pairs-demo"), strict=True):
        Image.fromarray(pair[1]).save(tmp_path / "fused" / f"{name}.png")
    write_prediction_draft(tmp_path / "fused", Path("pairs-demo"), tmp_path / "a.zip", WORDS)
    write_prediction_draft(tmp_path / "fused", stored, tmp_path / "b.zip", WORDS)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert record_in(tmp_path / "a.zip")["dataset"] == "pairs-demo"


def test_images_that_are_no_png(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "fused").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "fused" / "00.jpg")
    with pytest.raises(DataError, match=r"00.jpg is not PNG; save the model's output itself as .png"):
        write_prediction_draft(tmp_path / "fused", pairs, tmp_path / "p.zip", WORDS)


def test_files_without_samples(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.npy: no such file or folder"):
        write_prediction_draft(tmp_path / "none.npy", dataset, tmp_path / "p.zip", WORDS)
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["other"] = [1]
    for name in ("pickled.npy", "other.h5"):
        with pytest.raises(DataError, match=f"{name}: no samples in it"):
            write_prediction_draft(tmp_path / name, dataset, tmp_path / "p.zip", WORDS)


@pytest.mark.parametrize(
    ("shape", "kind"), [((2, 4, 1, 8, 8), np.float32), ((2, 4, 8, 8), np.uint8), ((2, 4, 0, 8, 8), np.uint8)]
)
def test_samples_that_cannot_be_submitted(shape: tuple[int, ...], kind: type, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"uint8 \(images, V\+1, K, H, W\[, C\]\) is asked for"):
        write_samples(tmp_path / "s.h5", np.zeros(shape, kind))
    assert not (tmp_path / "s.h5").exists()


def test_samples_with_colours_are_compressed_image_by_image(tmp_path: Path) -> None:
    samples = np.zeros((2, 4, 1, 8, 8, 3), np.uint8)
    write_samples(tmp_path / "s.h5", samples)
    with h5py.File(tmp_path / "s.h5") as file:
        assert (file["samples"].chunks, file["samples"].compression) == ((1, 1, 1, 8, 8, 3), "gzip")
