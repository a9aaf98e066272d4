"""Suites: validation of their files, and a run that goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fusionbench.cli.quickstart_steps import quickstart
from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.recipes import list_recipes, load_recipe, recipe_versions
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.suites import list_suites, load_suite, run_folder, run_suite
from fusionbench.models import MODELS
from fusionbench.sources import SOURCES, is_stack_source

SMALL = """
format = "fusionbench.suite/1"
name = "small"
title = "small"
dataset = "fusiondigits"
[protocol]
draws = 2
limit = 8
[[models]]
name = "mean-image"
[[models]]
name = "fcn"
preset = "tiny"
training = {epochs = 0.03}
[[models]]
name = "fcn"
label = "fcn-wide"
preset = "tiny"
params = {channels = 6}
training = {epochs = 0.03}
seeds = [1, 2]
"""


@pytest.mark.parametrize("name", list_suites())
def test_shipped_suites_name_things_that_exist(name: str) -> None:
    suite = load_suite(name)
    of_stacks = suite.protocol.name.startswith("multi-")  # a recipe of stacks, or a source of them
    pairs = not PROTOCOLS.get(suite.protocol.name).trains_on_dataset and not (
        of_stacks and not is_stack_source(suite.dataset)
    )
    known = (
        SOURCES.names()
        if pairs
        else [*list_recipes(), *(f"{n}@{v}" for n in list_recipes() for v in recipe_versions(n))]
    )
    assert suite.name == name and suite.dataset in known
    # a suite of a recipe with several versions says which one its results are made with
    assert pairs or "@" in suite.dataset or len(recipe_versions(suite.dataset)) == 1
    assert suite.train is None or (suite.train in list_recipes() and "train" in load_recipe(suite.train).splits)
    for row in suite.models:
        cls = MODELS.get(row.name)
        assert not pairs or suite.train is not None or not hasattr(cls, "loss")
        assert row.preset is None or row.preset in cls.PRESETS
    trivial = {"copy-a", "copy-b", "average"} if pairs or of_stacks else {"mean-image", "first-view", "max-view"}
    assert trivial <= {row.name for row in suite.models}


def test_run_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    settings: dict[str, Any] = {"data_root": tmp_path / "data", "out": tmp_path / "results", "jobs": 1}
    first = run_suite(path, **settings)
    assert [(r.title, r.identity.training.seed) for r in first] == [  # type: ignore[union-attr]
        ("mean image", 0),
        ("FCN", 0),
        ("FCN", 1),
        ("FCN", 2),
    ]
    assert all(result.identity.dataset.n == 8 and result.identity.protocol.params["draws"] == 2 for result in first)
    assert first[2].identity.model.params["channels"] == 6
    assert len({result.id for result in first}) == 4
    assert (run_folder(load_suite(path), load_suite(path).models[2], 2, tmp_path / "runs") / "run.json").is_file()
    monkeypatch.setattr("fusionbench.evaluation.masked._measure", None)  # nothing is measured again
    assert [result.id for result in run_suite(path, **settings)] == [result.id for result in first]
    only = run_suite(path, models=["fcn"], **settings)
    assert [result.id for result in only] == [first[1].id]
    monkeypatch.undo()
    [less] = run_suite(path, models=["fcn"], limit=5, **settings)
    assert less.identity.dataset.n == 5 and less.id != first[1].id
    with pytest.raises(UsageError, match="Did you mean 'fcn-wide'"):
        run_suite(path, models=["fcn-wid"], **settings)


def test_processes_change_no_score(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    data = tmp_path / "data"
    one = run_suite(path, data_root=data, out=tmp_path / "1" / "results", jobs=1, models=["fcn", "fcn-wide"])
    two = run_suite(path, data_root=data, out=tmp_path / "2" / "results", jobs=2, models=["fcn", "fcn-wide"])
    assert [result.id for result in one] == [result.id for result in two]
    for a, b in zip(one, two, strict=True):
        assert {key: score.mean for key, score in a.scores.items()} == {
            key: score.mean for key, score in b.scores.items()
        }


def test_a_budget_has_folders_of_its_own_and_marks_its_results(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    [result] = run_suite(
        path, data_root=tmp_path, out=tmp_path / "results", jobs=1, models=["fcn"], budget="1 step", draws=3
    )
    assert result.cut and result.identity.protocol.params["draws"] == 3
    assert not result.pictures
    settings: dict[str, Any] = {"data_root": tmp_path, "out": tmp_path / "results", "jobs": 1, "budget": "1 step"}
    models = ["mean-image", "fcn"]
    trivial, found = run_suite(path, models=models, draws=3, sheets=True, **settings)
    assert found.id == result.id and not trivial.pictures
    assert sorted(found.pictures.values()) == ["reconstructions.png", "samples.png"]
    assert all((found.folder(tmp_path / "results") / name).is_file() for name in found.pictures.values())
    assert (tmp_path / "runs/small/fcn-seed0-1step").is_dir()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "small"', 'nmae = "small"', "nmae"),
        ("draws = 2", "draws = 0", "draws"),
        ('label = "fcn-wide"', "", "two rows are called 'fcn'"),
        ('title = "small"', "title = small", "not a suite"),
        ('format = "fusionbench.suite/1"', 'format = "fusionbench.suite/2"', "format"),
        ('name = "small"', 'name = "../small"', "name"),
    ],
)
def test_damaged_suites(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        load_suite(path)
    assert str(path) in str(caught.value)


def test_unknown_suites(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'quickstart'"):
        load_suite("quikstart")
    with pytest.raises(DataError, match="no such suite"):
        load_suite(tmp_path / "none.toml")


def test_a_wrong_budget_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="banana"):
        run_suite("quickstart", data_root=tmp_path / "data", out=tmp_path / "results", budget="banana")
    with pytest.raises(UsageError, match="banana"):
        quickstart(tmp_path / "start", budget="banana")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["fusionmnist-cpu", "fusioncoil-cpu", "fusionceleba-half-cpu"])
def test_results_that_are_kept_are_of_the_data_set_that_their_suite_names(name: str) -> None:
    """Another version of the recipe would be another data set, and they could not be compared with new ones."""
    recipe = load_recipe(load_suite(name).dataset)
    kept = sorted((Path(__file__).parents[2] / "benchmarks" / "results" / name).rglob("result.json"))
    assert len(kept) > 3
    sets = [json.loads(path.read_text())["identity"]["dataset"] for path in kept]
    pinned = recipe.expect.id or sets[0]["id"]  # of a source that everyone makes for himself none is pinned
    for found in sets:
        assert (found["name"], found["version"], found["id"]) == (recipe.name, recipe.version, pinned)


def test_a_suite_names_a_version_in_full(tmp_path: Path) -> None:
    for wrong in ("fusioncoil@", "fusioncoil@x", "fusioncoil@1.0.0\\n", "fusioncoil@../../etc"):
        (tmp_path / "s.toml").write_text(SMALL.replace('dataset = "fusiondigits"', f'dataset = "{wrong}"'))
        with pytest.raises(DataError, match=r"dataset"):
            load_suite(tmp_path / "s.toml")
