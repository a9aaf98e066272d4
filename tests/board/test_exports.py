"""Copies of a table: the rows of papers are in each, marked, and hostile titles stay text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from fusionbench.board.exports import HEADING, add_downloads
from fusionbench.board.pages import Files, content_of
from fusionbench.board.rows import benchmarks
from tests.board.test_published_rows import record
from tests.helpers.results import saved

HOSTILE = "@SUM(A1) & B"  # records refuse worse titles


def downloads(tmp_path: Path, **more: object) -> dict[str, str]:
    saved(tmp_path / "results", "net", {"mi": [2.0, 3.0], "vif": [0.5, 0.75]}, dataset={"name": "tno"})
    record(tmp_path, **more)  # type: ignore[arg-type]
    (page,) = benchmarks(tmp_path / "results", 50)
    files: Files = {}
    made = add_downloads(files, page)
    assert list(made.values()) == ["CSV", "Markdown", "LaTeX", "BibTeX"]
    shown = json.loads(content_of(files[f"data/{page.slug}/exports.js"]).decode().partition("(")[2].rpartition(")")[0])
    texts = {name.rpartition(".")[2]: content_of(files[name]).decode() for name in made}
    assert sorted(shown.values()) == sorted(texts.values()), "copy and download are the same"
    return texts


def test_published_rows_are_in_every_copy_and_marked(tmp_path: Path) -> None:
    texts = downloads(tmp_path)
    lines = [line for line in csv.DictReader(io.StringIO(texts["csv"])) if line["title"] == "Net+"]
    assert [(line["score"], line["mean"]) for line in lines] == [("mi", "2.0"), ("vif", "0.80")], "as printed"
    assert {line["tier"] for line in lines} == {"published"} and {line["rank"] for line in lines} == {""}
    assert all(line["note"].startswith("as published: A paper, https://example.org/p") for line in lines)
    assert HEADING in texts["tex"] and "\\textit{Net+ (Journal 2024, best of its runs)} & \\textit{2.0}" in texts["tex"]
    assert texts["tex"].count("\\begin{tabular}") == texts["tex"].count("\\end{tabular}") == 1
    assert texts["tex"].index(HEADING) < texts["tex"].index("\\bottomrule")
    assert "| *Net+ (as published, Journal 2024, best of its runs)* | 2.0 | 0.80 |" in texts["md"]


def test_the_order_is_the_pages_and_another_definition_says_so(tmp_path: Path) -> None:
    metrics = {
        name: {"unit": "nats" if name == "mi" else "1", "better": "higher", "table": "I"} for name in ("vif", "mi")
    }
    rows = [{"title": HOSTILE, "model": "x", "scores": {"vif": "0.9", "mi": "1.5"}}]
    texts = downloads(tmp_path, dialect="cddfuse", metrics=metrics, rows=rows)
    head = next(line for line in texts["tex"].splitlines() if line.startswith("model & "))
    assert head.index("mi") < head.index("vif"), "as papers have them, not by the alphabet"
    assert "\\textit{1.5\\,nats}" in texts["tex"] and "mi: cddfuse, nats" in texts["tex"]
    assert "1.5 (cddfuse, nats)" in texts["md"]
    (line, *_) = [line for line in csv.DictReader(io.StringIO(texts["csv"])) if "SUM" in line["title"]]
    assert line["title"].startswith("'@"), "no formula in a spreadsheet"
    assert "\\textit{@SUM(A1) \\& B (Journal 2024)}" in texts["tex"]


def test_tables_of_their_own_have_no_empty_part(tmp_path: Path) -> None:
    saved(tmp_path, "net", {"vif": [0.5, 0.75]}, dataset={"name": "no-paper-has-it"})
    (page,) = benchmarks(tmp_path, 50)
    files: Files = {}
    add_downloads(files, page)
    assert HEADING not in b"".join(content_of(one) for one in files.values()).decode()
