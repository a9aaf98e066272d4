"""Rows of papers on a page: under their own heads, with the gap to our run, by numbers that are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.board.page_model import Benchmark, BoardRow
from fusionbench.board.published_rows import (
    add_dialects,
    add_gaps,
    beside,
    column_title,
    gaps,
    papers,
    published_row,
    reproduces,
)
from fusionbench.board.rows import benchmarks
from fusionbench.core.errors import DataError
from fusionbench.results.published import accept_record
from fusionbench.results.schema import Result, load
from tests.helpers.results import saved

SCORES = {"vif": "0.80", "qabf": "0.500", "ssim": "0.61", "mi": "2.0"}


def record(root: Path, dialect: str = "standard", dataset: str = "tno", **more: object) -> Result:
    """A paper's row for the model ``net`` on TNO, accepted below ``root``."""
    units = {"mi": "bits"}
    made = {
        "schema": "fusionbench.published/1",
        "entered_by": "A. Reader",
        "paper": {"title": "A paper", "authors": "A. One", "venue": "Journal 2024", "url": "https://example.org/p"},
        "dataset": dataset,
        "track": "pairs",
        "dialect": dialect,
        "images": 3,
        "caveats": ["One.", "Two."],
        "metrics": {
            name: {"unit": units.get(name, "1"), "better": "higher", "table": "Table 1"}
            | ({"runs_table": "Table 2"} if name == "vif" else {})
            for name in SCORES
        },
        "rows": [
            {
                "title": "Net+",
                "model": "net",
                "scores": dict(SCORES, vif={"value": "0.80", "mean": "0.75", "sd": "0.02"}),
            }
        ],
    } | more
    (root / "record.json").write_text(json.dumps(made))
    (folder,) = accept_record(root / "record.json", root / "results")
    return load(folder)


@pytest.fixture
def page(tmp_path: Path) -> Benchmark:
    """Our own ``net`` and another model beside the paper's row. Means: vif 0.804, qabf 0.6, ssim 0.5."""
    record(tmp_path)
    values = {"vif": [0.803, 0.804, 0.805], "qabf": [0.6, 0.6, 0.6], "ssim": [0.5, 0.25, 0.75]}
    saved(tmp_path / "results", "net", values, dataset={"name": "tno"})
    saved(
        tmp_path / "results",
        "other",
        {key: [v - 0.1 for v in column] for key, column in values.items()},
        dataset={"name": "tno"},
    )
    (found,) = benchmarks(tmp_path / "results", 100)
    return found


def theirs(page: Benchmark) -> BoardRow:
    return next(row for row in page.kind("published") if row.title == "Net+")


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("nll@3", "N=3"),
        ("nll@mean", "mean"),
        ("nll@avg_paper", "paper’s mean"),
        ("vif", "value"),
        ("vif@cddfuse", "cddfuse"),
        ("vif@unnamed", "unnamed evaluator"),
        ("nll@007", "007"),
    ],
)
def test_heads_of_columns(key: str, title: str) -> None:
    assert column_title(key) == title


def test_which_rows_stand_beside_which(tmp_path: Path) -> None:
    paper = record(tmp_path, dataset="harvard-mri-ct")
    for name, protocol, found in (
        ("harvard-mri-ct", "pairs", True),
        ("Harvard_MRI-CT", "pairs", True),
        ("harvard-mri-pet", "pairs", False),
        ("harvard-mri-ct", "masked", False),
    ):
        ours = load(saved(tmp_path / "ours", "net", {"vif": [0.5]}, dataset={"name": name}))
        ours.identity.protocol.name = protocol
        assert beside(paper, ours) is found, (name, protocol)


def test_numbers_stand_as_printed(page: Benchmark) -> None:
    cells = theirs(page).cells
    assert (cells["vif"].text, cells["qabf"].text, cells["ssim"].text) == ("0.80", "0.500", "0.61")
    assert cells["vif"].note.startswith("A paper, Table 1 (best of runs), Table 2 (mean); mean of its runs 0.75 ± 0.02")
    assert "mi" not in cells, "a metric that no model of ours has gets no column"
    assert theirs(page).note == "Journal 2024, best of its runs" and theirs(page).ranks == {}
    assert theirs(page).slug.startswith("published-tno-net-plus-")


def test_gaps_by_hand(page: Benchmark) -> None:
    found = {gap.column.key: gap for gap in gaps(page)}
    assert set(found) == {"vif", "qabf", "ssim"}
    assert {key: gap.verdict for key, gap in found.items()} == {"vif": "as printed", "qabf": "better", "ssim": "worse"}
    assert found["vif"].gap == pytest.approx(0.004) and found["qabf"].gap == pytest.approx(0.1)
    assert found["ssim"].gap == pytest.approx(-0.11)
    assert all(gap.ours.title == "net" for gap in found.values()), "the other model reproduces nothing"
    add_gaps(page)
    assert "ours (net) " in theirs(page).cells["qabf"].note and "gap +0.1" in theirs(page).cells["qabf"].note


def test_a_run_is_of_a_papers_model_by_its_name(page: Benchmark) -> None:
    ours = {row.title: row for row in page.measured}
    assert reproduces(ours["net"], theirs(page)) and not reproduces(ours["other"], theirs(page))
    assert not reproduces(ours["net"], ours["other"])


def test_who_entered_a_record_is_hidden_in_an_anonymous_review(page: Benchmark) -> None:
    mine = [found for found in papers(page, False) if "Net+" in found[1]]
    assert [(paper.title, rows, caveats, who) for paper, rows, caveats, who in mine] == [
        ("A paper", ["Net+"], ("One.", "Two."), "A. Reader")
    ]
    assert {who for *_, who in papers(page, True)} == {""}


def test_a_definition_that_only_a_paper_used_gets_a_column_of_its_own(page: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paper = record(
        tmp_path / "other",
        dialect="linfeng",
        metrics={"vif": {"unit": "1", "better": "higher", "table": "I"}},
        rows=[{"title": "X", "model": "x", "scores": {"vif": "0.9"}}],
    )
    before = [column.key for column in page.columns]
    add_dialects(page.groups, [paper, paper])
    (new,) = [column for column in page.columns if column.key not in before]
    assert (new.key, new.metric, new.label, new.rank_key) == ("vif@linfeng", "vif", "linfeng", False)
    row = published_row(paper, page.groups)
    assert row.cells["vif@linfeng"].text == "0.9" and row.cells["vif"].text == "", "never in the column that ranks"


def test_a_paper_that_cannot_be_shown_is_refused(page: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paper = record(tmp_path / "other")
    assert paper.origin.paper is not None
    paper.origin.paper["url"] = "javascript:alert(1)"
    with pytest.raises(DataError, match="cannot be shown"):
        published_row(paper, page.groups)
