"""What is trained by its name: a model, a data set; and the one line for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.plugin_files import plugins_of_this_command
from fusionbench.data.build import build_dataset
from fusionbench.models.vae.fcn import FCN
from fusionbench.training.loop import train
from fusionbench.training.named import trained_model, training_data
from tests.data.test_build import small_recipe
from tests.helpers.learning import MemoryDataset

MINE = """
import torch
from fusionbench.core.types import Preset


class Mine(torch.nn.Module):
    title, reference, version, PRESETS = "mine", "me", "1", {"tiny": Preset(model={}, training={}, note="x")}

    def fuse(self, batch): ...
"""


def test_a_data_set_by_its_name_its_folder_and_open_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = build_dataset(small_recipe(), out="data")
    by_name = train("mean-image", "fusiondigits", out="runs/name", device="cpu")
    by_folder = train("mean-image", folder, out="runs/folder", device="cpu")
    as_open = train("mean-image", training_data("fusiondigits"), out="runs/open", device="cpu")
    assert by_name.info.dataset_id == by_folder.info.dataset_id == as_open.info.dataset_id
    assert by_name.info.finished and by_name.info.dataset_name == "fusiondigits"


def test_a_data_set_that_is_open_stays_as_it_is() -> None:
    data: Any = MemoryDataset()
    assert training_data(data) is data


def test_a_name_without_a_data_set_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^nowhere: no such data set .* `fusionbench generate nowhere`$"):
        train("fcn", "nowhere", out="run")


@pytest.mark.parametrize("data", [None, 3, [1], MemoryDataset, torch.zeros(2)])
def test_what_is_no_data_set(data: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no data set: give one of open_dataset, its name or its folder$"):
        train("fcn", data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_by_its_name_or_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    with plugins_of_this_command():
        for text in ("mine.py", "mine.py:Mine"):
            assert trained_model(f"{tmp_path}/{text}") == "mine"
        assert trained_model(tmp_path / "mine.py") == "mine"
    assert trained_model("fcn") == "fcn"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (FCN, r"^FCN is a class, and a run is read again by a name: give 'file\.py:FCN', or the name that"),
        (
            torch.nn.Linear(1, 1),
            r"^Linear\(.*\) is no name of a model; give one of list_models\(\), or 'file\.py:Class'$",
        ),
        (None, "^None is no name of a model"),
    ],
)
def test_a_class_or_an_object_is_no_name(model: Any, message: str, tmp_path: Path) -> None:
    data: Any = MemoryDataset()
    with pytest.raises(UsageError, match=message):
        train(model, data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
