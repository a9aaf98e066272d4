"""Columns of a large table that come later: the same numbers, sorted, shown and told of as those of a small one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board import build_board, late_columns
from tests.board.chrome import Chrome
from tests.board.test_browser import CHROMIUM
from tests.helpers.results import saved

ROWS = 4
ROW = "document.querySelector('.heat tbody tr:not(.heading)')"
CELLS = """Object.fromEntries([...document.querySelectorAll('.heat tbody tr:not(.heading)')].map((row) => [row.id,
  Object.fromEntries([...document.querySelectorAll('.heat thead th')].map((head, n) => [head.dataset.key,
  row.cells[n] === undefined ? null : n ? row.cells[n].textContent.trim() : '']))]))"""


def results_in(root: Path) -> Path:
    """Rows that the dialect orders the other way round."""
    rng = np.random.default_rng(1)
    for n in range(ROWS):
        values = rng.normal(0, 0.01, (2, 8)) + np.array([[n], [7 - n]])
        columns = {"en": values[0], "sd": values[0] / 2, "en@cddfuse": values[1], "sd@cddfuse": values[1] / 3}
        saved(root / "results", f"row-{n}", {key: list(column) for key, column in columns.items()})
    return root / "results"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The page with all columns, and the one that loads some."""
    root = tmp_path_factory.mktemp("late")
    results = results_in(root)
    whole = build_board(results, root / "whole", resamples=50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_columns, "MOST_FOLDED", 0)
        yield whole, build_board(results, root / "late", resamples=50)


def test_a_page_without_scripts_says_where_the_rest_is(sites: tuple[Path, Path]) -> None:
    whole, late = (page.read_text() for page in sites)
    assert whole.count("<td class=d>") == 2 * ROWS and "<td class=d>" not in late and "data-late" not in whole
    assert '<noscript>Every definition and number of inputs is in the <a href="data/pairs-demo' in late
    assert re.search(r'<label hidden><input type="checkbox" id="definitions"', late)
    assert late.count("<th scope") == whole.count("<th scope"), "heads are there, so that columns have names"
    assert (sites[1].parent / "data/pairs-demo-1-0-0-test/late.js").is_file()
    assert not (sites[0].parent / "data/pairs-demo-1-0-0-test/late.js").exists()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_what_comes_later_is_what_was_left_out(sites: tuple[Path, Path], tmp_path: Path) -> None:
    chrome = Chrome(CHROMIUM, tmp_path / "profile")
    try:
        chrome.open(sites[0].as_uri())
        wanted = chrome.value(CELLS)
        chrome.open(sites[1].as_uri())
        assert not any("late.js" in address for address in chrome.requests), "nobody has asked yet"
        assert {cells["en@cddfuse"] for cells in chrome.value(CELLS).values()} == {None}
        chrome.value("document.querySelector('#definitions').click()")
        chrome.until("document.querySelector('.heat tbody tr td.d')")
        assert chrome.value(CELLS) == wanted and len(wanted) >= ROWS
        assert chrome.value("document.querySelector('.heat tbody tr td.d').getClientRects().length") == 1
        chrome.open(sites[1].as_uri() + "#sort=en%40cddfuse:descending")
        chrome.until("document.querySelector('.heat [aria-sort]')")
        order = "[...document.querySelectorAll('.heat .ranked tr:not(.heading) a')].map((link) => link.textContent)"
        assert chrome.value(order) == ["row-0", "row-1", "row-2", "row-3"], "by the column that came later"
        chrome.value("document.querySelector('[data-group=mean-rank]').click()")
        place = "[...document.querySelectorAll('.heat thead th')].findIndex((head) => head.dataset.key === 'mean-rank')"
        chrome.until(f"{ROW}.cells[{place}].getClientRects().length === 1")
        cell = "document.querySelector('.heat tbody tr td.d')"
        chrome.value(f"{cell}.dispatchEvent(new PointerEvent('pointerover', {{bubbles: true, pointerType: 'touch'}}))")
        chrome.until("document.querySelector('#whisker:not([hidden])')")
        assert "EN cddfuse" in chrome.value("document.querySelector('#whisker b').textContent")
        assert chrome.problems == []
    finally:
        chrome.close()
