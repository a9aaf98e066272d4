"""mypy checks strictly, and no public function hides a data set, stream, model, source or protocol behind ``Any``."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {"dataset", "stream", "model", "source", "protocol"}
UNTYPED = {"Any", "object"}


def hidden(tree: ast.Module) -> Iterator[str]:
    """Arguments and fields of public functions and classes that have one of the names and no type of their own."""

    def untyped(name: str, annotation: ast.expr | None) -> bool:
        if name not in NAMES:
            return False
        written = "object" if annotation is None else ast.unparse(annotation).strip("'\"")
        return bool({part.strip() for part in written.split("|")} & UNTYPED)

    def visit(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and prefix:
                if untyped(node.target.id, node.annotation):
                    yield f"{prefix}{node.target.id}"
            elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                yield from (
                    f"{prefix}{node.name}({argument.arg})"
                    for argument in arguments
                    if untyped(argument.arg, argument.annotation)
                )

    return visit(tree.body, "")


def test_no_public_signature_hides_what_it_takes() -> None:
    package = ROOT / "fusionbench"
    found = {
        f"{path.relative_to(package).as_posix()}: {what}"
        for path in package.rglob("*.py")
        for what in hidden(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(), "give these a type of fusionbench.core.interfaces"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(dataset: Any) -> None: ...", ["f(dataset)"]),
        ("def f(*, model: 'Any | None' = None) -> None: ...", ["f(model)"]),
        ("def f(stream, other: Any) -> None: ...", ["f(stream)"]),
        ("class A:\n    source: object", ["A.source"]),
        ("class A:\n    def __init__(self, protocol: Any) -> None: ...", ["A.__init__(protocol)"]),
        ("def f(dataset: Dataset, model: Model | None, other: Any) -> None: ...", []),
        ("def _f(dataset: Any) -> None: ...\nclass _A:\n    model: Any", []),
    ],
)
def test_the_search_finds_them(code: str, names: list[str]) -> None:
    assert list(hidden(ast.parse(code))) == names


def test_mypy_is_strict_everywhere() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["mypy"].getboolean("strict")
    assert {name.strip() for name in config["mypy"]["files"].split(",")} == {
        "fusionbench",
        "tests/contracts/interfaces.py",
    }
    assert not [section for section in config.sections() if section.startswith("mypy-")], "no module is let off"
