"""The mutation run: what it changes and what it leaves alone, and that it can tell a good test from a bad one."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("cosmic_ray")
ROOT = Path(__file__).parents[2]
SOURCE = '''"""A small module."""

from functools import lru_cache


@lru_cache
def larger(a: int | None, b: int | float = 3) -> bool | None:
    """Whether a > b."""
    x: int | str = 1
    return a > b and x == 1
'''


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants_tool", ROOT / "tools" / "mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_code_is_changed_and_annotations_are_not(tool: ModuleType) -> None:
    made = tool.sample_of(SOURCE, tool.places_of(SOURCE), None, "seed")
    assert len(made) > 10
    changed = {mutant.line for mutant in made}
    assert changed == {6, 7, 9, 10}, "decorator, default, number, comparison"
    for mutant in made:
        assert ast.dump(ast.parse(mutant.code)) != ast.dump(ast.parse(SOURCE))
        assert "int | None" in mutant.code and "int | str" in mutant.code and "bool | None" in mutant.code
    assert {"return a >= b and x == 1", "return a > b or x == 1"} <= {mutant.new for mutant in made}


def test_a_sample_is_fixed_spread_over_the_file_and_a_part_of_a_larger_one(tool: ModuleType) -> None:
    groups = tool.places_of(SOURCE)
    few, again, many = (tool.sample_of(SOURCE, groups, count, "seed") for count in (4, 4, 8))
    assert few == again == many[:4] and len({(m.line, m.operator.partition("_")[0]) for m in few}) == 4
    assert tool.sample_of(SOURCE, groups, 4, "another seed") != few


def test_every_file_of_the_settings_and_its_tests_are_there(tool: ModuleType) -> None:
    settings = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text())
    assert settings["sample"] > 0 and len(settings["file"]) >= 7
    for entry in settings["file"]:
        assert (ROOT / entry["path"]).is_file() and all((ROOT / test).is_file() for test in entry["tests"])
    for known in settings["equivalent"]:
        paths = [entry["path"] for entry in settings["file"]] if known["path"] == "*" else [known["path"]]
        lines = {line.strip() for path in paths for line in (ROOT / path).read_text().splitlines()}
        assert known["old"] in lines, f"{known['path']} has no such line any more: {known['old']}"
        assert known["why"] and known.get("new") != known["old"]


@pytest.mark.slow
def test_a_good_test_notices_and_a_bad_one_does_not(tmp_path: Path) -> None:
    """A repository of two modules: one is tested, of the other only that it can be imported."""
    for name in ("tools", "benchmarks"):
        (tmp_path / name).mkdir()
    (tmp_path / "tools" / "mutants.py").write_text((ROOT / "tools" / "mutants.py").read_text())
    for name in ("tested", "untested"):
        (tmp_path / f"{name}.py").write_text("def f(x):\n    return x - 7\n")
    (tmp_path / "test_tested.py").write_text("from tested import f\n\ndef test_f():\n    assert f(9.5) == 2.5\n")
    (tmp_path / "test_untested.py").write_text("from untested import f\n\ndef test_f():\n    assert callable(f)\n")
    (tmp_path / "tools" / "mutants.toml").write_text(
        "sample = 3\nseed = 1\n"
        + "".join(f'[[file]]\npath = "{name}.py"\ntests = ["test_{name}.py"]\n' for name in ("tested", "untested"))
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "One"]):
        subprocess.run([*git, *command], check=True)
    before = (tmp_path / "tested.py").read_bytes()
    codes = {}
    for name in ("test_tested", "untested"):
        done = subprocess.run(
            [sys.executable, "tools/mutants.py", "--only", name.removeprefix("test_"), "--out", f"{name}.json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=500,
        )
        codes[name] = (done.returncode, done.stderr.splitlines()[-1])
    assert codes["untested"] == (1, "untested.py: 0 of 3 noticed, 0 equivalent")
    assert (tmp_path / "tested.py").read_bytes() == before, "nothing is changed where people work"
    assert codes["test_tested"][1] == "untested.py: 0 of 3 noticed, 0 equivalent", "'tested' is a part of both names"
    import json

    report = json.loads((tmp_path / "test_tested.json").read_text())
    assert report["tried"] == 6 and report["files"]["tested.py"]["noticed"] == 3
    assert all(row["old"] == "return x - 7" for row in report["files"]["untested.py"]["survivors"])
