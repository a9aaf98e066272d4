"""Pages from templates: text stays text, scripts and styles lose nothing but bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusionbench.board.rendering import STATIC, compact, render


def test_text_is_text_and_letters_that_turn_its_direction_are_spelled_out() -> None:
    page = render("index.html", title="<b>\u202e", root="", cards=[], filters=[], set_aside=[]).decode()
    assert "<b>" not in page and "&lt;b&gt;" in page and "\u202e" not in page


@pytest.mark.parametrize("path", sorted(STATIC.glob("*")), ids=lambda path: path.name)
def test_only_blanks_and_whole_lines_of_comment_go(path: Path) -> None:
    made, source = compact(path).decode(), path.read_text()
    without = "\n".join(line for line in source.splitlines() if not line.strip().startswith("//"))
    assert re.sub(r"\s", "", made) == re.sub(r"\s", "", without) and len(made) < len(source)


def test_a_style_keeps_the_blanks_that_mean_something(tmp_path: Path) -> None:
    path = tmp_path / "a.css"
    path.write_text('a b , c {\n  width: calc(1px + 2px); content: " x";\n}\n')
    assert compact(path) == b'a b,c{width: calc(1px + 2px);content: " x";}'
