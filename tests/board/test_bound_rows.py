"""The line to pass and the parts of a table of pairs, from values that are written down here."""

from __future__ import annotations

from pathlib import Path

from fusionbench.board.rows import benchmarks
from fusionbench.results.full_range import FullRange
from fusionbench.results.schema import load, load_per_image, save
from tests.helpers.results import saved


def test_stretched_rows_are_ranked_apart_and_the_bound_is_above_all(tmp_path: Path) -> None:
    saved(tmp_path, "copy-a", {"sd": [1.0, 5.0] * 3, "cc": [0.5] * 6}, family="trivial")
    saved(tmp_path, "copy-b", {"sd": [4.0, 2.0] * 3, "cc": [0.5] * 6}, family="trivial")
    saved(tmp_path, "plain", {"sd": [4.0, 6.0] * 3, "cc": [0.25, 0.5] * 3})
    folder = saved(tmp_path, "wide", {"sd": [8.0, 9.0] * 3, "cc": [0.5, 0.75] * 3})
    result, table = load(folder), load_per_image(folder)
    result.full_range = FullRange(images=6, full=6, sources=1)
    save(result, tmp_path, table)
    (found,) = benchmarks(tmp_path, 200)
    rows = {row.title: row for row in found.rows}
    assert found.rows[0].title == "best copy, image by image" and found.rows[0].kind == "bound"
    assert found.rows[0].cells["sd"].value == 4.5 and not found.rows[0].ranks
    assert (rows["wide"].kind, rows["plain"].kind) == ("stretched", "ranked") and "stretched" in rows["wide"].note
    assert rows["wide"].ranks["sd"].value == rows["plain"].ranks["sd"].value == 1, "each is the best of its part"
    assert (rows["plain"].beyond_copying, rows["plain"].beats) == ("1 of 2", "1 of 2")
    assert rows["wide"].beyond_copying == "" and found.measured == [r for r in found.rows if r.kind != "bound"]
