"""The tutorials: every command on them runs, in order, in one folder, and prints what the page says.

In a page, ``<!-- file: NAME -->`` before a block writes it to a file, ``<!-- tested -->`` runs a block of sh or python,
``<!-- prints -->`` before a block of text says which lines the last command printed (``…`` stands for anything), and
``<!-- workflow -->`` marks a GitHub workflow.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.helpers.fork_server import ForkServer

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"(?:^<!-- ([a-z]+)(?:: (\S+))? -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str, str]]:
    """(mark, name of the file, language, content) of every fenced block."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def environment(folder: Path) -> dict[str, str]:
    """That of a reader who has installed fusionbench: pip installs beside it, from files alone."""
    packages = folder / "site-packages"
    path = os.pathsep.join([str(packages), *filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)])])
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": path,
        "PIP_TARGET": str(packages),
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads the variable as the opposite of the option
        "PIP_NO_DEPS": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "200",
        "PYTHONUTF8": "1",
    }


def words(text: str) -> str:
    return " ".join(text.split())


def missing(expected: str, printed: str) -> str | None:
    """The first line that was not printed, in the order of the page; None when all were."""
    lines = [words(line) for line in printed.splitlines()]
    at = 0
    for wanted in filter(None, map(words, expected.splitlines())):
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in wanted.split("…")))
        at = next((number + 1 for number in range(at, len(lines)) if pattern.search(lines[number])), -1)
        if at < 0:
            return wanted
    return None


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_tutorial_runs(page: Path, tmp_path: Path, commands: ForkServer) -> None:
    variables, printed = environment(tmp_path), ""
    for mark, name, language, content in blocks(page):
        if mark == "file":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, encoding="utf-8")
        elif mark == "tested":
            done = commands.run(language, content, tmp_path, variables)
            printed = f"{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, f"{page.name}:\n{content}\n{printed}"
        elif mark == "prints":
            lacks = missing(content, printed)
            assert lacks is None, f"{page.name}: the line {lacks!r} was not printed:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_no_command_of_a_tutorial_goes_untested(page: Path) -> None:
    for mark, _, language, content in blocks(page):
        if language == "sh":
            assert mark == "tested", f"{page.name}: not marked as tested:\n{content}"
        if language in ("python", "toml"):
            assert mark in ("tested", "file"), f"{page.name}: neither run nor written to a file:\n{content}"
        if language == "yaml":
            assert mark == "workflow", f"{page.name}: not marked as a workflow:\n{content}"


def test_every_tutorial_is_listed() -> None:
    listed = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "index.md" or f"]({page.name})" in listed, page.name


def test_the_check_of_printed_lines_can_fail() -> None:
    assert missing("mean 7.1…\nb", "x\nmean    7.1234\nb") is None
    assert missing("b\nmean 7.1…", "mean 7.1234\nb") == "mean 7.1…"
    assert missing("a (b)", "a b") == "a (b)"
