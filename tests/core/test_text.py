"""Names, counts and texts of records: what passes and what does not, as msgspec sees it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fusionbench.core import text

GOOD: list[tuple[Any, list[Any]]] = [
    (text.RecipeName, ["fusionmnist", "small-pairs", "a" * 64]),
    (text.SuiteName, ["cvae+s", "2.0_x", "a" * 64]),
    (text.ResultName, ["", "Any name at all <b>", "a" * 200]),
    (text.Count, [1, 1 << 40]),
    (text.Natural, [0, 1]),
    (text.Plain, ["a+b_c-d"]),
]
BAD: list[tuple[Any, list[Any]]] = [
    (text.RecipeName, ["", "1st", "cvae+s", "Upper", "a/b", "..", "a" * 65]),
    (text.SuiteName, ["", "+s", ".hidden", "Upper", "a/b", "a" * 65]),
    (text.ResultName, ["a" * 201, 3]),
    (text.Count, [0, -1, "1"]),
    (text.Natural, [-1]),
    (text.Plain, ["a.b", "-a", "a\n"]),
]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in GOOD for value in values])
def test_what_passes(kind: Any, value: Any) -> None:
    assert msgspec.convert(value, kind) == value


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in BAD for value in values])
def test_what_does_not(kind: Any, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)
