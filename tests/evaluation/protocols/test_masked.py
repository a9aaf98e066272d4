"""The protocol ``masked/1``: its options reach the scoring, curves and sheets lie beside the result."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.masked import MaskedImages, Protocol, evaluate
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.masked import PROTOCOL, MaskedProtocol
from fusionbench.evaluation.suites import load_suite
from fusionbench.models import create_model
from fusionbench.training.loop import train
from tests.helpers.learning import MemoryDataset

DATA = MemoryDataset(train=32, test=10)
OPTIONS = PROTOCOL.options(draws=3, seed=2, paper_batch=4, limit=6)
IMAGES = MaskedImages(DATA, "test", 6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "cvae"
    train("cvae", DATA, out=out, preset="tiny", device="cpu", budget="2 steps", training={"batch": 16})
    return out


def test_it_is_registered_under_its_name() -> None:
    assert PROTOCOLS.get("masked/1") is PROTOCOL and isinstance(PROTOCOL, MaskedProtocol)


def test_settings_are_the_options() -> None:
    assert dataclasses.asdict(PROTOCOL.settings(OPTIONS)) == {
        "draws": 3, "seed": 2, "paper_batch": 4, "name": "masked", "version": "1",
    }  # fmt: skip
    assert dataclasses.asdict(PROTOCOL.settings(PROTOCOL.options())) == dataclasses.asdict(Protocol())
    identity = PROTOCOL.identity(OPTIONS, IMAGES)
    assert identity.seed == 2 and identity.params["inputs"] == [0, 1, 2, 3] and identity.params["draws"] == 3
    assert identity.params["likelihood_crop"] == [12, 12] and identity.params["likelihood_dims"] == 144


def test_the_first_images_of_a_split() -> None:
    assert IMAGES.ids.tolist() == list(range(6)) and IMAGES.identity.n == 6
    assert MaskedImages(DATA, "test", 99).ids.tolist() == list(range(10))
    assert PROTOCOL.spec(IMAGES) == DATA.spec


def test_scores_are_those_of_the_function(run: Path, tmp_path: Path) -> None:
    result = PROTOCOL.evaluate(run, IMAGES, OPTIONS, out=tmp_path, device="cpu", title="mine")
    by_hand = evaluate(run, DATA, protocol=Protocol(3, 2, 4), out=None, device="cpu", limit=6)
    assert result.id == by_hand.id and result.title == "mine" and result.identity.dataset.n == 6
    assert {k: s.mean for k, s in result.scores.items()} == {k: s.mean for k, s in by_hand.scores.items()}
    assert not (result.folder(tmp_path) / "curves.csv").exists()


def test_curves_end_at_the_scores(run: Path, tmp_path: Path) -> None:
    result = PROTOCOL.evaluate(run, IMAGES, OPTIONS, out=tmp_path, device="cpu", curves=True)
    rows = list(csv.DictReader((result.folder(tmp_path) / "curves.csv").open()))
    assert [(row["inputs"], row["draws"]) for row in rows] == [(n, k) for n in "0123" for k in "123"]
    for row in rows:
        if row["draws"] == "3":
            assert float(row["mse_min"]) == pytest.approx(result.scores[f"mse_min@{row['inputs']}"].mean, rel=1e-5)


def test_a_model_without_draws_has_scores_and_no_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    train("max-view", DATA, out=out, device="cpu")
    result = PROTOCOL.evaluate(out, IMAGES, OPTIONS, out=tmp_path, device="cpu", curves=True)
    assert "No curves: " in capsys.readouterr().err and result.scores["mse_min@3"].mean is not None
    assert not (result.folder(tmp_path) / "curves.csv").exists()


def test_sheets_are_drawn_for_rows_that_are_not_trivial_and_once(run: Path, tmp_path: Path) -> None:
    result = PROTOCOL.evaluate(run, IMAGES, OPTIONS, out=tmp_path, device="cpu")
    PROTOCOL.draw_row(run, IMAGES, result, tmp_path)
    sheet = result.folder(tmp_path) / "samples.png"
    drawn = sheet.stat().st_mtime_ns
    PROTOCOL.draw_row(run, IMAGES, result, tmp_path)
    assert sheet.stat().st_mtime_ns == drawn
    trivial = PROTOCOL.evaluate(create_model("max-view", DATA.spec), IMAGES, OPTIONS, out=tmp_path, device="cpu")
    PROTOCOL.draw_row(create_model("max-view", DATA.spec), IMAGES, trivial, tmp_path)
    assert not (trivial.folder(tmp_path) / "samples.png").exists()


def test_the_data_set_of_a_suite_is_made_once_and_is_what_rows_are_trained_on(tmp_path: Path) -> None:
    suite = load_suite("quickstart")
    data = PROTOCOL.open_suite(suite, data_root=tmp_path)
    folder = build_dataset(load_recipe(suite.dataset), None, tmp_path)
    assert PROTOCOL.dataset_folder(data) == folder and data.split == suite.split
    assert data.identity.name == suite.dataset and data.limit == suite.protocol.limit


def test_rows_cannot_be_trained_on_a_data_set_in_memory() -> None:
    with pytest.raises(UsageError, match="is not on disk"):
        PROTOCOL.dataset_folder(IMAGES)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"paper_batch": -1}, {"draws": "many"}, {"stretch": True}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        PROTOCOL.options(**wrong)


def test_folders_of_fused_images_are_not_for_it() -> None:
    with pytest.raises(UsageError, match="no suite of registered pairs"):
        PROTOCOL.open_images(load_suite("quickstart"), Path("a"), Path("b"))
