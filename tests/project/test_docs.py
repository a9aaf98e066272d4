"""The documents: examples marked as tested run, links lead somewhere, every verb is told of."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from fusionbench.cli import VERBS
from tests.helpers.fork_server import ForkServer

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
GENERATED = re.compile(r"(?:\.\./)*reference/(?:metrics|api|command-line)|(?:metrics|api)/|command-line")
EXAMPLE = re.compile(r"<!-- tested -->\n```(sh|python)\n(.*?)```", re.DOTALL)
EXAMPLES = [
    (page, *match)
    for page in PAGES
    if page.parent.name != "tutorials"  # tests/project/test_tutorials.py runs those, in order
    for match in EXAMPLE.findall(page.read_text())
]


@pytest.mark.parametrize(("page", "language", "code"), EXAMPLES, ids=[example[0].name for example in EXAMPLES])
def test_examples_run(page: Path, language: str, code: str, tmp_path: Path, commands: ForkServer) -> None:
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = commands.run(language, code, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples() -> None:
    assert {example[1] for example in EXAMPLES} == {"sh", "python"}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target and not GENERATED.match(target):  # tests/project/test_docs_site.py follows those
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_commands_in_the_text_exist(page: Path) -> None:
    for verb in re.findall(r"^    fusionbench ([a-z]+)|`fusionbench ([a-z]+)", page.read_text(), re.MULTILINE):
        assert (verb[0] or verb[1]) in VERBS, f"{page.name} tells of `fusionbench {verb[0] or verb[1]}`"


def test_every_verb_is_told_of() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert [verb for verb in VERBS if f"`{verb}`" not in text] == []


def test_help_of_every_verb_has_an_example() -> None:
    from fusionbench.cli import cli

    for verb in VERBS:
        command = cli.get_command(None, verb)  # type: ignore[arg-type]
        assert command is not None and f"Example: fusionbench {verb}" in (command.help or ""), verb


def test_every_suite_is_in_the_table_of_suites() -> None:
    text = (ROOT / "docs/evaluation.md").read_text()
    missing = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.toml")) if f"`{path.stem}`" not in text]
    assert missing == []
