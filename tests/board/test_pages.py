"""A board in memory: what is damaged is left out and listed, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.board.pages import Pages, content_of, relative
from fusionbench.core.errors import DataError
from fusionbench.results.result_set import SetAside


def test_a_fault_of_one_file_ends_with_it() -> None:
    pages, done = Pages(), []
    for name in ("a", "b"):
        with pages.isolated(Path(name)):
            if name == "a":
                raise DataError("a: no\nPNG")
            done.append(name)
    assert done == ["b"] and [str(one) for one in pages.set_aside] == ["a: no PNG; left out"]
    with pytest.raises(DataError, match="no PNG"), Pages(strict=True).isolated(Path("a")):
        raise DataError("no PNG")


def test_other_faults_are_not_hidden() -> None:
    with pytest.raises(KeyError), Pages().isolated(Path("a")):
        raise KeyError("a fault of ours")


def test_names_do_not_tell_where_the_results_lie(tmp_path: Path) -> None:
    aside = [SetAside(tmp_path / "b", f"as {tmp_path}/c"), SetAside(tmp_path / "a", "x"), SetAside(tmp_path / "a", "x")]
    assert [(one.file, one.reason) for one in relative(aside, tmp_path)] == [("a", "x"), ("b", "as c")]


def test_content_is_made_when_it_is_asked_for() -> None:
    assert (content_of(b"x"), content_of(lambda: b"y")) == (b"x", b"y")
