"""Suites of registered pairs: run, go on, draw; what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.errors import DataError, UsageError
from fusionbench.suites import load_suite, run_suite
from tests.sources import folders

SMALL = """
format = "fusionbench.suite/1"
name = "small"
title = "small"
dataset = "pairs"
split = "all"
[protocol]
name = "pairs/1"
limit = 2
[[models]]
name = "copy-b"
[[models]]
name = "laplacian-pyramid"
params = {levels = 2}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for side in ("a", "b"):
        for number in range(3):
            folders.save(tmp_path / f"set/{side}/{number}.png", folders.picture(number, 48 + number, 50, grey=True))
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_run_draw_and_go_on(suite: Path) -> None:
    out = suite.parent / "results"
    first = run_suite(suite, source_dir=suite.parent / "set", out=out, device="cpu", sheets=True)
    assert [result.identity.model.name for result in first] == ["copy-b", "laplacian-pyramid"]
    assert first[1].identity.model.params == {"levels": 2} and first[1].family == "classical"
    assert all(result.identity.dataset.n == 2 for result in first)
    assert (out / "pairs" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    again = run_suite(suite, source_dir=suite.parent / "set", out=out, device="cpu")
    assert [result.provenance for result in again] == [result.provenance for result in first]


def test_what_learns_or_is_cut_short_is_refused(suite: Path) -> None:
    with pytest.raises(UsageError, match="leave out the budget"):
        run_suite(suite, source_dir=suite.parent / "set", budget="5%")
    suite.write_text(SMALL.replace('"copy-b"', '"dae-fuse"'))
    with pytest.raises(UsageError, match="has to be trained"):
        run_suite(suite, source_dir=suite.parent / "set", out=suite.parent / "results")
    suite.write_text(SMALL.replace('"pairs/1"', '"masked/1"\nstretch = true'))
    with pytest.raises(DataError, match="stretch"):
        load_suite(suite)
