"""``preview``: the picture holds the data set's own pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe, parse_recipe
from fusionbench.data.shards.manifest import CutoutGate
from fusionbench.data.verify import verify_dataset
from tests.cli.runner import run
from tests.sources import folders


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


@pytest.fixture(scope="module")
def overlaid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FusionCOIL from drawn objects. One occluder is too dark for edges, except for a patch; another is black."""
    root = folders.coil(tmp_path_factory.mktemp("coil"))
    y, x = np.mgrid[0:128, 0:128]
    dark = np.zeros((128, 128, 3), np.uint8)
    dark[np.hypot(y - 64, x - 64) < 50, 2] = 60  # blue, of which grey has 11 %
    dark[60:80, 60:80] = 200
    folders.save(root / "coil100" / "obj28__5.png", dark)
    folders.save(root / "coil100" / "obj10__5.png", np.zeros((128, 128, 3), np.uint8))
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    recipe = parse_recipe(text.replace("every = 6", "every = 3").encode(), "coil.toml")
    built = build_dataset(recipe, root, tmp_path_factory.mktemp("overlaid"))
    assert verify_dataset(built, regenerate="all", source_dir=root).ok
    return built


def test_cut_outs_are_shown_with_the_worst_first(
    overlaid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "preview", overlaid, "--cutouts", "-o", tmp_path / "all.png", "--json")
    numbers = json.loads(out)["cutouts"]
    bank = open_dataset(overlaid).cutouts("test")
    assert code == 0 and sorted(numbers) == list(range(len(bank["index"])))
    assert np.all(np.diff(bank["score"][numbers]) >= 0)
    worst = numbers[0]
    gate = open_dataset(overlaid).manifest.splits["test"].cutouts_gate
    assert gate == CutoutGate(kept=12, repaired=1, dropped={"obj10__5.png": "nothing can be cut out of it"})
    assert 10 not in bank["label"]
    assert bank["label"][worst] == 28 and bank["score"][worst] < 900 and bank["repaired"].sum() == 1
    sheet = np.asarray(Image.open(tmp_path / "all.png").convert("RGB"))
    tile = np.where(bank["cutouts"][worst, :, :, 1:] == 0, (255, 0, 255), bank["cutouts"][worst, :, :, :1])
    row = tile[18].repeat(2, axis=0).astype(np.uint8)  # enlarged: 36 pixels are shown as 72
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:200, :200], (1, len(row), 3))
    assert (windows[:, :, 0, 0] == row).all((-1, -2)).any(), "the worst one is in the upper left corner"
    code, out, _ = run(capsys, "preview", overlaid, "--cutouts", "--count", 3, "-o", tmp_path / "few.png", "--json")
    assert json.loads(out)["cutouts"] == numbers[:3]
    assert Image.open(tmp_path / "few.png").size[1] < Image.open(tmp_path / "all.png").size[1] + 1


def test_wrong_requests_for_cut_outs(folder: Path, overlaid: Path, tmp_path: Path, capsys: Any) -> None:
    code, _, err = run(capsys, "preview", folder, "--cutouts", "-o", tmp_path / "a.png")
    assert code == 2 and "has no cut-outs" in err
    code, _, err = run(capsys, "preview", overlaid, "--cutouts", "--index", 1, "-o", tmp_path / "a.png")
    assert code == 2 and "--index" in err and not (tmp_path / "a.png").exists()
