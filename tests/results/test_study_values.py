"""Metric values for a study: from JSON of ``score``, from results, and refused where they are damaged or doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.results.schema import identity_id, load, load_per_image, save
from fusionbench.results.study_values import read_metric_values
from tests.helpers.results import made_up, saved

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "results" / "tno"


def scores(values: dict[str, float | None], metric: str = "vif", dialect: str = "standard/1") -> dict[str, Any]:
    rows = [{"id": name, metric: value, "not_available": {}} for name, value in values.items()]
    return {"dialect": dialect, "images": rows, "mean": {}}


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_one_method_a_file_all_in_one_and_dialects(tmp_path: Path) -> None:
    first = write(tmp_path / "A.json", scores({"1": 0.5, "2": None}))
    other = write(tmp_path / "x.json", scores({"1": 0.9, "2": 0.7}, dialect="cddfuse/1"))
    both = write(tmp_path / "all.json", {"C": scores({"1": 0.1}, "nabf"), "D": scores({"1": 0.2}, "nabf")})
    found = read_metric_values([first, f"A={other}", both])
    assert found.values == {
        "vif": {("1", "A"): 0.5},
        "vif@cddfuse": {("1", "A"): 0.9, ("2", "A"): 0.7},
        "nabf": {("1", "C"): 0.1, ("1", "D"): 0.2},
    }
    assert found.better == {"vif": "higher", "vif@cddfuse": "higher", "nabf": "lower"}
    assert set(found.cells) == {("1", "A"), ("2", "A"), ("1", "C"), ("1", "D")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "not what"),
        ("{}", "not what"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"images": [{"id": "1", "vif": NaN}]}', "has NaN"),
        ({"images": []}, "no list of images"),
        ({"A": 3}, "no list of images"),
        ({"images": [{"id": 1, "vif": 1}]}, "image 0 has no id"),
        ({"images": [{"id": "1", "vif": True}]}, "vif is bool"),
        ({"images": [{"id": "1", "vif": "1"}]}, "vif is str"),
        ({"images": [{"id": "1", "vif": 10**400}]}, "not finite"),
        ({"images": [{"id": "1", "vif": 1e999}]}, "not finite"),
        ({"images": [{"id": "1", "vif": 1}, {"id": "1", "vif": 2}]}, "'1' is there twice"),
        ({"images": [{"id": "1"}]}, "no metric in it"),
        ({"images": [{"id": "1", "vfi": 1}]}, "metric 'vfi' is not known"),
        ({"dialect": 3, "images": [{"id": "1", "vif": 1}]}, "dialect is no name"),
        ({"a\nb": {"images": [{"id": "1", "vif": 1}]}}, "is no name"),
    ],
)
def test_hostile_files_are_one_line(tmp_path: Path, content: Any, words: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content).replace("Infinity", "1e999")
    with pytest.raises(DataError) as caught:
        read_metric_values([write(tmp_path / "m.json", text)])
    assert words in str(caught.value) and "\n" not in str(caught.value) and "m.json" in str(caught.value)


def test_a_value_that_is_there_twice(tmp_path: Path) -> None:
    files = [f"A={write(tmp_path / f'{k}.json', scores({'1': 0.5}))}" for k in "ab"]
    with pytest.raises(DataError, match=r"vif of A on 1 was read already, from .*a\.json"):
        read_metric_values(files)


def test_results_of_folders(tmp_path: Path) -> None:
    first = saved(tmp_path / "pairs", "net", {"vif": [0.5, 0.7], "vif@cddfuse": [0.9, 0.8]}, ids=["a", "b"])
    saved(tmp_path / "pairs", "other", {"vif": [0.1, 0.2], "speed": [1.0, 1.0]}, ids=["a", "b"])
    found = read_metric_values([tmp_path / "pairs"])
    assert found.values["vif"] == {("a", "net"): 0.5, ("b", "net"): 0.7, ("a", "other"): 0.1, ("b", "other"): 0.2}
    assert found.values["vif@cddfuse"] == {("a", "net"): 0.9, ("b", "net"): 0.8} and "speed" not in found.values
    saved(tmp_path / "pairs", "net", {"vif": [0.5, 0.6]}, ids=["a", "b"], seed=1)
    with pytest.raises(DataError, match="'net' on pairs-demo has another result"):
        read_metric_values([tmp_path / "pairs"])
    assert first.exists()
    made_up(tmp_path / "masked")
    tmp_path /= "masked"
    with pytest.raises(UsageError, match="metrics of fused images"):
        read_metric_values([tmp_path])
    with pytest.raises(DataError, match="no such"):
        read_metric_values([tmp_path / "nothing.json"])


def test_forms_and_presets_of_shipped_results(tmp_path: Path) -> None:
    """People saw images as made: stretched forms are passed over, and presets of one model are told by their titles."""
    for seed, (title, stretch) in enumerate([("Rule", False), ("Rule", True), ("Rule, natural", False)]):
        folder = saved(tmp_path / "made", "rule", {"vif": [0.1 * seed, 0.2]}, ids=["a", "b"], seed=seed)
        made = load(folder)
        made.title = title
        made.identity.protocol.params["stretch"] = stretch
        made.id = identity_id(made.identity)
        save(made, tmp_path / "kept", load_per_image(folder))
    found = read_metric_values([tmp_path / "kept"])
    assert found.values["vif"] == {("a", "Rule"): 0.0, ("b", "Rule"): 0.2} | {
        ("a", "Rule, natural"): 0.2,
        ("b", "Rule, natural"): 0.2,
    }


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="needs the shipped results")
def test_a_shipped_folder_is_read() -> None:
    found = read_metric_values([SHIPPED])
    methods = {method for _, method in found.cells}
    assert {"average", "DIDFuse", "DIDFuse, authors' weights", "gradient-domain fusion, natural"} <= methods
