"""The figure of docs/architecture.md: its numbers are counted right, and it shows the rooms and arrows of today."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("grimp", reason="comes with import-linter, of the extra `dev`")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "tools" / "draw_architecture.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def imports_by_hand(folder: Path) -> set[tuple[str, str]]:
    """(importer, imported) over all modules of a package that imports with `from package.x import y` and `import`."""
    files = {".".join(file.relative_to(folder.parent).with_suffix("").parts): file for file in folder.glob("**/*.py")}
    modules = {name.removesuffix(".__init__"): file for name, file in files.items()}
    found = set()
    for name, file in modules.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for each in node.names:
                    full = f"{node.module}.{each.name}"
                    found.add((name, full if full in modules else node.module))
            elif isinstance(node, ast.Import):
                found |= {(name, each.name) for each in node.names}
    return {(a, b) for a, b in found if b in modules}


def test_the_figure_shows_the_rooms_and_arrows_of_today(tool: ModuleType) -> None:
    rooms = tool.rooms_in_order(ROOT / ".importlinter", "fusionbench")
    now = tool.measure(rooms, "fusionbench", ROOT / "fusionbench")
    drawn = json.loads((ROOT / tool.NUMBERS).read_text(encoding="utf-8"))
    assert tool.changes(drawn, now) == [], "run python tools/draw_architecture.py, and look at the figure"
    assert {path.name for path in (ROOT / "fusionbench").iterdir() if (path / "__init__.py").exists()} == set(rooms)


def test_the_numbers_are_those_of_the_syntax_trees(tool: ModuleType) -> None:
    rooms = tool.rooms_in_order(ROOT / ".importlinter", "fusionbench")
    now = tool.measure(rooms, "fusionbench", ROOT / "fusionbench")
    expected: dict[str, dict[str, int]] = {room: {} for room in rooms}
    for importer, imported in imports_by_hand(ROOT / "fusionbench"):
        a, b = (f"{name}.".split(".")[1] for name in (importer, imported))
        if a in rooms and b in rooms and a != b:
            expected[a][b] = expected[a].get(b, 0) + 1
    assert now["imports"] == expected
    for a, row in expected.items():
        assert all(rooms.index(b) < rooms.index(a) for b in row), f"{a} imports to the right"


def test_a_package_by_hand(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "littlehouse"
    for name, text in {
        "__init__.py": "",
        "low/__init__.py": "",
        "low/a.py": "X = 1\nY = 2\n",
        "high/__init__.py": "from littlehouse.low import a\n",
        "high/b.py": "def f() -> int:\n    from littlehouse.low.a import X\n\n    return X\n",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = tool.measure(["low", "high"], "littlehouse", package)
    assert found["rooms"] == {"low": {"modules": 2, "lines": 2}, "high": {"modules": 2, "lines": 5}}
    assert found["imports"] == {"low": {}, "high": {"low": 2}}


def test_what_counts_as_out_of_date(tool: ModuleType) -> None:
    def numbers(modules: int, lines: int, **arrows: int) -> dict[str, object]:
        sizes = {"low": {"modules": 4, "lines": 9}, "high": {"modules": modules, "lines": lines}}
        return {"rooms": sizes, "imports": {"low": {}, "high": dict(arrows)}}

    drawn = numbers(10, 100, low=3)
    assert tool.changes(drawn, numbers(12, 900, low=8)) == []  # a count alone is no reason to draw it again
    assert tool.changes(drawn, numbers(16, 100, low=3)) == ["high had 10 modules and has 16"]
    assert tool.changes(drawn, numbers(10, 100)) == ["high no longer imports low"]
    assert tool.changes(numbers(10, 100), drawn) == ["high imports low"]
    other = {"rooms": {"low": {}, "top": {}}, "imports": {}}
    assert tool.changes(drawn, other) == ["the rooms were low, high and are low, top"]


def test_the_figure_is_the_same_every_time(tool: ModuleType, tmp_path: Path) -> None:
    numbers = json.loads((ROOT / tool.NUMBERS).read_text(encoding="utf-8"))
    for name in ("a.svg", "b.svg"):
        tool.draw(numbers, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()


def test_the_page_names_modules_that_exist(tool: ModuleType) -> None:
    rooms = tool.rooms_in_order(ROOT / ".importlinter", "fusionbench")
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(rf"(?<![\w./])(?:{'|'.join(rooms)})\.[a-z_]+(?:\.[a-z_]+)?(?![\w(])", text))
    assert len(names) > 40
    for name in sorted(names):
        path = ROOT / "fusionbench" / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), f"docs/architecture.md: {name}"
    assert " < ".join(rooms) in text
