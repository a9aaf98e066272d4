"""Oracle: the pictures read back by Pillow equal the stored arrays."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import UsageError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.export import export
from fusionbench.data.recipes import parse_recipe
from tests.cli.runner import run
from tests.data.test_build import DIGITS
from tests.sources import folders


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    text = DIGITS.partition("[expect]")[0].replace("per_class = true", "per_class = true\nfirst = 20")
    return open_dataset(build_dataset(parse_recipe(text.encode()), out=tmp_path_factory.mktemp("digits")))


def test_png(digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "export", digits.folder, "--to", "png", "-o", tmp_path / "out")
    assert code == 0 and out.strip() == str(tmp_path / "out")
    for index in (0, 19):
        target = np.asarray(Image.open(tmp_path / "out" / "test" / f"{index:06d}-target.png"))
        view = np.asarray(Image.open(tmp_path / "out" / "test" / f"{index:06d}-view3.png"))
        assert np.array_equal(target, digits.arrays("test").targets[index])
        assert np.array_equal(view, digits.arrays("test").views[index, 2])
    labels = digits.labels("train")
    assert labels is not None
    rows = (tmp_path / "out" / "train" / "labels.csv").read_text().splitlines()
    assert rows == ["index,label", *(f"{i},{label}" for i, label in enumerate(labels))]
    assert json.loads((tmp_path / "out" / "export.json").read_text())["id"] == digits.id


def test_colours_keep_their_order(tmp_path: Path) -> None:
    folders.mixed(tmp_path / "in")
    text = (shipped_folder("datasets_recipes") / "template.toml.txt").read_text().replace("@NAME@", "mine")
    text = text.replace("every = 10", "every = 3")
    dataset = open_dataset(build_dataset(parse_recipe(text.encode()), tmp_path / "in", tmp_path / "data"))
    export(dataset, "png", tmp_path / "out")
    found = np.asarray(Image.open(tmp_path / "out" / "train" / "000001-target.png"))
    assert np.array_equal(found, dataset.arrays("train").targets[1])


def test_webdataset(digits: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("webdataset", reason="the extra 'export' is not installed")
    export(digits, "webdataset", tmp_path / "a")
    export(digits, "webdataset", tmp_path / "b")
    assert (tmp_path / "a" / "train-000000.tar").read_bytes() == (tmp_path / "b" / "train-000000.tar").read_bytes()
    labels = digits.labels("test")
    assert labels is not None
    with tarfile.open(tmp_path / "a" / "test-000000.tar") as archive:
        names = archive.getnames()
        assert len(names) == 20 * 5 and "000007.cls" in names
        view = archive.extractfile("000007.view2.png")
        label = archive.extractfile("000007.cls")
        assert view is not None and label is not None and int(label.read()) == labels[7]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(view.read()))), digits.arrays("test").views[7, 1])


def test_mistakes(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'png'"):
        export(digits, "pnk", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        export(digits, "png", tmp_path / "full")
