"""Single images: the order of disputed ones from values written down here, the page with and without pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.board import build_board
from fusionbench.board.image_view import image_lines
from fusionbench.board.rows import benchmarks
from tests.board.test_explorer import with_pictures
from tests.helpers.results import saved


def test_images_on_which_models_are_furthest_apart_are_first(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"vif": [1.0, 1.0, 1.0, 1.0], "sd": [0.0, 0.0, 0.0, 0.0]}, ids=["p", "q", "r", "s"])
    saved(tmp_path, "b", {"vif": [1.0, 3.0, 2.0, 1.0], "sd": [8.0, 8.0, 8.0, 8.0]}, ids=["p", "q", "r", "s"])
    saved(tmp_path, "copy-a", {"vif": [99.0, 0.0, 0.0, 99.0]}, ids=["p", "q", "r", "s"], family="trivial")
    (page,) = benchmarks(tmp_path, 50)
    lines = image_lines(page)
    assert [line.id for line in lines] == ["q", "r", "p", "s"], "trivial rows do not count; ties as they come"
    # spreads 0 1 0.5 0 over their average 0.375, and 1 everywhere for sd
    assert [line.spread for line in lines] == pytest.approx([(1 / 0.375 + 1) / 2, (0.5 / 0.375 + 1) / 2, 0.5, 0.5])
    assert lines[0].best["vif"][1] == "b" and float(lines[0].best["vif"][0]) == 3.0
    assert lines[0].best["sd"][1] == "b"


def test_an_image_that_a_metric_cannot_score_counts_without_it(tmp_path: Path) -> None:
    nan = float("nan")
    saved(tmp_path, "a", {"vif": [1.0, nan, 1.0], "sd": [0.0, 0.0, 0.0]})
    saved(tmp_path, "b", {"vif": [2.0, nan, 2.0], "sd": [4.0, 8.0, 0.0]})
    (page,) = benchmarks(tmp_path, 50)
    lines = image_lines(page)
    assert [line.id for line in lines] == [1, 0, 2] and "vif" not in lines[0].best


def test_the_page_is_a_table_without_scripts_and_has_the_rows_for_its_own(tmp_path: Path) -> None:
    index = build_board(with_pictures(tmp_path), tmp_path / "site", resamples=50)
    (path,) = index.parent.glob("*-images.html")
    text = path.read_text()
    assert path.name in index.read_text() and 'href="#image=2"' in text and "--keep-images" not in text
    (rows,) = index.parent.glob("data/*/rows.js")
    found = json.loads(rows.read_text().partition("(")[2].rpartition(")")[0])
    assert {row["part"] for row in found} == {"ranked"}
    assert all((rows.parent / f"{row['slug']}.js").is_file() for row in found)


def test_pages_without_pictures_say_how_to_have_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path / "results", name, {"vif": [0.5, 0.75]}, ids=["<b>", "../x"])
    index = build_board(tmp_path / "results", tmp_path / "site", resamples=50)
    text = next(index.parent.glob("*-images.html")).read_text()
    assert "--keep-images" in text and "&lt;b&gt;" in text and "<b>" not in text
    assert 'href="#image=..%2Fx"' in text or 'href="#image=../x"' in text, "an id is no path"
