"""The table of a paper: order, marks and notes, of made-up rows whose differences are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import NotComparableError, UsageError
from fusionbench.results.paper_table import PaperRow, PaperTable, TableOptions, make_paper_table, table_data
from tests.helpers.results import made_up, saved

BASE = np.linspace(1.0, 2.0, 12)
NOISE = np.array([0.02, -0.02] * 6)
FEW = {"resamples": 200}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """EN: best and tied are 0.001 apart with noise between them, worse is far; VIF: lower numbers, other order."""
    saved(tmp_path, "best", {"en": BASE + 1.001, "vif": BASE})
    saved(tmp_path, "tied", {"en": BASE + 1 + NOISE, "vif": BASE + 3})
    saved(tmp_path, "worse", {"en": BASE, "vif": BASE + 1})
    saved(tmp_path, "copy", {"en": BASE - 0.5, "vif": BASE + 5}, family="trivial")
    return tmp_path


def rows(table: PaperTable) -> dict[str, PaperRow]:
    return {row.title: row for part in table.parts for row in part.rows}


def test_best_second_and_ties(root: Path) -> None:
    table = make_paper_table(root, metrics=["EN", "VIF"], options=TableOptions(digits={"": 2, "VIF": 1}, **FEW))
    found = rows(table)
    marks = {title: [(cell.text, cell.place, cell.tied) for cell in row.cells] for title, row in found.items()}
    assert marks == {
        "best": [("2.50", "best", False), ("1.5", "", False)],
        "tied": [("2.50", "second", True), ("4.5", "second", False)],
        "worse": [("1.50", "", False), ("2.5", "", False)],
        "copy": [("1.00", "", False), ("6.5", "best", False)],
    }
    assert [[row.title for row in part.rows] for part in table.parts] == [["copy"], ["best", "tied", "worse"]]
    assert "of 4 rows" in table.caption and "above a rule" in table.caption and "95% intervals" in table.caption
    assert "12 images of pairs-demo 1.0.0 (test), protocol pairs/1, definitions standard/1" in table.caption
    json.dumps(table_data(table), allow_nan=False)


def test_trivial_rows_without_marks_or_without_a_place(root: Path) -> None:
    table = make_paper_table(root, metrics=["VIF"], options=TableOptions(trivial="unranked", **FEW))
    assert [rows(table)[title].cells[0].place for title in ("copy", "tied", "worse")] == ["", "best", "second"]
    assert "that are not trivial" in table.caption
    table = make_paper_table(root, metrics=["VIF"], options=TableOptions(trivial="without", **FEW))
    assert "copy" not in rows(table) and len(table.parts) == 1


def test_marks_hold_for_the_rows_on_show(root: Path) -> None:
    table = make_paper_table(root, metrics=["EN"], rows=["worse=Ours", "copy", "tied"], options=TableOptions(**FEW))
    assert [[row.title for row in part.rows] for part in table.parts] == [["copy"], ["Ours", "tied"]]
    assert [row.cells[0].place for row in rows(table).values()] == ["", "second", "best"]
    alone = make_paper_table(root, metrics=["EN"], rows=["worse"], options=TableOptions(**FEW))
    assert rows(alone)["worse"].cells[0].place == "", "one row is not the best of anything"
    assert "Bold" not in alone.caption


def test_few_images_and_cut_runs(tmp_path: Path) -> None:
    saved(tmp_path, "one", {"en": [1.0, 2.0, 3.0]})
    saved(tmp_path, "two", {"en": [2.0, 3.0, 4.0]})
    saved(tmp_path, "cut", {"en": [9.0, 9.5, 9.0]}, cut=True)
    table = make_paper_table(tmp_path, options=TableOptions(**FEW))
    found = rows(table)
    assert (found["two"].cells[0].place, found["one"].cells[0].place) == ("best", "second")
    assert found["one"].cells[0].tied and "With fewer than 6 images" in table.caption
    assert found["cut"].cells[0].place == "" and found["cut"].notes
    assert any("cut short" in text for mark, text in table.notes if mark in found["cut"].notes)


def test_what_follows_the_numbers(tmp_path: Path) -> None:
    made_up(tmp_path, "two", seed=0)
    made_up(tmp_path, "two", seed=1, shift=0.2)
    table = make_paper_table(
        tmp_path, metrics=["mse_min@1"], options=TableOptions(spread="runs", digits={"": 4}, **FEW)
    )
    (row,) = rows(table).values()
    means = [result.scores["mse_min@1"].mean for result in _results(tmp_path)]
    assert float(row.cells[0].spread) == pytest.approx(np.std(means, ddof=1), abs=5e-5)
    assert "± deviation over runs" in table.caption
    assert any("2 training runs" in text for _, text in table.notes)
    (row,) = rows(
        make_paper_table(tmp_path, metrics=["mse_min"], options=TableOptions(spread="interval", **FEW))
    ).values()
    assert float(row.cells[0].spread) > 0


def _results(root: Path) -> list:
    from fusionbench.results.schema import load_folder

    return load_folder(root)


def test_printed_rows_carry_their_source_and_take_no_marks(tmp_path: Path) -> None:
    where = {"name": "tno", "n": 12}
    values = {"en": BASE + 5, "mi": BASE, "mi@cddfuse": BASE * np.log(2)}
    saved(tmp_path, "mine", values, dataset=where)
    saved(tmp_path, "other", {key: column - 0.5 for key, column in values.items()}, dataset=where)
    options = TableOptions(published=True, **FEW)
    table = make_paper_table(tmp_path, metrics=["EN", "MI"], options=options)
    part = table.parts[-1]
    assert part.heading == "As printed in papers" and {row.kind for row in part.rows} == {"printed"}
    assert not any(cell.place or cell.tied for row in part.rows for cell in row.cells)
    row = next(row for row in part.rows if row.title == "DAE-Fuse")
    assert [cell.text for cell in row.cells] == ["7.17", "2.21"], "as the paper prints them"
    note = dict(table.notes)[row.notes[0]]
    assert "Y. Guo et al., arXiv 2024 (Table I)" in note and "not comparable" in note and "MI in nats" in note
    assert any("https://arxiv.org/abs/2409.10080" in line for line in table.caveats), "the whole paper, to cite it"
    assert any("does not name its evaluator" in line for line in table.caveats)
    # in their own definition they are comparable, and the head of that column says whose it is
    table = make_paper_table(tmp_path, metrics=["MI@cddfuse", "MI"], rows=["mine", "dae-fuse"], options=options)
    row = rows(table)["DAE-Fuse"]
    assert [cell.text for cell in row.cells] == ["2.21", ""]
    assert "not comparable" not in dict(table.notes)[row.notes[0]]
    assert "CDDFuse" in dict(table.notes)[table.head_notes[0][0]] and not table.head_notes[1]
    table = make_paper_table(tmp_path, metrics=["MI@cddfuse"], options=options)
    assert table.head_notes == [()] and table.notes[0][0] == "" and "CDDFuse" in table.notes[0][1]


def test_stretched_rows_are_a_part_of_their_own() -> None:
    shipped = Path(__file__).parents[2] / "benchmarks" / "results" / "tno"
    rows = ["average", "copy-a", "wavelet", "guided-filter"]
    table = make_paper_table(shipped, metrics=["EN"], rows=rows, options=TableOptions(**FEW))
    headings = [part.heading for part in table.parts]
    assert headings == ["Fused images as they are", "", "Stretched to the full range", ""]
    assert "of their part" in table.caption and table.parts[2].notes
    for parts in (table.parts[:2], table.parts[2:]):  # best and second by plain arithmetic, in each part alone
        cells = [row.cells[0] for part in parts for row in part.rows]
        levels = sorted({round(cell.value or 0, 9) for cell in cells}, reverse=True)
        assert {round(cell.value or 0, 9) for cell in cells if cell.place == "best"} == {levels[0]}
        assert {round(cell.value or 0, 9) for cell in cells if cell.place == "second"} == {levels[1]}
    alone = make_paper_table(shipped, metrics=["EN"], rows=rows, options=TableOptions(stretched="only", **FEW))
    assert [part.heading for part in alone.parts] == ["Stretched to the full range", ""]
    plain = make_paper_table(shipped, metrics=["EN"], rows=rows, options=TableOptions(stretched="without", **FEW))
    assert [part.heading for part in plain.parts] == ["", ""]


def test_costs_are_columns_without_marks(tmp_path: Path) -> None:
    made_up(tmp_path, "net")
    made_up(tmp_path, "mean-image", family="trivial", shift=1)
    table = make_paper_table(tmp_path, metrics=["mse_min", "params", "time"], options=TableOptions(**FEW))
    found = {title: [cell.text for cell in row.cells[1:]] for title, row in rows(table).items()}
    assert found == {"NET": ["0.0123", ""], "MEAN-IMAGE": ["0", ""]}
    assert all(cell.place == "" for row in rows(table).values() for cell in row.cells[1:])


def test_cells_without_a_value_say_why(tmp_path: Path) -> None:
    saved(tmp_path, "whole", {"en": BASE, "scd": BASE})
    gaps = np.where(np.arange(12) < 3, np.nan, BASE)
    saved(tmp_path, "gaps", {"en": BASE + 1, "scd": gaps})
    saved(tmp_path, "without", {"en": BASE + 2})
    found = rows(make_paper_table(tmp_path, metrics=["SCD"], options=TableOptions(**FEW)))
    assert [found[title].cells[0].text for title in ("gaps", "without")] == ["n/a", ""]
    assert found["gaps"].cells[0].notes and found["whole"].cells[0].place == ""


def test_what_is_refused(root: Path, tmp_path: Path) -> None:
    for options, words in (
        ({"metrics": ["params"]}, "names no score"),
        ({"metrics": ["EN", "en"]}, "twice"),
        ({"rows": ["nobody"]}, "Unknown row"),
        ({"options": TableOptions(stretched="only")}, "no row is left"),
    ):
        with pytest.raises(UsageError, match=words):
            make_paper_table(root, **options)  # type: ignore[arg-type]
    saved(root, "elsewhere", {"en": BASE}, dataset={"name": "tno"})
    with pytest.raises(NotComparableError):
        make_paper_table(root)
