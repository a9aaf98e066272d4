"""Cards of everything that has a name; one bad plugin or damaged folder costs one line and not the list."""

from __future__ import annotations

import inspect
import json
import tomllib
from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation import catalogue
from fusionbench.metrics import METRICS, get_metric
from fusionbench.models import MODELS
from fusionbench.sources import SOURCES

ROOT = Path(__file__).parents[2]


def test_names_of_a_kind() -> None:
    assert catalogue.list_names("models") == MODELS.names() and catalogue.list_names("sources") == SOURCES.names()
    assert set(catalogue.list_names("suites")) == {path.stem for path in (ROOT / "benchmarks").glob("*.toml")}
    recipes = {path.stem.partition("@")[0] for path in (ROOT / "datasets_recipes").glob("*.toml")}
    assert set(catalogue.list_names("recipes")) == recipes
    ours = ["detection/1", "masked/1", "multi-exposure/1", "multi-focus/1", "pairs-robust/1", "pairs/1", "probe/1"]
    assert catalogue.list_names("protocols") == ours


def test_a_card_of_a_metric_is_its_record_and_can_be_json() -> None:
    metric, card = get_metric("vif"), catalogue.metric_card("vif")
    assert card["title"] == metric.title and card["tolerance"]["atol"] == metric.tolerance.atol
    assert card["range"][1] is None and card["range"][0] == metric.range[0], "JSON has no infinity"
    assert "function" not in card and "name" not in card
    for name in METRICS.names():
        text = json.dumps(catalogue.metric_card(name), allow_nan=False)
        assert "Infinity" not in text


def test_where_a_card_points_is_the_class(tmp_path: Path) -> None:
    module, _, line = catalogue.model_card("average")["where"].rpartition(":")
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert path.read_text().splitlines()[int(line) - 1].startswith(("class Average", "@"))
    assert inspect.getsourcefile(MODELS.get("average")) == str(path)


@pytest.mark.parametrize(
    ("model", "abilities"),
    [
        ("average", ["fuses"]),
        ("mean-image", ["fits statistics in one pass", "fuses"]),
        ("fusionvae", ["trains by gradients", "fuses", "samples", "has a likelihood"]),
    ],
)
def test_abilities_of_a_model(model: str, abilities: list[str]) -> None:
    card = catalogue.model_card(model)
    assert card["abilities"] == abilities
    assert set(card["presets"]) == set(MODELS.get(model).PRESETS)


def test_cards_of_suites_and_recipes_say_what_their_files_say() -> None:
    suite = tomllib.loads((ROOT / "benchmarks/pairs-demo.toml").read_text())
    card = catalogue.suite_card("pairs-demo")
    assert (card["title"], card["dataset"], card["split"]) == (suite["title"], suite["dataset"], suite["split"])
    assert len(card["models"]) == len(suite["models"])
    assert card["protocol"]["name"] == "pairs/1" and "range_a" not in card["protocol"], "what is not set is not shown"
    recipe = catalogue.recipe_card("fusiondigits")
    assert recipe["source"] == "digits" and recipe["image"] == [32, 32, 1] and recipe["views"] == 3
    protocol = catalogue.protocol_card("pairs/1")
    assert protocol["options"] == {"limit": None, "stretch": False, "range_a": None, "range_b": None}


def test_data_sets_below_a_folder(tmp_path: Path) -> None:
    assert catalogue.list_cards("datasets", tmp_path) == [] == catalogue.list_names("datasets", tmp_path / "nothing")
    folder = build_dataset(load_recipe("fusiondigits"), out=tmp_path)
    (card,) = catalogue.list_cards("datasets", tmp_path)
    assert card["name"] == "fusiondigits" and card["folder"] == str(folder)
    assert card["splits"] == {"test": 296, "train": 1501}
    both = catalogue.find_cards("fusiondigits", root=tmp_path)
    assert [one["kind"] for one in both] == ["recipe", "dataset"] and both[0]["id"] == both[1]["id"]


def test_a_damaged_data_set_is_one_card_with_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "broken/1.0.0/abcdef"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    build_dataset(load_recipe("fusiondigits"), out=tmp_path)
    bad, good = catalogue.list_cards("datasets", tmp_path)
    assert bad["name"] == "broken" and "manifest.json" in bad["error"] and "error" not in good
    with pytest.raises(UsageError, match=r"manifest\.json"):
        catalogue.find_cards("broken", root=tmp_path)


def test_a_plugin_that_cannot_be_imported_is_one_card_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> catalogue.Card:
        if name == "average":
            raise ImportError("no module named nothing")
        return {"title": name}

    monkeypatch.setitem(catalogue._CARDS, "models", broken)
    cards = {card["name"]: card for card in catalogue.list_cards("models")}
    assert cards["average"]["error"] == "no module named nothing" and cards["average"]["origin"]
    assert "error" not in cards["fcn"] and list(cards) == MODELS.names()


def test_unknown_names_have_a_suggestion_from_their_kinds() -> None:
    with pytest.raises(UsageError, match=r"Unknown name 'fusionvea'.*Did you mean 'fusionvae'"):
        catalogue.find_cards("fusionvea")
    with pytest.raises(UsageError, match="Unknown model 'vif'"):
        catalogue.find_cards("vif", "models")
    (card,) = catalogue.find_cards("vif", "metrics")
    assert card["kind"] == "metric" and card["name"] == "vif"
