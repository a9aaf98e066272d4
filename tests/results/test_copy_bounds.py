"""The bound of copying: by hand, by direction, on the shipped tables, and against rows that only have the name."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from fusionbench.results import tables
from fusionbench.results.comparison import compare_results
from fusionbench.results.copy_bounds import Bound, copy_bounds
from fusionbench.results.entries import read_entries
from fusionbench.results.schema import Origin, load, load_per_image, save
from tests.helpers.results import saved

A = {"vif": [0.25, 0.75, 0.5, 1.0], "sd": [1.0, 2.0, 3.0, 4.0]}
B = {"vif": [0.5, 0.25, 0.5, 0.0], "sd": [4.0, 3.0, 2.0, 1.0]}
SHIPPED = Path(__file__).parents[2] / "benchmarks" / "results"


def test_the_better_of_both_is_taken_for_each_image(tmp_path: Path) -> None:
    for name, values in (("copy-a", A), ("copy-b", B)):
        saved(tmp_path, name, values, family="trivial")
    found = copy_bounds(read_entries([tmp_path]), ["vif", "sd", "mi"])
    assert found == {
        "weights": {"vif": Bound((0.5 + 0.75 + 0.5 + 1.0) / 4, 4, "higher"), "sd": Bound(3.5, 4, "higher")}
    }
    assert found["weights"]["sd"].passed_by(3.6) and not found["weights"]["sd"].passed_by(3.5)


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    for name, values in (("copy-a", A), ("copy-b", B)):
        saved(tmp_path, name, values, family="trivial", better="lower")
    bound = copy_bounds(read_entries([tmp_path]), ["sd"])["weights"]["sd"]
    assert bound.mean == 1.5 and bound.passed_by(1.4) and not bound.passed_by(1.6)


def test_no_bound_without_both_copies_or_a_value(tmp_path: Path) -> None:
    saved(tmp_path / "one", "copy-a", A, family="trivial")
    assert copy_bounds(read_entries([tmp_path / "one"]), ["vif"]) == {}
    saved(tmp_path / "one", "copy-b", {"sd": B["sd"]}, family="trivial")
    assert list(copy_bounds(read_entries([tmp_path / "one"]), ["vif", "sd"])["weights"]) == ["sd"]


def test_a_submission_with_the_name_of_a_copy_is_none(tmp_path: Path) -> None:
    saved(tmp_path, "copy-a", A, family="trivial")
    folder = saved(tmp_path, "copy-b", {key: [9.0] * 4 for key in B}, family="trivial")
    result, table = load(folder), load_per_image(folder)
    result.origin = Origin(kind="submission", submitter="Eve")
    save(result, tmp_path, table)
    assert copy_bounds(read_entries([tmp_path]), ["sd"]) == {}


def test_every_form_of_a_comparison_has_the_bound(tmp_path: Path) -> None:
    for name, values in (("copy-a", A), ("copy-b", B)):
        saved(tmp_path, name, values, family="trivial")
    saved(tmp_path, "net", {"vif": [0.9] * 4, "sd": [3.0] * 4})
    found = compare_results([tmp_path], resamples=200)
    data = json.loads(json.dumps(tables.as_data(found)))
    assert data["best_copy"]["weights"]["sd"] == {"mean": 3.5, "images": 4}
    net = next(row for row in data["rows"] if row["name"] == "net")["scores"]
    assert (net["vif"]["beyond_copying"], net["sd"]["beyond_copying"]) == (True, False)
    assert "| *best copy, image by image* |" in tables.as_markdown(found) and "0.69" in tables.as_markdown(found)
    assert "\\emph{best copy, image by image} &" in tables.as_latex(found)
    (table,) = tables.as_tables(found, 200)
    assert "best copy, image by image" in list(table.columns[0].cells)


@pytest.mark.parametrize(("key", "reached"), [("qabf", 0.650), ("sd", 51.8), ("mi", 7.60)])
def test_what_copying_reaches_on_tno(key: str, reached: float) -> None:
    """Worked out from the shipped CSV files alone, and what the tables say of it."""
    columns = []
    for name in ("copy-a", "copy-b"):
        paths = [load(path) for path in SHIPPED.glob(f"tno/{name}/*/result.json")]
        (plain,) = (result for result in paths if not result.stretched)
        text = (plain.folder(SHIPPED) / "images.csv").read_text()
        columns.append({line["id"]: float(line[key]) for line in csv.DictReader(text.splitlines())})
    by_hand = sum(max(columns[0][stem], columns[1][stem]) for stem in columns[0]) / 25
    bound = copy_bounds(read_entries(sorted(SHIPPED.glob("tno/copy-*/*/result.json"))), [key])["weights"][key]
    assert bound.mean == pytest.approx(by_hand, rel=1e-12) and bound.mean == pytest.approx(reached, rel=2e-3)
