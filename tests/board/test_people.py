"""The table of metrics that agree with people: shown where a study is at hand, and escaped, and never in the way."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from fusionbench.board import build_board
from fusionbench.board.people import people_of
from fusionbench.board.rows import benchmarks
from fusionbench.board.site_index import read_index
from fusionbench.board.verify import verify_board
from fusionbench.core.errors import DataError
from fusionbench.results.opinions import Opinions
from fusionbench.results.study import make_study
from fusionbench.results.study_files import Study, study_bytes
from fusionbench.results.study_values import MetricValues
from tests.helpers.results import saved


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for place, name in enumerate(("net", "other")):
        values = {"vif": [0.5 + 0.1 * place, 0.7], "vif@cddfuse": [0.9, 0.8 + place], "nabf": [0.1, 0.2]}
        saved(tmp_path / "results", name, values, ids=["a", "b"])
    return tmp_path / "results"


def study(title: str = "24 looked") -> Study:
    said = {(str(i), m): float((i * 5 + k * 3) % 7) for i in range(8) for k, m in enumerate("ABC")}
    values = MetricValues()
    for place, method in enumerate("ABC"):
        values.add("vif@cddfuse", "higher", method, [(str(i), said[str(i), method]) for i in range(8)], "")
        values.add("nabf", "lower", method, [(str(i), (i * 3 + place) % 5 / 5) for i in range(8)], "")
        values.add("qabf", "higher", method, [(str(i), (i + place) % 5 / 5) for i in range(8)], "")
    return make_study(values, Opinions(said, 24, 4, "5" * 64), title=title, resamples=50)


def metrics_page(site: Path) -> str:
    (page,) = site.glob("*-metrics.html")
    return page.read_text(encoding="utf-8")


def test_the_lines_are_the_columns_of_the_benchmark(results: Path) -> None:
    (benchmark,) = benchmarks(results, 50)
    found = people_of(study(), benchmark)
    assert found is not None and [line.metric for line in found.lines] == ["vif", "nabf"], "best first; no column qabf"
    assert found.lines[0].within_image == "+1.00" and "cddfuse" in found.lines[0].title.lower()
    assert found.lines[0].tied and "of 4 people on 8 images × 3 methods" in found.about
    assert people_of(None, benchmark) is None
    other = msgspec.structs.replace(study(), metrics=[row for row in study().metrics if row.key == "qabf"])
    assert people_of(other, benchmark) is None


def test_pages_show_it_and_verify_makes_them_again(results: Path, tmp_path: Path) -> None:
    build_board(results, tmp_path / "plain", resamples=50)
    assert "agree with people" not in metrics_page(tmp_path / "plain")
    (results / "study.json").write_bytes(study_bytes(study("<b>x</b>")))
    build_board(results, tmp_path / "site", resamples=50)
    text = metrics_page(tmp_path / "site")
    assert "Which metrics agree with people" in text and "<b>x</b>" not in text and "&lt;b&gt;x&lt;/b&gt;" in text
    assert re.search(r"<mark>\+1\.00</mark>", text)
    assert verify_board(results, tmp_path / "site").ok
    (results / "study.json").unlink()
    assert not verify_board(results, tmp_path / "site").ok
    named = tmp_path / "elsewhere.json"
    named.write_bytes(study_bytes(study("<b>x</b>")))
    assert verify_board(results, tmp_path / "site", study=named).ok


def test_a_damaged_study_is_set_aside_and_a_named_one_refused(results: Path, tmp_path: Path) -> None:
    (results / "study.json").write_text('{"schema": "fusionbench.study/1"}')
    build_board(results, tmp_path / "site", resamples=50)
    (aside,) = read_index(tmp_path / "site")[0].set_aside
    assert aside.file == "study.json" and "agree with people" not in metrics_page(tmp_path / "site")
    with pytest.raises(DataError, match=r"study\.json: is not what"):
        build_board(results, tmp_path / "other", resamples=50, study=results / "study.json")
