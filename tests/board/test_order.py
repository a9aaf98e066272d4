"""The order of a table: metrics as papers have them, rows by all metrics, papers' rows in place, texts told apart."""

from __future__ import annotations

from pathlib import Path

from fusionbench.board.agreement import add_mean_ranks
from fusionbench.board.order import in_papers_order
from fusionbench.board.parts import parts
from fusionbench.board.rows import benchmarks
from fusionbench.board.summary import summaries
from fusionbench.board.table import heads, slots
from fusionbench.results.tiers import HEADINGS
from tests.board.test_published_rows import record
from tests.helpers.results import saved


def test_metrics_are_in_the_order_of_the_fields_tables() -> None:
    from fusionbench.evaluation.protocols import known_protocol

    pairs, masked = known_protocol("pairs/1"), known_protocol("masked/1")
    assert pairs is not None and masked is not None
    mixed = ["cc", "vif", "zz", "en", "ssim", "qabf", "mi", "scd", "sf", "sd", "aa"]
    assert in_papers_order(mixed, pairs.columns) == [
        "en",
        "sd",
        "sf",
        "mi",
        "scd",
        "vif",
        "qabf",
        "ssim",
        "cc",
        "aa",
        "zz",
    ]
    assert in_papers_order(["mse_min", "elbo", "nll", "nll_bpd"], masked.columns)[:2] == ["nll_bpd", "mse_min"]


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


def test_a_number_in_another_definition_stands_between_its_neighbours_in_that_one(tmp_path: Path) -> None:
    for name, bits, nats in (("a", 1.0, 0.75), ("b", 2.0, 1.5), ("c", 4.0, 3.0)):
        values = {"mi": [bits] * 6, "mi@cddfuse": [nats] * 6}
        saved(tmp_path / "results", name, values, dataset={"name": "tno"})
    metrics = {"mi": {"unit": "nats", "better": "higher", "table": "I"}}
    rows = [{"title": "X", "model": "x", "scores": {"mi": "2.25"}}]
    record(tmp_path, dialect="cddfuse", metrics=metrics, rows=rows)
    (page,) = benchmarks(tmp_path / "results", 100)
    theirs = next(row for row in page.kind("published") if row.title == "X")
    assert theirs.stand_ins == {"mi": 3.0} and theirs.cells["mi"].value is None, "for the order alone"
    slot = dict(zip([h.key for h in heads(page, {}, False)], slots(theirs, page, {}, False), strict=True))["mi"]
    assert (slot.text, slot.tag, slot.at, slot.rank, slot.bar) == ("2.25", "", "3", "", None)


def test_equal_texts_get_digits_where_the_ranks_differ_and_only_there(tmp_path: Path) -> None:
    noise = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] * 2
    saved(tmp_path, "low", {"vif": noise})
    saved(tmp_path, "high", {"vif": [value + 0.001 for value in noise]})
    saved(tmp_path, "far", {"vif": [value + 7.0 for value in noise]})
    (page,) = benchmarks(tmp_path, 200)
    rows = {row.title: row for row in page.rows}
    low, high = rows["low"].cells["vif"].text, rows["high"].cells["vif"].text
    assert rows["low"].rank_sets["vif"] != rows["high"].rank_sets["vif"] and low != high
    assert (float(low), float(high)) == (2.5, 2.501) and len(rows["far"].cells["vif"].text) < len(high)


def test_cells_say_in_words_who_is_first(tmp_path: Path) -> None:
    noise = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    saved(tmp_path, "low", {"vif": noise, "ssim": noise})
    saved(tmp_path, "high", {"vif": [value + 1 for value in noise], "ssim": noise[::-1]})
    (page,) = benchmarks(tmp_path, 200)
    found = {row.title: dict(zip(["vif", "ssim"], slots(row, page, {}, False)[:2], strict=True)) for row in page.rows}
    assert (found["high"]["vif"].rank, found["high"]["vif"].mark) == ("first", "b")
    assert (found["low"]["vif"].rank, found["low"]["vif"].mark) == ("2", "")
    assert [found[name]["ssim"].mark for name in found] == ["u", "u"] and found["low"]["ssim"].rank != "first"
    assert found["high"]["vif"].bar is not None and found["high"]["vif"].bar[0] == 3.5
