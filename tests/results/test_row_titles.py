"""Variants of one method have different titles in every table: by what differs between them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionbench.results import schema, tables
from fusionbench.results.comparison import compare_results
from fusionbench.results.entries import read_entries
from fusionbench.results.row_titles import first_differences
from tests.helpers.results import made_up


def variant(root: Path, params: Mapping[str, Any], training: Mapping[str, Any] | None = None, **more: Any) -> None:
    """A result of a model called Mix with these parameters, trained as ``training`` says."""
    folder = made_up(root / "made", "mix", title="Mix", **more)
    result, table = schema.load(folder), schema.load_per_image(folder)
    result.identity.model.params = dict(params)
    if result.identity.training is not None:
        for key, value in (training or {}).items():
            setattr(result.identity.training, key, value)
    result.id = schema.identity_id(result.identity)
    for file in folder.iterdir():
        file.unlink()
    schema.save(result, root, table)


def titles(root: Path) -> set[str]:
    return {entry.title for entry in read_entries([root])}


def test_a_parameter_that_differs_stands_in_every_form(tmp_path: Path) -> None:
    for w in (0.2, 0.7, 2):
        variant(tmp_path, {"w": w, "same": True})
    made_up(tmp_path, "other")
    found = compare_results([tmp_path], scores=["mse_min@mean"], resamples=200)
    wanted = {"Mix w=0.2", "Mix w=0.7", "Mix w=2", "OTHER"}
    rows = tables.as_data(found)["rows"]
    assert {row["title"] for row in rows} == wanted
    assert {row["title"]: row["params"] for row in rows}["Mix w=0.7"] == {"w": 0.7, "same": True}
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert [line["title"] for line in lines] == [row["title"] for row in rows]
    assert [json.loads(line["params"]) for line in lines] == [row["params"] for row in rows]
    assert [line["id"].split() for line in lines] == [row["ids"] for row in rows]
    for text in (tables.as_markdown(found), tables.as_latex(found), found._repr_html_()):
        assert all(title in text for title in wanted)


def test_parameters_that_are_not_set_are_not_shown(tmp_path: Path) -> None:
    variant(tmp_path, {})
    variant(tmp_path, {"w": 0.7, "k": 3})
    assert titles(tmp_path) == {"Mix", "Mix k=3 w=0.7"}


def test_a_preset_stands_for_many_parameters(tmp_path: Path) -> None:
    for number, preset in enumerate(("small", "large")):
        variant(tmp_path, {f"p{n}": number for n in range(9)}, {"preset": preset})
    assert titles(tmp_path) == {"Mix preset=small", "Mix preset=large"}


def test_how_it_was_trained_is_next(tmp_path: Path) -> None:
    variant(tmp_path, {"w": 1}, {"steps": 300, "planned_steps": 300})
    variant(tmp_path, {"w": 1}, {"dataset_id": "a" * 64})
    variant(tmp_path, {"w": 1}, {"dataset_id": "b" * 64})
    assert titles(tmp_path) == {"Mix", "Mix data=aaaaaaaa", "Mix data=bbbbbbbb"}


def test_else_the_id_tells_them_apart(tmp_path: Path) -> None:
    for letter in "ab":
        variant(tmp_path, {"w": "x" * 50 + letter}, family="trivial")
    ids = {entry.results[0].id[:8] for entry in read_entries([tmp_path])}
    assert titles(tmp_path) == {f"Mix {one}" for one in ids} and len(ids) == 2


def test_training_seeds_stay_one_row_without_a_suffix(tmp_path: Path) -> None:
    variant(tmp_path, {"w": 1}, seed=0)
    variant(tmp_path, {"w": 1}, seed=1)
    (entry,) = read_entries([tmp_path])
    assert entry.title == "Mix" and len(entry.results) == 2


def test_rows_that_tables_tell_apart_already_keep_their_title(tmp_path: Path) -> None:
    variant(tmp_path, {"w": 1})
    variant(tmp_path, {"w": 1}, cut=True)
    assert titles(tmp_path) == {"Mix"}


def test_values_are_one_line_and_not_long() -> None:
    one, other = first_differences([{"text": "a\nb" + "x" * 90}, {"text": [1, 2]}], ["#1", "#2"])
    assert other == "text=[1, 2]" and "\n" not in one and len(one) == len("text=") + 40
