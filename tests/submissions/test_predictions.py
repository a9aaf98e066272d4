"""What is looked at in unpacked predictions: whether they belong to the data, and what is remarkable about them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.submissions.archive import META
from fusionbench.submissions.predictions import (
    FINDINGS,
    SAMPLES,
    examine_once,
    examine_predictions,
    open_samples,
    pairs_of,
    read_prediction_record,
    sample_blocks,
)
from tests.helpers.submissions import DRAWS, IMAGES, drawn_pairs, sample_record, unpacked_images


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pairs(tmp_path_factory.mktemp("pairs") / "scenes")


@pytest.fixture
def unpacked(pairs: Path, tmp_path: Path) -> Path:
    return unpacked_images(pairs, tmp_path)


def problems(folder: Path, data: Path | None = None) -> list[str]:
    return [str(problem) for problem in examine_predictions(folder, data).problems]


def test_the_record_of_an_unpacked_submission(unpacked: Path) -> None:
    record = read_prediction_record(unpacked)
    assert (record.kind, record.model, record.split, record.images) == ("pairs", "theirs", "all", 4)
    (unpacked / META).write_text("{}")
    with pytest.raises(DataError, match=r"not a fusionbench.predictions/1 record: .*kind"):
        read_prediction_record(unpacked)


def test_the_child_leaves_its_findings_apart_from_the_files(
    unpacked: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, before = tmp_path_factory.mktemp("out"), sorted(unpacked.rglob("*"))
    examine_once(str(unpacked), str(pairs), str(out))
    found = json.loads((out / FINDINGS).read_text())
    assert (found["problems"], found["notes"], found["content"]["kind"]) == ([], [], "predictions")
    assert sorted(unpacked.rglob("*")) == before
    (unpacked / "images" / "02.png").unlink()
    examine_once(str(unpacked), "", str(out))
    (problem,) = json.loads((out / FINDINGS).read_text())["problems"]
    assert problem["rule"] == "4 images are named, 3 are there"


def test_samples_are_read_in_blocks_of_a_bounded_size(tmp_path: Path) -> None:
    """70 images of 1 MiB each: two blocks of 32 and what is left, in order, and nothing twice."""
    values = np.repeat(np.arange(70, dtype=np.uint8), 1 << 20).reshape(70, 1, 1, 1024, 1024)
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file.create_dataset("samples", data=values, chunks=(1, 1, 1, 1024, 1024), compression="gzip")
    spec = ImageSpec(height=1024, width=1024, channels=1, views=0)
    with open_samples(tmp_path / SAMPLES, 70, spec) as samples:
        found = [(begin, block.shape[0], int(block[0].max())) for begin, block in sample_blocks(samples)]
    assert found == [(0, 32, 0), (32, 32, 32), (64, 6, 64)]


def test_samples_of_another_number_of_images_are_refused(dataset: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = np.zeros((3, 4, 1, 32, 32), np.uint8)
    with (
        pytest.raises(DataError, match=r"has shape \(3, 4, 1, 32, 32\); \(2, 4, K, 32, 32\) is asked for"),
        open_samples(tmp_path / SAMPLES, 2, open_dataset(dataset).spec),
    ):
        pass


def test_samples_that_copy_a_view_or_are_black_are_told(dataset: Path, tmp_path: Path) -> None:
    views = open_dataset(dataset).arrays("test").views[:IMAGES]
    made = np.random.default_rng(4).integers(0, 256, (IMAGES, 4, DRAWS, *views.shape[2:]), np.uint8)
    made[3, -1, 0], made[5, -1, 0], made[6, -1, 0] = 0, 200, views[6, 2]
    (tmp_path / META).write_bytes(sample_record(dataset))
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = made
    notes = examine_predictions(tmp_path, dataset).notes
    assert "the fused image is black in 1 of 20 images (3)" in notes
    assert "the fused image is constant in 1 of 20 images (5)" in notes
    assert "the fused image is identical to view 3 in 1 of 20 images (6)" in notes
    assert "the fused image is black in 1 of 20 images (3)" in examine_predictions(tmp_path, None).notes
    assert not any("identical" in note for note in examine_predictions(tmp_path, None).notes)


def test_images_that_do_not_depend_on_the_views_are_told(dataset: Path, tmp_path: Path) -> None:
    made = np.random.default_rng(1).integers(0, 256, (IMAGES, 4, DRAWS, 32, 32), np.uint8)
    (tmp_path / META).write_bytes(sample_record(dataset))
    for same in (False, True):
        with h5py.File(tmp_path / SAMPLES, "w") as file:
            file["samples"] = np.repeat(made[:, :1], 4, axis=1) if same else made
        told = [note for note in examine_predictions(tmp_path, None).notes if "views do not matter" in note]
        assert len(told) == same


def test_images_that_are_not_the_pairs(pairs: Path, unpacked: Path) -> None:
    assert problems(unpacked, pairs) == []
    (unpacked / "images" / "03.png").rename(unpacked / "images" / "xx.png")
    told = problems(unpacked, pairs)
    assert len(told) == 2 and "images/03.png: missing" in told[0] and "images/xx.png: no such pair" in told[1]


def test_pairs_of_a_folder_a_data_set_and_an_embedded_source(pairs: Path, tmp_path: Path) -> None:
    """Names and identity are the same, wherever the pairs come from."""
    stored = build_dataset(load_recipe("pairs-demo"), out=tmp_path)
    demo, found = pairs_of("pairs-demo"), pairs_of(stored)
    assert demo.identity == found.identity and demo.stems == found.stems == ["astronaut", "chelsea", "coffee"]
    assert (pairs_of(pairs).name, pairs_of(pairs).split) == ("pairs", "all")
    (pairs / "ir" / "alone.png").write_bytes((pairs / "ir" / "00.png").read_bytes())
    try:
        with pytest.raises(DataError, match="1 images of 'all' lack a partner: alone"):
            pairs_of(pairs)
    finally:
        (pairs / "ir" / "alone.png").unlink()
    with pytest.raises(UsageError, match="nowhere"):
        pairs_of("nowhere")


@pytest.mark.parametrize("place", ["pairs-demo", "data set"])
def test_images_of_pairs_that_have_no_files(place: str, tmp_path: Path) -> None:
    """The pairs of an embedded source and of a data set: sizes and remarks come from their pixels."""
    data = place if place == "pairs-demo" else str(build_dataset(load_recipe("pairs-demo"), out=tmp_path / "data"))
    pairs = pairs_of(data)
    (tmp_path / "images").mkdir()
    for name, pair in zip(pairs.stems, pairs, strict=True):
        Image.fromarray(pair[0]).save(tmp_path / "images" / f"{name}.png")
    made = {"schema": "fusionbench.predictions/1", "kind": "pairs", "title": "Copy", "submitter": "Ada"}
    made |= {"model": "copy", "dataset": "pairs-demo", "split": "all", "images": 3, "dataset_id": pairs.identity.id}
    (tmp_path / META).write_text(json.dumps(made))
    found = examine_predictions(tmp_path, Path(data))
    assert found.problems == []
    assert any("identical to the first source in 3 of 3 images" in note for note in found.notes)
    Image.fromarray(pairs.pair(0)[0][:-1]).save(tmp_path / "images" / "astronaut.png")
    (line,) = problems(tmp_path, Path(data))
    assert "images/astronaut.png: 256×255 pixels, its sources have 256×256" in line


def test_exchanged_colours_are_told_where_the_sources_are_files(tmp_path: Path) -> None:
    """Red and blue of the fused images are those of the sources exchanged; grey values could not show it."""
    rng = np.random.default_rng(2)
    root = tmp_path / "colours"
    for name in ("a", "b", "c", "d"):
        grey, other = rng.integers(0, 256, (2, 40, 48), np.uint8)
        colour = np.stack([grey, other, grey // 2], -1)
        for folder, image in (("ir", grey), ("vi", colour), ("fused", colour[..., ::-1])):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(image)).save(root / folder / f"{name}.png")
    (tmp_path / "sub").mkdir()
    found = examine_predictions(unpacked_images(root, tmp_path / "sub"), root)
    assert found.problems == [] and any("red and blue are exchanged" in note for note in found.notes)
