"""What submissions are made of: a data set, a run on it, samples of it and a folder of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.training.loop import train
from tests.helpers.submissions import drawn_pairs, noisy_samples


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run_folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("mean-image", open_dataset(dataset), out=tmp_path_factory.mktemp("runs") / "mean", device="cpu").folder


@pytest.fixture(scope="module")
def samples(dataset: Path) -> np.ndarray:
    return noisy_samples(dataset)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pairs(tmp_path_factory.mktemp("pairs") / "scenes")
