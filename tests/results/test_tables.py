"""Tables keep numbers, marks and hostile names intact in every form."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from fusionbench.results import tables
from fusionbench.results.comparison import Comparison, compare_results
from tests.helpers.results import made_up


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    made_up(tmp_path, "best", title="A_b & 50% <script>|")
    made_up(tmp_path, "tied", title="=1+1")
    made_up(tmp_path, "worse", shift=0.3, metrics={"mse_min": "1"})
    made_up(tmp_path, "mean-image", shift=0.6, family="trivial", title="Mean image")
    made_up(tmp_path, "cut", shift=-0.5, cut=True)
    return compare_results([tmp_path], scores=["mse_min@mean", "nll_bpd@mean"], resamples=500)


def test_data_is_ordered_and_hides_ranks_of_cut_runs(comparison: Comparison) -> None:
    data = json.loads(json.dumps(tables.as_data(comparison), allow_nan=False))
    names = [row["name"] for row in data["rows"]]
    assert names[-1] == "cut" and names.index("worse") < names.index("mean-image")
    assert data["rows"][-1]["scores"]["mse_min@mean"]["rank"] is None
    assert data["rows"][-1]["scores"]["mse_min@mean"]["mean"] < data["rows"][0]["scores"]["mse_min@mean"]["mean"]
    assert "nll_bpd@mean" not in next(row for row in data["rows"] if row["name"] == "worse")["scores"]


def test_csv_round_trips(comparison: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(comparison))))
    assert len(lines) == 9 and {line["title"] for line in lines} >= {"A_b & 50% <script>|", "'=1+1"}
    rows = tables.as_data(comparison)["rows"]
    data = {(row["name"], key): score for row in rows for key, score in row["scores"].items()}
    for line in lines:
        assert float(line["mean"]) == data[line["model"], line["score"]]["mean"]


def test_csv_names_the_submissions_of_a_row(comparison: Comparison) -> None:
    from fusionbench.results.schema import Origin, SubmittedRow

    entry = comparison.entries[0]
    before = [result.origin for result in entry.results]
    try:
        for number, result in enumerate(entry.results):
            result.origin = Origin(kind="submission", submitter="Ada", submission=SubmittedRow(id=f"{number}" * 64))
        lines = list(csv.DictReader(io.StringIO(tables.as_csv(comparison))))
    finally:
        for result, origin in zip(entry.results, before, strict=True):
            result.origin = origin
    expected = " ".join(f"{number}" * 64 for number in range(len(before)))
    assert {line["submission"] for line in lines if line["title"] == entry.title} == {expected}
    assert {line["submission"] for line in lines if line["title"] != entry.title} == {""}


def test_markdown_is_one_table(comparison: Comparison) -> None:
    lines = tables.as_markdown(comparison).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 7
    assert {line.replace("\\|", "").count("|") for line in table} == {4}
    assert "&lt;script>" in table[2] + table[3] and "mse_min@mean ↓ (1)" in table[0]
    assert "cut short" in table[-1] and "(1" not in table[-1].split("cut short")[1]


def test_latex_escapes(comparison: Comparison) -> None:
    text = tables.as_latex(comparison)
    assert (
        "A\\_b \\& 50\\% \\textless{}script\\textgreater{}\\textbar{}" in text
        and "\\textcolor{gray}{Mean image (trivial)}" in text
    )
    assert text.count("\\\\\n") == 6 and "mse\\_min@mean $\\downarrow$" in text


def test_terminal(comparison: Comparison) -> None:
    (text,) = printed(comparison, 200)
    assert "Mean image (trivial)" in text and "CUT (cut short)" in text and "*" in text


def test_a_narrow_terminal_gets_several_tables_and_whole_numbers(comparison: Comparison) -> None:
    wide, narrow = printed(comparison, 200), printed(comparison, 70)
    assert len(narrow) == len(comparison.scores) > len(wide) == 1
    assert not any("…" in text for text in narrow)
    numbers = [re.findall(r"[0-9.]+ \[[0-9.]+, [0-9.]+\]", "".join(texts)) for texts in (wide, narrow)]
    assert sorted(numbers[0]) == sorted(numbers[1]) and numbers[0]


def printed(comparison: Comparison, width: int) -> list[str]:
    from rich.console import Console

    texts = []
    for table in tables.as_tables(comparison, width):
        console = Console(width=width, file=io.StringIO())
        console.print(table)
        texts.append(console.file.getvalue())  # type: ignore[attr-defined]
    return texts


def test_several_runs_show_their_deviation(tmp_path: Path) -> None:
    made_up(tmp_path, "two", seed=0)
    made_up(tmp_path, "two", seed=1, shift=0.25)
    made_up(tmp_path, "one", shift=1.0)
    found = compare_results([tmp_path], scores=["mse_min@0"], resamples=200)
    two, one = tables.as_data(found)["rows"]
    means = [entry.mean for entry in (r.scores["mse_min@0"] for r in found.entries[1].results)]
    sd = abs(means[0] - means[1]) / 2**0.5  # type: ignore[operator]
    assert two["scores"]["mse_min@0"]["run_sd"] == pytest.approx(sd) and 0.17 < sd < 0.19
    assert one["scores"]["mse_min@0"]["run_sd"] is None
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert float(lines[0]["run_sd"]) == pytest.approx(sd) and lines[1]["run_sd"] == ""
    text = tables.as_markdown(found)
    assert text.count(" ± 0.1") == 1 and "± standard deviation over training runs" in text
    assert "(\\sigma_{2} = 0.1" in tables.as_latex(found)


def test_submitted_predictions_have_a_table_of_their_own(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two", "theirs", "others")):
        folder = made_up(tmp_path, name, shift=0.1 * number - 0.5 * (number > 1))
        if number > 1:
            path = folder / "result.json"
            path.write_bytes(path.read_bytes().replace(b'"verified"', b'"scored"'))
    found = compare_results([tmp_path], scores=["mse_min@mean"], resamples=200)
    data = tables.as_data(found)
    assert [(row["name"], row["tier"]) for row in data["rows"]] == [
        ("one", "weights"),
        ("two", "weights"),
        ("theirs", "predictions"),
        ("others", "predictions"),
    ]
    assert [row["scores"]["mse_min@mean"]["rank"] for row in data["rows"]] == [1, 2, 1, 2] and data["tiers"] == "apart"
    first, second = tables._sections(found)
    ours, theirs = first.heading, second.heading
    assert ours.startswith("Scored here") and theirs.startswith("Submitted predictions")
    assert len(first.members + second.members) == 4
    assert tables.as_markdown(found).count("|---") == 4 and f"**{theirs}**" in tables.as_markdown(found)
    assert [table.title for table in tables.as_tables(found, 200)] == [ours, theirs]
    assert tables.as_latex(found).count("multicolumn{2}") == 2
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert [line["tier"] for line in lines] == ["weights", "weights", "predictions", "predictions"]
    one = compare_results([tmp_path], scores=["mse_min@mean"], resamples=200, tiers="together")
    assert [row["name"] for row in tables.as_data(one)["rows"]] == ["theirs", "others", "one", "two"]
    assert len(tables._sections(one)) == 1 and "ranked together with rows" in tables.legend(one)
    assert "ranked together" not in tables.legend(found)
