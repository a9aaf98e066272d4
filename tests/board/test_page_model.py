"""What a page is made of: names of files, what a row needs, which protocol a benchmark has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionbench.board.page_model import COST, NEEDS, Benchmark, BoardRow, Cell, Column, ColumnGroup, slug
from fusionbench.results.comparison import Entry
from fusionbench.results.schema import Result, TrainingIdentity, load
from tests.helpers.results import made_up


@pytest.fixture
def result(tmp_path: Path) -> Result:
    made = load(made_up(tmp_path, ids=range(3)))
    made.cost, made.identity.training = {}, None
    return made


def row(kind: str, entry: Entry | None = None, **more: Any) -> BoardRow:
    return BoardRow(kind, "model", "A", "", "a", {}, {}, entry=entry, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("FusionVAE+ 1.0", "fusionvae-1-0"),
        ("../../etc/passwd", "etc-passwd"),
        ("<script>", "script"),
        ("ä…", "x"),
        ("", "x"),
        ("a" * 200, "a" * 80),
    ],
)
def test_names_of_files_have_letters_digits_and_dashes_only(text: str, made: str) -> None:
    assert slug(text) == made


@pytest.mark.parametrize(("unit", "about"), [("nats", "nats, lower is better"), ("1", "lower is better")])
def test_a_group_says_its_unit_and_direction(unit: str, about: str) -> None:
    assert ColumnGroup("nll", "NLL", unit, "lower", [], False).about == about


def test_what_a_row_needs(result: Result) -> None:
    assert row("published").needs == [] and row("published").status == "published" and row("published").runs == 0
    entry = Entry([result])
    assert row("ranked", entry).needs == ["nothing"] and row("ranked", entry).status == "verified"
    assert row("ranked", entry, gpu=True).needs == ["nothing", "gpu"]
    result.cost = {"parameters": 10}
    assert row("ranked", entry).needs == ["training"], "it has trained values"
    result.cost, result.identity.training = {"parameters": 0}, TrainingIdentity(seed=0)
    assert row("ranked", entry, gpu=True).needs == ["training", "gpu"]
    result.status = "scored"
    assert row("ranked", entry, gpu=True).needs == ["program"], "only its images are here"
    assert row("ranked", Entry([result, result])).runs == 2
    assert set(NEEDS) == {"nothing", "training", "gpu", "program"} and all(len(pair) == 2 for pair in COST.values())


def benchmark(result: Result, *rows: BoardRow) -> Benchmark:
    columns = [Column(key, "vif", "", "higher", "1", key == "vif") for key in ("vif", "vif@cddfuse")]
    groups = [ColumnGroup("vif", "VIF", "1", "higher", columns, False)]
    groups.append(ColumnGroup("mi", "MI", "nats", "higher", [Column("mi", "mi", "", "higher", "nats", True)], True))
    return Benchmark("s", "T", result, groups, list(rows), {})


def test_columns_and_rows_in_order(result: Result) -> None:
    ranked, cut, paper = row("ranked", Entry([result])), row("cut", Entry([result])), row("published")
    found = benchmark(result, paper, ranked, cut)
    assert [column.key for column in found.columns] == ["vif", "vif@cddfuse", "mi"]
    assert found.kind("ranked") == [ranked] and found.kind("published") == [paper]
    assert found.measured == [ranked, cut]


def test_a_protocol_that_is_not_installed_is_called_by_its_name(result: Result) -> None:
    assert (benchmark(result).track, benchmark(result).track_title) == ("masked", "masked views")
    result.identity.protocol.version = "99"
    assert benchmark(result).protocol is None and benchmark(result).track_title == "masked"
    result.identity.protocol.name = "multi-focus"
    assert benchmark(result).track == benchmark(result).track_title == "multi-focus"


def test_a_cell_is_plain_unless_it_is_marked() -> None:
    cell = Cell("0.5", 0.5)
    assert (cell.note, cell.best, cell.tied) == ("", False, False)
