"""The page of degraded sources: cells by hand, what the script is given, hostile texts, and boards without it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board.build import build_board
from fusionbench.board.robustness import damage_page
from fusionbench.board.rows import benchmarks
from fusionbench.evaluation.evaluate import evaluate
from fusionbench.results.schema import load, save

FEW = {"families": ["shift/1", "gaussian-noise/1"], "severities": [1, 5]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trivial row and a function of the embedded pairs, with a sheet each, and the same pairs under pairs/1."""
    place = tmp_path_factory.mktemp("results")
    for method in ("copy-b", _first):
        evaluate(method, "pairs-demo", protocol="pairs-robust", out=place, device="cpu", limit=2, **FEW)
    evaluate("copy-b", "pairs-demo", out=place, device="cpu", limit=2)
    return place


def _first(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a


def test_cells_are_quotients_of_the_tables_means(results: Path) -> None:
    (benchmark,) = [one for one in benchmarks(results, 100) if one.track == "pairs-robust"]
    damage = damage_page(benchmark, {})
    assert damage is not None and [str(one) for one in damage.conditions] == [
        "shift/1:1",
        "shift/1:5",
        "gaussian-noise/1:1",
        "gaussian-noise/1:5",
    ]
    lines = {line.row.title: line for line in damage.lines}
    copy = lines["copy of source B"]
    assert [text for text, _ in damage.cells(copy, "qabf")[:2]] == ["100", "100"]  # a shift moves view a alone
    assert damage.cells(copy, "psnr_own")[0] == ("59", "")
    moved = lines["_first"]
    assert moved.row.entry is not None
    (result,) = moved.row.entry.results
    noisy = np.mean(result.images["vif@gaussian-noise/1:5"]) / np.mean(result.images["vif@clean"])
    text, level = damage.cells(moved, "vif")[3]
    assert text == f"{100 * noisy:.0f}" and level in {"d3", "d4", "d5", "d6"}
    assert damage.cells(moved, "sf_alone")[3][1] == "u2"  # noise raises SF
    assert moved.drops["shift/1"].drop == pytest.approx(1 - result["robustness@shift/1"].mean)
    trivial, apart = damage.parts  # of a function nobody knows what it had, as of submitted pictures
    assert trivial.heading == "Trivial rows, which do not fuse" and apart.lines == [moved]


def test_the_page_has_every_cell_and_the_script_all_views(results: Path, tmp_path: Path) -> None:
    build_board(results, tmp_path, resamples=100)
    (page,) = tmp_path.glob("*-robustness.html")
    text = page.read_text(encoding="utf-8")
    (script,) = tmp_path.glob("data/*/robustness.js")
    data = json.loads(script.read_bytes().removeprefix(b"fusionbenchData(").removesuffix(b");\n"))
    shown = re.search(r"<tr data-row=(copy-b\S*) class=trivial>.*?(?=<tr|</tbody>)", text, re.DOTALL)
    assert shown is not None
    cells = re.findall(r'<td class="([^"]*)" data-of=\d+>([^<\n]+)', shown[0])
    from_script = [one.split("|") for one in data["cells"]["robustness"][shown[1]]]
    assert [(value, css.replace(" f", "").strip()) for css, value in cells] == [(a, b) for a, b in from_script]
    assert set(data["cells"]) == set(data["views"]) and {"qabf_seen", "psnr_own", "sf_alone"} <= set(data["views"])
    sheets = re.findall(r'<img src="([^"]+)"', text)
    assert len(sheets) == 2 and all((tmp_path / name).is_file() for name in sheets)
    front = (tmp_path / f"{page.name.removesuffix('-robustness.html')}.html").read_text(encoding="utf-8")
    assert page.name in front and "gaussian-noise/1:5" not in front  # conditions are on their own page
    assert "pairs-demo-1-0-0-all.html" in {one.name for one in tmp_path.glob("*.html")}  # pairs/1 keeps its name
    assert len(list(tmp_path.glob("*-robustness.html"))) == 1


def test_a_displacement_that_a_result_knows_is_told_on_the_page(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    for path in results.glob("*/copy-b/*/result.json"):
        result = load(path)
        known = {
            "rows": 12.0,
            "columns": 7.0,
            "error": 0.1,
            "prominence": 3.0,
            "height": 9.0,
            "pairs": 25,
            "told": False,
        }
        result.provenance["alignment"] = known if result.identity.protocol.name == "pairs-robust" else {"rows": "<b>"}
        save(result, folder, {key: column.tolist() for key, column in result.images.items()})
    build_board(folder, tmp_path / "site", resamples=100)
    pages = [tmp_path / "site" / f"pairs-demo-1-0-0-all{part}.html" for part in ("", "-degraded")]
    for page in pages:  # of the same pairs, whichever protocol looked
        assert "lies about 12 pixels below and 7 pixels right of" in page.read_text(encoding="utf-8")


def test_a_title_is_text_and_a_board_without_degraded_pairs_has_no_page(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    (path,) = results.glob("*/*first/*/result.json")
    result = load(path)
    result.title = "<script>alert(1)</script>"
    result.pictures = {"the first pair at every condition": "../../../secret.png"}
    save(result, folder, {key: column.tolist() for key, column in result.images.items()})
    build_board(folder, tmp_path / "site", resamples=100)
    (page,) = (tmp_path / "site").glob("*-robustness.html")
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;" in text and "secret" not in text
    plain = tmp_path / "plain"
    (copy,) = [one for one in results.glob("*/copy-b/*/result.json") if load(one).identity.protocol.name == "pairs"]
    pairs = load(copy)
    save(pairs, plain, {key: column.tolist() for key, column in pairs.images.items()})
    build_board(plain, tmp_path / "other", resamples=100)
    assert not list((tmp_path / "other").glob("*robustness*"))
