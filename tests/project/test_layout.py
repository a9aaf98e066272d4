"""The package's order: rooms, one test file for every module, files of a readable length, one module for a name."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fusionbench"
MOST_LINES = 400
NEEDS_TESTS = 40  # lines of code from which on a module has a test file of its own

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" and path.parent != PACKAGE)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def place_of_tests(path: Path) -> Path:
    """Where the tests of a module are; a leading underscore does not count."""
    return ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.stem.lstrip('_')}.py"


def code_lines(source: str) -> int:
    """Lines with code: no comments, no docstrings, no empty ones."""
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in nothing:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def test_lines_of_code_are_counted_as_people_would() -> None:
    head = '"""Title.\n\nMore.\n"""\n\nimport os  # why\n\n\n# alone\n'
    source = head + 'def f(\n    x,\n):\n    """Says."""\n    return """a\nb"""\n'
    assert code_lines(source) == 1 + 3 + 2
    assert code_lines("x = '''\n\n'''\n") == 3, "a text that is a value is code"


def test_every_module_has_its_place_of_tests() -> None:
    found = {name_of(path) for path in MODULES if code_lines(path.read_text()) > NEEDS_TESTS}
    missing = {name for name in found if not place_of_tests(PACKAGE / name).is_file()}
    assert len(found) > 100
    assert not missing, f"write tests/<room>/test_<module>.py for {', '.join(sorted(missing))}"


def test_test_files_have_tests_in_them() -> None:
    for path in MODULES:
        if (tests := place_of_tests(path)).is_file():
            names = [node.name for node in ast.walk(ast.parse(tests.read_text())) if isinstance(node, ast.FunctionDef)]
            assert any(name.startswith("test_") for name in names), tests


def test_folders_of_tests_are_the_rooms_and_a_few_of_their_own() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == rooms | {"contracts", "golden", "helpers", "project", "security"}


def test_the_top_of_the_package_has_the_rooms_and_two_modules() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) == 12 and all((folder / "__init__.py").is_file() for folder in folders)


def test_files_have_a_readable_length() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    long = {path.relative_to(ROOT).as_posix() for path in files if len(path.read_text().splitlines()) > MOST_LINES}
    assert not long, f"more than {MOST_LINES} lines: split {', '.join(sorted(long))} where two names say it better"


def test_a_public_name_has_one_module() -> None:
    where = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                where[node.name].add(path.relative_to(PACKAGE).as_posix())
    shared = {name: sorted(places) for name, places in where.items() if len(places) > 1 and name != "main"}
    assert not shared, f"two modules define the same public name: {shared}"


def test_rooms_import_to_the_left_only() -> None:
    pytest.importorskip("importlinter")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_paths_from_a_test_file_lead_somewhere() -> None:
    """``parents[1]`` of a test in a room is the folder ``tests``, which only has golden files to offer."""
    for path in (ROOT / "tests").rglob("*.py"):
        depth = len(path.relative_to(ROOT).parts) - 1
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "__file__" in line and f"parents[{depth - 1}]" in line and depth > 1 and path != Path(__file__):
                assert "golden" in line, f"{path}:{number}: this is not the root of the repository"
