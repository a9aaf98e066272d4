"""``list`` and ``describe``: arrays of objects with names, cards, suggestions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation import catalogue
from fusionbench.metrics import LIBRARY_NAMES, METRICS
from fusionbench.models import MODELS
from tests.cli.runner import run


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_json_is_an_array_of_named_objects(kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "list", kind, "--json", "--data-root", tmp_path)
    cards = json.loads(out)
    assert code == 0 and err == "" and isinstance(cards, list)
    assert [card["name"] for card in cards] == catalogue.list_names(kind, tmp_path)
    assert all("error" not in card for card in cards), "everything that ships can be loaded"
    code, out, _ = run(capsys, "list", kind, "--data-root", tmp_path)
    assert code == 0 and all(card["name"] in out for card in cards)


def test_names_are_those_of_the_registries(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "list", "--json")[1])
    assert [entry["name"] for entry in found if entry["kind"] == "models"] == MODELS.names()
    metrics = [entry["name"] for entry in found if entry["kind"] == "metrics"]
    assert metrics == sorted([*METRICS.names(), *LIBRARY_NAMES]), "those of other libraries, too"
    assert "fusiondigits" in run(capsys, "list")[1]


def test_pattern_filters(capsys: pytest.CaptureFixture[str]) -> None:
    cards = json.loads(run(capsys, "list", "models", "cvae*", "--json")[1])
    assert cards and all(card["name"].startswith("cvae") for card in cards)


def test_every_name_has_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("models", "metrics", "sources", "recipes", "suites"):
        for name in catalogue.list_names(kind):
            card = json.loads(run(capsys, "describe", name, "--kind", kind, "--json")[1])
            assert card["name"] == name and card["kind"] == kind.removesuffix("s") and card["title"]


def test_a_card_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "describe", "fusionvae")
    assert code == 0 and out.startswith("fusionvae · model\nFusionVAE\n") and "fusionmnist:" in out
    assert max(map(len, out.splitlines())) <= 120


def test_data_sets_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_dataset(load_recipe("fusiondigits"), out=tmp_path)
    (card,) = json.loads(run(capsys, "list", "datasets", "--json", "--data-root", tmp_path)[1])
    assert card["folder"] == str(folder) and card["splits"] == {"test": 296, "train": 1501}
    both = run(capsys, "describe", "fusiondigits", "--data-root", tmp_path)[1]
    assert "fusiondigits · recipe" in both and "fusiondigits · dataset" in both
    (folder / "manifest.json").write_text("{}")
    code, out, _ = run(capsys, "list", "datasets", "--data-root", tmp_path)
    assert code == 0 and "manifest" in out, "a damaged data set is named and does not end the list"


def test_a_build_does_not_change_what_scripts_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The documented ``json.load(sys.stdin)['id']`` failed once the quick start had built the data set."""

    def described(*more: str) -> dict[str, Any]:
        code, out, _ = run(capsys, "describe", "fusiondigits", "--json", "--data-root", tmp_path, *more)
        found = json.loads(out)
        assert code == 0 and isinstance(found, dict)
        return found

    before = described()
    assert (before["kind"], before["built"]) == ("recipe", [])
    folder = build_dataset(load_recipe("fusiondigits"), out=tmp_path)
    dataset = described("--kind", "datasets")
    assert dataset["folder"] == str(folder) and dataset["id"] == before["id"]
    assert described() == {**before, "built": [dataset]}
    shutil.copytree(folder, folder.parent.parent / "9.9.9" / folder.name)
    assert len(described()["built"]) == 2, "each build"
    shared = json.loads(run(capsys, "describe", "fusionmnist", "--json", "--data-root", tmp_path)[1])
    assert [(card["kind"], "built" in card) for card in shared] == [("recipe", True), ("suite", False)]


def test_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "describe", "fusionvea")
    assert (code, out) == (2, "") and "Did you mean 'fusionvae'" in err and err.count("\n") == 1
    code, _, err = run(capsys, "describe", "vif", "--kind", "models")
    assert code == 2 and "Unknown model 'vif'" in err
    assert run(capsys, "list", "modles")[0] == 2
    code, _, err = run(capsys, "lst")
    assert code == 2 and "Did you mean 'list'" in err


def test_versions_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    newest, old = (
        json.loads(run(capsys, "describe", name, "--kind", "recipes", "--json")[1])
        for name in ("fusionceleba", "fusionceleba@1.0.0")
    )
    assert (newest["version"], old["version"], old["versions"]) == ("2.0.0", "1.0.0", ["2.0.0", "1.0.0"])
    assert newest["hash"] != old["hash"] and old["name"] == "fusionceleba@1.0.0"
    code, _, err = run(capsys, "describe", "fusionceleba@3.0.0")
    assert code == 2 and "version of fusionceleba" in err and "1.0.0" in err
    code, out, _ = run(capsys, "recipe", "check", "fusionceleba@1.0.0")
    assert code == 0 and "fusionceleba 1.0.0" in out
    listed = run(capsys, "list", "recipes", "--json")[1]
    assert not [card for card in json.loads(listed) if "@" in card["name"]]
