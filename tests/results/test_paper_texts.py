"""The table as LaTeX that compiles, as Markdown and as CSV; names from outside stay text in each."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fusionbench.results.comparison import compare_results
from fusionbench.results.paper_table import PaperTable, TableOptions, make_paper_table
from fusionbench.results.paper_texts import foreign_letters, inches_wide, latex_text, table_text
from fusionbench.results.tables import as_latex
from tests.helpers.latex import check
from tests.helpers.results import made_up, saved

BASE = np.linspace(1.0, 2.0, 12)
HOSTILE = "[a_b] & 50% $x^2$ #{1} \\input{/etc/passwd} <b>|`~*\n\x1b[31m ^^5c"


@pytest.fixture
def table(tmp_path: Path) -> PaperTable:
    where = {"name": "tno", "n": 12}
    gaps = np.where(np.arange(12) < 3, np.nan, BASE)
    saved(tmp_path, "mine", {"en": BASE, "qabf": BASE, "vif@cddfuse": BASE - 3, "scd": BASE}, dataset=where)
    saved(tmp_path, "other", {"en": BASE + 1, "qabf": BASE, "vif@cddfuse": BASE, "scd": gaps}, dataset=where)
    saved(
        tmp_path,
        "copy",
        {"en": BASE, "qabf": BASE * 2, "vif@cddfuse": BASE, "scd": BASE},
        dataset=where,
        family="trivial",
    )
    rows = ["copy", f"mine={HOSTILE}", "other=β-Net", "dae-fuse"]
    options = TableOptions(published=True, resamples=200, spread="interval")
    return make_paper_table(
        tmp_path, metrics=["EN", "Q^{AB/F}", "VIF@cddfuse", "SCD", "params"], rows=rows, options=options
    )


def test_latex_has_its_columns_and_only_what_latex_and_booktabs_know(table: PaperTable) -> None:
    for wide, floating in ((False, True), (True, True), (False, False)):
        text = table_text(table, "tex", wide=wide, floating=floating)
        lines = check(text)
        assert lines[0] == [
            "Method",
            "EN $\\uparrow$",
            "$Q^{AB/F}$ $\\uparrow$",
            "VIF $\\uparrow$$^{\\mathrm{a}}$",
            "SCD $\\uparrow$",
            "Params (M)",
        ]
        assert [line[0].split("$^")[0] for line in lines[1:]][-1] == "DAE-Fuse"
        assert text.count("\\textbf{") == 6, "equal means are best together"
        assert "\\underline{" in text and "$-$" in text
        assert ("\\begin{table*}" in text, "\\caption" in text) == (wide, floating)
        assert "\\input{" not in text and "\x1b" not in text and "footnotesize" not in text
    assert "{[}a\\_b{]} \\& 50\\% \\$x\\textasciicircum{}2\\$" in text and "$\\beta$-Net" in text
    assert foreign_letters(text) == ""
    assert foreign_letters(latex_text("日本–é “x” β")) == "日本"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here; the reader above checks the body")
def test_a_real_latex_compiles_it(table: PaperTable, tmp_path: Path) -> None:
    made_up(tmp_path / "masked", "a_b", title="A_b & 50%")
    made_up(tmp_path / "masked", "mean-image", family="trivial", shift=1)
    masked = make_paper_table(
        tmp_path / "masked", metrics=["nll_bpd@*", "mse_min@mean"], options=TableOptions(resamples=200)
    )
    parts = {
        "one": table_text(table, "tex", wide=True),
        "two": "\\begin{table}" + table_text(table, "tex", floating=False) + "\\end{table}",
        "three": table_text(masked, "tex"),
        "four": as_latex(compare_results(tmp_path / "masked", resamples=200)),  # the other table for LaTeX
    }
    for name, text in parts.items():
        (tmp_path / f"{name}.tex").write_text(text)
    inputs = "\n".join(f"\\input{{{name}}}" for name in parts)
    packages = "\\usepackage{booktabs}\\usepackage{xcolor}"
    (tmp_path / "paper.tex").write_text(
        f"\\documentclass[twocolumn]{{article}}{packages}\\begin{{document}}\n{inputs}\nText.\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")


def test_numbers_of_inputs_stand_under_one_head(tmp_path: Path) -> None:
    made_up(tmp_path, "net")
    found = make_paper_table(
        tmp_path, metrics=["nll_bpd@0", "nll_bpd@1", "mse_min@mean"], options=TableOptions(resamples=200)
    )
    text = table_text(found, "tex")
    check(text)
    assert "\\multicolumn{2}{c}{NLL (bits/dim) $\\downarrow$}" in text and "\\cmidrule(lr){2-3}" in text
    assert "Method & N = 0 & N = 1 & mean \\\\" in text
    assert "| Method | NLL, N = 0 (bits/dim) ↓ |" in table_text(found, "md")


def test_markdown_is_one_table_and_names_are_no_markup(table: PaperTable) -> None:
    lines = table_text(table, "md").splitlines()
    body = [line for line in lines if line.startswith("|")]
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in body]
    assert set(bars) == {7} and body[0].startswith("| Method | EN ↑ | Q<sup>AB/F</sup> ↑ |")
    text = "\n".join(lines)
    assert "<b>" not in text and "\x1b" not in text and "<ins>" in text and "**" in text
    assert table.caption.split(".")[0] in text.replace("\\", "")


def test_csv_has_numbers_and_marks_apart(table: PaperTable) -> None:
    lines = list(csv.DictReader(io.StringIO(table_text(table, "csv"))))
    assert [line["kind"] for line in lines] == ["trivial", "method", "method", "printed"]
    assert lines[2]["en mark"] == "best" and lines[2]["en"].startswith("2.5") and lines[3]["en"] == "7.17"
    assert lines[3]["notes"].startswith("Printed in Y. Guo et al.")
    assert "n/a: 3 of 12 images have no" in lines[2]["notes"]
    assert lines[2]["scd"] == "n/a" and "params mark" not in lines[0]


def test_the_width_is_estimated_from_letters(table: PaperTable, tmp_path: Path) -> None:
    saved(tmp_path / "small", "a", {"en": BASE})
    small = make_paper_table(tmp_path / "small", options=TableOptions(resamples=200))
    assert inches_wide(small) < 3.5 < inches_wide(table)
