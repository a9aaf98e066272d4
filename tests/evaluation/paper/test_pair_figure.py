"""From names to a figure: what it says it shows, and what it never replaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.paper.grid import GridOptions
from fusionbench.evaluation.paper.pair_figure import PairFigure, draw_pair_figure
from tests.evaluation.fusing.scenes import folders

METHODS = ("average", "Visible=copy-b")


def test_the_record_has_what_was_chosen(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    wanted = PairFigure(
        METHODS,
        ir,
        vis,
        pairs=["one", "two"],
        zooms=["1,2,4,3", "two:0,0,5,5"],
        found=1,
        scores=["SD", "SSIM"],
        device="cpu",
    )
    content, record = draw_pair_figure(wanted, "svg", GridOptions(difference="b"))
    again, _ = draw_pair_figure(wanted, "svg", GridOptions(difference="b"))
    assert content == again
    json.dumps(record, allow_nan=False)
    one, two = record["pairs"]
    assert one["zooms"][0] == [1, 2, 4, 3] and len(one["zooms"]) == 2
    assert two["zooms"][:2] == [[1, 2, 4, 3], [0, 0, 5, 5]] and len(two["zooms"]) == 3
    assert set(one["scores"]) == {"average of the sources", "Visible"} and one["white"] > 0
    assert record["scores"][0] == {"name": "sd", "definition": "standard/1", "better": "higher"}
    assert [method["title"] for method in record["methods"]] == ["average of the sources", "Visible"]
    assert any("largest variance" in note for note in record["notes"])
    alone = PairFigure(["average"], ir, vis, device="cpu", found=1)
    _, record = draw_pair_figure(alone, "svg")
    assert record["pairs"][0]["pair"] == "one" and "one method" in record["notes"][0]


def test_no_image_is_replaced(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    for out in (ir / "one.png", vis / ".." / "vis" / "one.png", tmp_path / "linked.png"):
        if out.name == "linked.png":
            out.symlink_to(ir / "one.png")
        with pytest.raises(UsageError, match="one of the images"):
            draw_pair_figure(PairFigure(METHODS, ir, vis, device="cpu", out=out), "png")
    draw_pair_figure(PairFigure(METHODS, ir, vis, device="cpu", out=ir / "two.png"), "png")  # another pair's


def test_what_is_refused(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    given = {"a": ir, "b": vis}
    for options, words in (
        ({}, "Name the sources"),
        ({"a": ir}, "Name the sources"),
        ({**given, "data": "pairs-demo"}, "leave out --a and --b"),
        ({**given, "split": "test"}, "are of --data"),
        ({**given, "zooms": ["three:1,1,2,2"]}, "no pair of the figure"),
        ({**given, "zooms": ["16,0,4,4"]}, "not inside one"),
        ({**given, "zooms": ["0,0,4,4"] * 7, "found": 1}, "at most 7"),
    ):
        with pytest.raises(UsageError, match=words):
            draw_pair_figure(PairFigure(METHODS, device="cpu", **options), "png")  # type: ignore[arg-type]
