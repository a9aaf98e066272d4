"""BibTeX of a page: escaped, and whole whatever a paper's record says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fusionbench.board.citations import bibtex, tex
from fusionbench.board.rows import Benchmark, benchmarks
from tests.helpers.results import made_up


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    root: Path = tmp_path_factory.mktemp("results")
    made_up(root, "m", dataset={"name": "fusionmnist"})
    return benchmarks(root, 100)[0]


def test_bibtex_is_escaped(benchmark: Benchmark) -> None:
    text = bibtex(benchmark)
    assert text.count("@misc{") == 2 and "@misc{duffhauss-eccv-2022," in text
    assert "author = {F. Duffhauss and N. A. Vien and H. Ziesche and G. Neumann}" in text
    assert (
        tex("50 % of\n{a_b} & \\input~x^2")
        == r"50 \% of \{a\_b\} \& \textbackslash{}input\textasciitilde{}x\textasciicircum{}2"
    )


@pytest.mark.parametrize(
    ("authors", "key", "author"),
    [
        (", B. Two", "two", "B. Two"),
        (" and B. Two", "two", "B. Two"),
        ("A. One, and B. Two, ", "one", "A. One and B. Two"),
        (" ", "paper", None),
        (", ,", "paper", None),
    ],
)
def test_authors_that_begin_with_no_name_break_no_page(
    benchmark: Benchmark, authors: str, key: str, author: str | None
) -> None:
    rows = []
    for row in benchmark.rows:
        if row.published is not None:
            paper = msgspec.structs.replace(row.published.paper, authors=authors)
            row = replace(row, published=replace(row.published, paper=paper))
        rows.append(row)
    text = bibtex(replace(benchmark, rows=rows))
    assert f"@misc{{{key}-eccv-2022," in text
    if author is None:
        assert "author =" not in text, "BibTeX takes an empty list of names for an error"
    else:
        assert f"author = {{{author}}}" in text
