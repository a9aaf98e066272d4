"""The steps of the quick start: in order, on models that need no training, and what each leaves when one fails."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionbench.cli import quickstart_steps
from fusionbench.cli.quickstart_steps import Quickstart, draw_samples, quickstart, title
from fusionbench.core.errors import RejectedError, UsageError
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.suites import RowsFailed, load_suite
from fusionbench.results import schema

SUITE = """\
format = "fusionbench.suite/1"
name = "steps"
title = "Steps"
dataset = "fusiondigits"
seeds = [3, 4]
[protocol]
draws = 2
limit = 6
[[models]]
name = "mean-image"
[[models]]
name = "first-view"
seeds = [5]
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "steps.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def made(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Quickstart:
    return quickstart(tmp_path_factory.mktemp("quickstart"), suite_name=str(suite), device="cpu", jobs=1)


def test_every_step_leaves_what_it_says(made: Quickstart) -> None:
    assert made.failed is None and open_dataset(made.data).name == "fusiondigits"
    assert [(row.identity.model.name, row.family) for row in made.rows] == [
        ("mean-image", "trivial"),
        ("mean-image", "trivial"),
        ("first-view", "trivial"),
    ]
    assert {row.id for row in made.rows} == {row.id for row in schema.load_folder(made.results)}
    for sheet in (made.contact_sheet, made.sample_sheet):
        beside = made.results / "fusiondigits" / sheet.name
        assert beside.read_bytes() == sheet.read_bytes(), "the pages can be built from the results alone"
    assert made.site.is_file() and made.site.parent == made.results.parent / "site"


def test_pairs_are_fused_in_colour_and_shown_beside_the_digits(made: Quickstart) -> None:
    folder = made.fused_pairs.parent
    assert {path.name for path in (folder / "fused").glob("*.png")} == {"astronaut.png", "chelsea.png", "coffee.png"}
    with Image.open(folder / "fused" / "coffee.png") as image:
        assert image.mode == "RGB" and image.size == (256, 256)
    beside = made.results / "fusiondigits" / "fused-pairs.png"
    assert beside.read_bytes() == made.fused_pairs.read_bytes() and "-fused-pairs.png" in made.site.read_text()


def test_no_model_that_learns_means_no_reconstructions(made: Quickstart) -> None:
    assert not (made.contact_sheet.parent / "reconstructions.png").exists()


def test_sheets_are_of_the_first_seed_and_of_every_model(made: Quickstart, suite: Path) -> None:
    rules, dataset = load_suite(str(suite)), open_dataset(made.data)
    assert draw_samples(rules, dataset, made.runs) == made.sample_sheet.read_bytes()
    fewer = draw_samples(type(rules)(**{**asdict(rules), "models": rules.models[:1]}), dataset, made.runs)
    with Image.open(io.BytesIO(fewer)) as one, Image.open(made.sample_sheet) as both:
        assert one.format == "PNG" and one.size != both.size, "a model more is a row more"
    assert (made.runs / "steps").is_dir()


def asdict(rules: Any) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in rules.__struct_fields__}


def test_models_have_their_titles() -> None:
    assert (title("cvae"), title("mean-image")) == ("CVAE", "mean image")
    with pytest.raises(UsageError, match="Unknown model"):
        title("cvaee")


def test_a_wrong_budget_or_suite_is_refused_before_anything_is_made(suite: Path, tmp_path: Path) -> None:
    for given in ({"suite_name": str(suite), "budget": "a while"}, {"suite_name": "quikstart"}):
        with pytest.raises(UsageError):
            quickstart(tmp_path / "out", **given)  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()


def test_damaged_data_stop_before_any_training(made: Quickstart, suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        ok, problems = False, ["shard 3 is damaged"]

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained on damaged data")

    monkeypatch.setattr(quickstart_steps, "verify_dataset", lambda folder, regenerate: Report())
    monkeypatch.setattr(quickstart_steps, "run_suite", never)
    with pytest.raises(RejectedError, match=r"shard 3 is damaged; remove the folder and run again"):
        quickstart(made.results.parent, suite_name=str(suite), device="cpu", jobs=1)


def test_rows_that_fail_leave_the_others_on_the_pages(
    made: Quickstart, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_fails(name: str, **where: Any) -> None:
        results = run_suite(name, **where)
        raise RowsFailed("steps", {("first-view", 5): "crashed"}, results[:2])

    monkeypatch.setattr(quickstart_steps, "run_suite", one_fails)
    again = quickstart(made.results.parent, suite_name=str(suite), device="cpu", jobs=1)
    assert again.failed is not None and "first-view" in str(again.failed)
    assert [row.identity.model.name for row in again.rows] == ["mean-image", "mean-image"] and again.site.is_file()
    with Image.open(again.sample_sheet) as one, Image.open(io.BytesIO(all_models(made, suite))) as both:
        assert one.size != both.size, "what failed is not drawn"


def all_models(made: Quickstart, suite: Path) -> bytes:
    return draw_samples(load_suite(str(suite)), open_dataset(made.data), made.runs)


def test_nothing_finished_is_an_error_and_no_page(
    made: Quickstart, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_fail(name: str, **where: Any) -> None:
        raise RowsFailed("steps", {("mean-image", 3): "crashed", ("first-view", 5): "crashed"})

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("pages of nothing")

    monkeypatch.setattr(quickstart_steps, "run_suite", all_fail)
    monkeypatch.setattr(quickstart_steps, "build_board", never)
    with pytest.raises(RowsFailed, match="steps: 2 rows failed"):
        quickstart(made.results.parent, suite_name=str(suite), device="cpu", jobs=1)
