"""Charts of the pages: what is drawn lies where its numbers say, nothing in a name becomes markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fusionbench import board
from fusionbench.board import build_board
from fusionbench.board.charts import COLOURS
from fusionbench.board.rows import benchmarks
from fusionbench.board.views import against_cost, by_draws, by_number_of_inputs, read_curves
from fusionbench.core.errors import DataError
from fusionbench.evaluation.curves import save_curves
from fusionbench.results import schema
from tests.helpers.results import made_up
from tests.helpers.svg import circles

ROWS = [(n, k, 10.0 - n - k / 8, 0.5 / k) for n in range(4) for k in (1, 2, 4, 8)]


def test_scores_by_inputs_and_by_draws(tmp_path: Path) -> None:
    folder = made_up(tmp_path / "results", "fusionvae", title="FusionVAE", dataset={"name": "fusionmnist"})
    made_up(tmp_path / "results", "mean-image", family="trivial", shift=0.5, dataset={"name": "fusionmnist"})
    save_curves(ROWS, folder / "curves.csv")
    assert read_curves(folder / "curves.csv") == ROWS
    benchmark = benchmarks(tmp_path / "results", 100)[0]
    row = next(row for row in benchmark.rows if row.family == "model")
    first = by_number_of_inputs(row, benchmark)[0].svg
    assert len(circles(first)) == 3 * 4 and "as published" in first and "best trivial" in first
    build_board(tmp_path / "results", tmp_path / "site", resamples=100)
    page = next((tmp_path / "site" / "models").glob("*fusionvae*")).read_text()
    assert page.count("<svg ") == 4 and page.count("draws K") >= 2
    assert not re.search(r"\sstyle=", page)


def test_many_views(tmp_path: Path) -> None:
    """64 views: columns in the order of N, axes whose numbers do not touch, a colour for every curve that is shown."""
    folder = made_up(tmp_path, views=64)
    save_curves([(n, k, 99.0 - n, 0.5 / k) for n in range(65) for k in (1, 2)], folder / "curves.csv")
    (benchmark,) = benchmarks(tmp_path, 100)
    labels = [column.label for column in benchmark.groups[1].columns]
    assert labels == [f"N={n}" for n in range(65)] + ["mean"]
    assert [column.key for column in benchmark.columns if column.rank_key] == ["nll_bpd@mean", "mse_min@mean"]
    axis = ET.fromstring(by_number_of_inputs(benchmark.rows[0], benchmark)[0].svg.partition("<ul")[0])
    below = [text.text for text in axis.iter("text") if text.get("text-anchor") == "middle" and text.text.isdecimal()]
    assert below == ["0", "8", "16", "24", "32", "40", "48", "56", "64"]
    nll = by_draws(folder)[0]
    assert nll.caption == "NLL (nats) by number of draws (8 of 65 numbers of inputs), lower is better"
    assert re.findall(r"</i>(N = \d+)</li>", nll.svg) == [f"N = {n}" for n in (0, 9, 18, 27, 36, 45, 54, 64)]
    style = (Path(board.__file__).parent / "static" / "board.css").read_text()
    for number in range(COLOURS):
        assert f'<g class="c{number}">' in nll.svg and f".c{number} {{ color:" in style


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n", "first line"),
        ("inputs,draws,nll,mse_min\n0,1,nan,1\n", "line 2"),
        ("inputs,draws,nll,mse_min\n0,1,2,1\n0,0,2,1\n", "line 3"),
        ("inputs,draws,nll,mse_min\n65,1,2,1\n", "line 2"),
        ("inputs,draws,nll,mse_min\n<script>\n", "line 2"),
        ("x" * (1 << 21), "curves"),
    ],
)
def test_damaged_curves_are_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "curves.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        read_curves(tmp_path / "curves.csv")


def test_quality_against_cost(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        folder = made_up(tmp_path, name, shift=0.1 * number)
        made = schema.load(folder / "result.json")
        made.cost = {"parameters": 10 ** (3 + number), "ms_per_image": 0.0}
        schema.save(made, tmp_path, schema.load_per_image(folder / "result.json"))
    benchmark = benchmarks(tmp_path, 100)[0]
    views = against_cost(benchmark)
    assert [view.caption for view in views] == [
        f"{metric} against number of trained values, lower is better" for metric in ("NLL", "MSE_min")
    ], "a cost that is zero for all has no chart"
    (x1, y1), (x2, y2) = circles(views[0].svg)
    assert x1 < x2 and y1 > y2 and views[0].svg.count('href="models/') == 2
