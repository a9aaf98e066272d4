"""The order of a table: metrics as papers have them, rows by all metrics, papers' rows in place, texts told apart."""

from __future__ import annotations

from pathlib import Path

from fusionbench.board.order import in_papers_order
from fusionbench.board.rows import benchmarks
from fusionbench.board.table import heads, slots
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
    assert (slot.text, slot.tag, slot.at, slot.rank, slot.bar) == ("2.25", "nats", "3", "", None)


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
