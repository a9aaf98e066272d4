"""The parts of a table: models with the papers' rows in place, trivial rows below, the first row the summary's."""

from __future__ import annotations

from pathlib import Path

from fusionbench.board.agreement import add_mean_ranks
from fusionbench.board.parts import parts
from fusionbench.board.rows import benchmarks
from fusionbench.board.summary import summaries
from fusionbench.results.tiers import HEADINGS
from tests.board.test_published_rows import record
from tests.helpers.results import saved


def test_trivial_rows_are_never_first_and_papers_stand_where_their_numbers_would(tmp_path: Path) -> None:
    for name, level, family in (("best", 0.9, "model"), ("copy-a", 1.5, "trivial"), ("worst", 0.3, "model")):
        values = {"vif": [level, level + 0.1] * 3, "qabf": [level] * 6, "ssim": [level] * 6}
        saved(tmp_path / "results", name, values, family=family, dataset={"name": "tno"})  # type: ignore[arg-type]
    record(tmp_path)  # 0.80, 0.500, 0.61: between the two
    (page,) = benchmarks(tmp_path / "results", 100)
    models, base = parts(page, HEADINGS)[:2]
    ours = [row.title for row in models.rows if row.title in ("best", "Net+", "worst")]
    assert ours == ["best", "Net+", "worst"] and [row.title for row in base.rows] == ["copy-a"] and base.base
    net = next(row for row in models.rows if row.title == "Net+")
    assert net.stand_ins == {"vif": 0.8, "qabf": 0.5, "ssim": 0.61} and not net.ranks
    order = [row.title for row in page.rows if row.kind == "ranked"]
    assert order == ["best", "worst", "copy-a"], "in every list"


def test_no_number_that_was_not_measured_opens_a_table(tmp_path: Path) -> None:
    for name, level in (("ours", 0.3), ("worst", 0.2)):
        values = {"vif": [level, level + 0.1] * 3, "qabf": [level] * 6, "ssim": [level] * 6}
        saved(tmp_path / "results", name, values, dataset={"name": "tno"})
    record(tmp_path)  # better than both
    (page,) = benchmarks(tmp_path / "results", 100)
    titles = [row.title for row in parts(page, HEADINGS)[0].rows]
    assert titles[0] == "ours" and titles.index("Net+") < titles.index("worst")


def test_the_first_row_is_the_one_that_the_summary_names(tmp_path: Path) -> None:
    """A copy that lacks a metric shifts the ranks on the others, but takes no part in the mean ranks."""
    ramp = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    for name, en, scd in (("a", 2.0, 1.0), ("b", 1.0, 2.0), ("c", 0.5, 1.5)):
        saved(tmp_path, name, {"en": [v + en for v in ramp], "scd": [v + scd for v in ramp]})
    for n in range(3):
        saved(tmp_path, f"copy-{n}", {"en": [v + 1.2 for v in ramp]}, seed=n, family="trivial")
    (page,) = benchmarks(tmp_path, 100)
    assert add_mean_ranks(page, 100)
    first = summaries(page)[0].ahead[0]
    assert parts(page, HEADINGS)[0].rows[0] is first
    ranks = [row.mean_rank.value for row in parts(page, HEADINGS)[0].rows if row.mean_rank]
    assert ranks == sorted(ranks) and len(ranks) == 3
