"""Cells of a table: numbers with the ranks beside them, in words who is first, and what is loaded on demand."""

from __future__ import annotations

from pathlib import Path

from fusionbench.board.rows import benchmarks
from fusionbench.board.table import cell_notes, heads, slots
from tests.helpers.results import saved


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


def test_every_cell_has_a_head_and_notes_are_by_its_place(tmp_path: Path) -> None:
    values = {"vif": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "vif@cddfuse": [0.5] * 6, "sd": [1.0, 2.0] * 3}
    saved(tmp_path, "net", values)
    (page,) = benchmarks(tmp_path, 100)
    found = heads(page, {"parameters": ("parameters", "number of trained values")}, mean_rank=True)
    assert [(head.key, head.kind) for head in found] == [
        ("mean-rank", ""),
        ("sd", "k"),
        ("vif", "k"),
        ("vif@cddfuse", "d"),
        ("beats", ""),
        ("parameters", "c"),
    ]
    (row,) = page.rows
    line = slots(row, page, {"parameters": 0}, mean_rank=True)
    assert len(line) == len(found) and [slot.text for slot in line][2:4] == ["2.500", "0.500"]
    notes = cell_notes(page, {row.slug: line})
    assert "6 images" in notes["notes"][row.slug][2] and notes["bars"][row.slug]["2"][0] == 2.5  # type: ignore[index]
    assert notes["lines"] == {}, "no copies, no line"
