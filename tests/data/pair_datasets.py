"""Data sets of registered pairs, whole and as patches: fixtures for several files of tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard
from tests.helpers import pair_folders
from tests.helpers.pair_folders import PATCHES, TEXT, recipe

KINDS = {"whole": TEXT, "patches": PATCHES}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pair_folders.write(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(kind: str, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(recipe(KINDS[kind]), images, tmp_path_factory.mktemp(kind), jobs=1)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(folder)


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(recipe(), images, tmp_path_factory.mktemp("w"), jobs=1))


@pytest.fixture(scope="module")
def patches(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(recipe(PATCHES), images, tmp_path_factory.mktemp("p"), jobs=1))


def write_stems(made: Path, number: int, stems: object) -> Path:
    """Write a shard of a data set again with other names of its pairs in the header; returns its path."""
    path = sorted(made.glob("*.h5"))[number]
    shard = open_shard(path)
    header = {k: v for k, v in shard.header.items() if k not in ("format", "content_sha256", "arrays")}
    arrays = {name: np.array(array) for name, array in shard.arrays.items()}
    path.unlink()
    write_shard(path, arrays, {**header, "stems": stems})
    return path
