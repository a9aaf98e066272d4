"""The folder of a data set: a path in every respect, and the data set that lies there."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import matplotlib
import pytest
from torch.utils.data import DataLoader

import fusionbench as fb
from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.dataset_folder import DatasetFolder
from fusionbench.data.recipes import load_recipe

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return fb.build_dataset("fusiondigits", out=tmp_path_factory.mktemp("data"))


def test_it_is_a_path(built: DatasetFolder) -> None:
    plain = Path(built)
    assert isinstance(built, Path) and built == plain and hash(built) == hash(plain) and os.fspath(built) == str(plain)
    assert type(built / "manifest.json") is type(plain) and (built / "manifest.json").is_file()
    assert pickle.loads(pickle.dumps(built)) == built and built.name == plain.name
    assert repr(built) == f"DatasetFolder({str(plain)!r})"


def test_it_opens_the_data_set(built: DatasetFolder) -> None:
    assert built.dataset.id == fb.open_dataset(built).id and len(built["test"]) == 296
    assert "fusiondigits 1.0.0" in built._repr_html_()
    batch = next(iter(DataLoader(built.torch("test"), batch_size=3)))
    assert batch["views"].shape == (3, 3, 1, 32, 32)
    table = built.to_pandas()
    assert table.groupby("split").size().to_dict() == {"test": 296, "train": 1501}
    axes = built.plot("test", count=2)
    assert axes.shape == (2, 4) and [ax.get_title() for ax in axes[0]] == ["target", "view 0", "view 1", "view 2"]
    assert axes[1, 0].get_images()[0].get_array().tolist() == built["test"][1]["target"].tolist()
    matplotlib.pyplot.close("all")
    with pytest.raises(UsageError, match="Unknown split"):
        built.plot("tset")


def test_recipes_are_taken_by_name_file_and_object(built: DatasetFolder, tmp_path: Path) -> None:
    root = built.parents[2]
    file = Path(__file__).parents[2] / "datasets_recipes" / "fusiondigits.toml"
    for recipe in (load_recipe("fusiondigits"), "fusiondigits@1.0.0", file, str(file)):
        assert fb.build_dataset(recipe, out=root) == built, "found, and not made again"
    with pytest.raises(UsageError, match=r"Unknown recipe 'fusiondigts'\. Did you mean 'fusiondigits'"):
        fb.build_dataset("fusiondigts", out=tmp_path)


def test_a_folder_that_lost_its_data_set_says_so(tmp_path: Path) -> None:
    lost = DatasetFolder(tmp_path / "<b>")
    assert "&lt;b&gt;" in lost._repr_html_() and "<b>" not in lost._repr_html_()
    with pytest.raises(DataError):
        _ = lost.dataset
