"""``preview``: the picture holds the data set's own pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from tests.cli.runner import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


def test_sheet_of_chosen_samples(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    png = tmp_path / "deep" / "sheet.png"
    code, out, _ = run(capsys, "preview", folder, "-o", png, "--index", 7, "--index", 200, "--json")
    assert code == 0 and json.loads(out) == {"file": str(png), "split": "test", "indices": [7, 200]}
    sheet = np.asarray(Image.open(png).convert("L"))
    arrays = open_dataset(folder).arrays("test")
    for index in (7, 200):
        for picture in (arrays.targets[index], *arrays.views[index]):
            row = picture[16].repeat(3)  # one line of the enlarged picture identifies it: its noise is its own
            windows = np.lib.stride_tricks.sliding_window_view(sheet, len(row), axis=1)
            assert (windows == row).all(-1).any()


def test_samples_are_spread_over_the_split(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "preview", folder, "-o", tmp_path / "a.png", "--count", 4, "--split", "train", "--json")
    assert json.loads(out)["indices"] == [0, 375, 750, 1125]
    run(capsys, "preview", folder, "-o", tmp_path / "b.png", "--count", 4, "--split", "train")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_wrong_requests(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "preview", folder, "-o", tmp_path / "a.png", "--index", 296)
    assert code == 2 and "0..295" in err
    code, _, err = run(capsys, "preview", folder, "-o", tmp_path / "a.png", "--split", "tset")
    assert code == 2 and "Did you mean 'test'" in err
    assert run(capsys, "preview", tmp_path / "nothing", "-o", tmp_path / "a.png")[0] == 2
    assert not (tmp_path / "a.png").exists()
