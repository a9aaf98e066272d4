"""Records of published numbers: what is printed is what is kept, and rows have an identity of their own."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError, RejectedError
from fusionbench.results import schema
from fusionbench.results.published import (
    Record,
    accept_record,
    is_record,
    pack,
    paper_of,
    read_published,
    results_of,
    shipped,
    template,
)

DATA = Path(__file__).parents[2] / "fusionbench" / "board" / "data"


@pytest.fixture
def table() -> dict[str, Any]:
    """The template, for a method that does not come with fusionbench."""
    found = tomllib.loads(template())
    found["rows"][0]["title"] = "Another"
    return found


def written(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(json.dumps(table))
    return path


def record(path: Path) -> Record:
    found, problems = read_published(path)
    assert found is not None and problems == []
    return found


def test_records_are_told_from_archives_by_their_name() -> None:
    assert [is_record(Path(name)) for name in ("a.json", "a.toml", "a.zip", "a", "json")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(template())
    out = pack(tmp_path / "a.toml", tmp_path / "a.json")
    assert record(out) == record(tmp_path / "a.toml")
    kept = json.loads(out.read_text())
    assert kept["rows"][0]["scores"]["mse_min@0"] == "3.14", "numbers stay text, with their places"


def test_a_printed_number_times_its_scale(table: dict[str, Any], tmp_path: Path) -> None:
    (result,) = results_of(record(written(tmp_path / "a.json", table)))
    printed = table["rows"][0]["scores"]
    for key, entry in printed.items():
        metric = table["metrics"][key.partition("@")[0]]
        text = entry if isinstance(entry, str) else entry["value"]
        value = Decimal(text) * Decimal(metric["scale"])
        score = result.scores[key]
        assert score.mean == float(value) and score.extra["printed"] == text
        assert score.extra["places"] == len(text.partition(".")[2]) + 2, "the scale is 0.01"
        assert (score.n, score.unit, score.better, score.sd, score.ci95) == (10000, metric["unit"], "lower", None, None)
    assert result.scores["nll_bpd@0"].extra["runs_mean"] == pytest.approx(0.1591)
    assert result.scores["nll_bpd@0"].extra["runs_sd"] == pytest.approx(0.0003)
    assert result.scores["nll_bpd@0"].extra["dims"] == 784 and "dims" not in result.scores["mse_min@0"].extra
    assert result.scores["nll_bpd@0"].extra["table"] == "Table 1 (best of runs), Table 7 (mean)"


def test_the_identity_is_the_row_of_the_paper_and_not_its_numbers(table: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    (first,) = results_of(record(written(path, table)))
    table["rows"][0]["scores"]["mse_min@0"] = "9.99"
    table["entered_by"], table["caveats"] = "Another Reader", []
    (corrected,) = results_of(record(written(path, table)))
    assert corrected.id == first.id and corrected.scores != first.scores, "a correction replaces"
    assert first.id == schema.identity_id(first.identity) and first.status == "published"
    for change in ({"title": "Other"}, {"model": "other"}):
        other = {**table, "rows": [{**table["rows"][0], **change}]}
        assert results_of(record(written(path, other)))[0].id != first.id
    (other_paper,) = results_of(
        record(written(path, {**table, "paper": {**table["paper"], "url": "https://example.org/other"}}))
    )
    assert other_paper.id != first.id


@pytest.mark.parametrize(
    ("dialect", "key"), [("standard", "vif"), ("cddfuse", "vif@cddfuse"), ("unnamed", "vif@unnamed")]
)
def test_numbers_of_another_definition_have_its_name(
    tmp_path: Path, dialect: str, key: str, table: dict[str, Any]
) -> None:
    table |= {"dataset": "tno", "track": "pairs", "dialect": dialect}
    table["metrics"] = {"vif": {"unit": "1", "better": "higher", "table": "Table 1"}}
    table["rows"] = [{"title": "T", "model": "t", "scores": {"vif": "0.80"}}]
    (result,) = results_of(record(written(tmp_path / "a.json", table)))
    assert list(result.scores) == [key] and result.scores[key].mean == 0.8 and result.scores[key].better == "higher"


def test_accepting_writes_a_result_a_row_and_never_replaces_other_numbers(
    table: dict[str, Any], tmp_path: Path
) -> None:
    table["rows"].append({"title": "Second", "model": "second", "scores": {"mse_min@1": "2.00"}})
    path, out = written(tmp_path / "a.json", table), tmp_path / "results"
    folders = accept_record(path, out)
    assert [schema.load(folder).title for folder in folders] == ["Another", "Second"]
    assert schema.load(folders[1]).scores["mse_min@1"].mean == 0.02
    before = {file: file.read_bytes() for file in out.rglob("*.json")}
    assert accept_record(path, out) == folders and before == {file: file.read_bytes() for file in out.rglob("*.json")}
    table["rows"][1]["scores"]["mse_min@1"] = "2.50"
    with pytest.raises(RejectedError, match=r"Second: entered before with other numbers; remove .*results"):
        accept_record(written(path, table), out)
    assert before == {file: file.read_bytes() for file in out.rglob("*.json")}, (
        "nothing is written, of the first row either"
    )


def test_what_has_problems_is_neither_packed_nor_accepted(table: dict[str, Any], tmp_path: Path) -> None:
    table["dataset"], table["rows"][0]["scores"]["mse_min@9"] = "imagenet", "400"
    path = written(tmp_path / "a.json", table)
    _, problems = read_published(path)
    assert len(problems) == 2 and all("\n" not in str(problem) for problem in problems), "all at once"
    for act in (lambda: pack(path, tmp_path / "b.json"), lambda: accept_record(path, tmp_path / "results")):
        with pytest.raises(RejectedError, match=r"imagenet.*4\.00"):
            act()
    assert sorted(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match=r"none\.json: no such submission"):
        read_published(tmp_path / "none.json")


@pytest.mark.parametrize("authors", [", B. Two", " ", " and B. Two", "1, B. Two", "(), B. Two"])
def test_authors_begin_with_a_name(table: dict[str, Any], tmp_path: Path, authors: str) -> None:
    table["paper"]["authors"] = authors
    path = written(tmp_path / "a.json", table)
    (problem,) = read_published(path)[1]
    assert "begin with no name" in str(problem) and "A. One, B. Two" in str(problem) and "\n" not in str(problem)
    with pytest.raises(RejectedError, match="begin with no name"):
        accept_record(path, tmp_path / "results")
    table["paper"]["authors"] = "李 and B. Two"
    record(written(path, table))


def test_rows_that_come_with_fusionbench_are_the_files_rows() -> None:
    expected = []
    for file in sorted(DATA.glob("*.json")):
        found = json.loads(file.read_text())
        expected += [(found["dataset"], row["title"], len(row["scores"])) for row in found["rows"]]
    results = shipped()
    assert [(one.identity.dataset.name, one.title, len(one.scores)) for one in results] == expected and len(
        expected
    ) > 20
    assert len({one.id for one in results}) == len(results) and all(one.status == "published" for one in results)
    for file in DATA.glob("*.json"):
        assert read_published(file)[1] == [], file.name


def test_the_paper_of_a_result_is_checked_again(table: dict[str, Any], tmp_path: Path) -> None:
    (result,) = results_of(record(written(tmp_path / "a.json", table)))
    assert paper_of(result).title == table["paper"]["title"]
    assert result.origin.paper is not None
    for field, value in (("url", "http://example.org"), ("title", "<b>"), ("venue", ""), ("more", "x")):
        changed = {**result.origin.paper, field: value}
        with pytest.raises(DataError, match="its paper cannot be shown"):
            result.origin.paper, kept = changed, result.origin.paper
            try:
                paper_of(result)
            finally:
                result.origin.paper = kept
    result.origin.paper = None
    with pytest.raises(DataError, match="its paper cannot be shown"):
        paper_of(result)
