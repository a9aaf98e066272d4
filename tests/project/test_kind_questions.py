"""Nothing asks "pairs or masked views?" but the few places that read the kind of stored data.

What depends on a protocol is asked of the protocol, its track, or its kind of predictions, so that a protocol of
another package takes part. A new question has to become an answer of one of these.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fusionbench"
KINDS = {"masked", "pairs", "masked/1", "pairs/1"}  # of protocols and of data; "views" is a column as well
# file -> number of questions; each is about the kind of data on disk, which only two classes of recipes have
ALLOWED = {
    "data/card.py": 1,  # the card of a manifest, whose recipe is a plain table
    "data/recipes.py": 1,  # the one place where a recipe file becomes one of the two classes
    "data/torch_split.py": 1,  # crops of pairs are made, or stored views read
    "evaluation/pair_sets.py": 1,  # whether a data set is one of pairs
    "evaluation/stored_pairs.py": 1,  # the same of a data set that is opened
    "results/tracks.py": 1,  # a recipe of pairs has no numbers of inputs
}


def questions(text: str) -> Iterator[int]:
    """Lines that compare something with the name of a kind, look it up in a match, or test how it begins."""
    for node in ast.walk(ast.parse(text)):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            asked = node.args
        kinds = {"views", *KINDS} if _is_equality(node) else KINDS
        leaves = [leaf for one in asked for leaf in getattr(one, "elts", [one])]
        if any(isinstance(leaf, ast.Constant) and leaf.value in kinds for leaf in leaves):
            yield leaves[0].lineno


def _is_equality(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and all(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops)


def test_the_places_are_those_that_are_allowed() -> None:
    found = Counter(
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for _ in questions(path.read_text(encoding="utf-8"))
    )
    assert dict(found) == ALLOWED
    assert sum(ALLOWED.values()) <= 6


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ('x.kind == "pairs"', 1),
        ('"masked" != x', 1),
        ('x in ("pairs/1", "other")', 1),
        ('x.startswith("pairs")', 1),
        ('match x:\n    case "pairs":\n        pass', 1),
        ('x.kind == "views"', 1),
        ('"pairs" in x', 1),
        ('x in ("views", "target")', 0),
        ('x = "pairs"', 0),
        ('x == "pairs-demo"', 0),
        ('"pairs" if x.has_targets else "views"', 0),
    ],
)
def test_what_counts_as_a_question(line: str, count: int) -> None:
    assert len(list(questions(line))) == count
