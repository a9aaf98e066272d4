"""Errors for people: exit codes, suggestions, and one line for many problems."""

from __future__ import annotations

import pytest

from fusionbench.core.errors import (
    CannotMeasure,
    DataError,
    FusionbenchError,
    NotComparable,
    Problem,
    Rejected,
    SizesDiffer,
    UsageError,
    refuse_all,
    some,
    unknown_name,
)


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {UsageError: 2, DataError: 2, SizesDiffer: 2, Rejected: 1, CannotMeasure: 3, NotComparable: 4}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(issubclass(kind, FusionbenchError) for kind in codes) and FusionbenchError.exit_code == 2


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("vff", ["vif", "viff", "en"], "Unknown metric 'vff'. Did you mean 'viff' or 'vif'?"),
        ("vff", ["vif", "vif", "vif"], "Unknown metric 'vff'. Did you mean 'vif'?"),
        ("xyz", ["b", "a"], "Unknown metric 'xyz'. Known: a, b."),
        ("", ["b"], "Unknown metric ''. Known: b."),
        ("x", [], "Unknown metric 'x'. Known: none."),
        ("aaaa", ["aaab", "aaac", "aaad", "aaae"], "Unknown metric 'aaaa'. Did you mean 'aaae' or 'aaad' or 'aaac'?"),
    ],
)
def test_unknown_names_get_the_nearest_ones(name: str, known: list[str], message: str) -> None:
    assert str(unknown_name("metric", name, iter(known))) == message
    assert str(unknown_name("metric", name, known, see="list")) == f"{message} See `list`."


@pytest.mark.parametrize(("count", "tail"), [(0, ""), (1, ""), (8, ""), (9, " and 1 more"), (30, " and 22 more")])
def test_some_names_eight_and_counts_the_others(count: int, tail: str) -> None:
    names = [f"f{i}" for i in range(count)]
    assert some(names) == ", ".join(names[:8]) + tail
    assert some(names, "; ", shown=30) == "; ".join(names)


def test_no_problems_are_no_error() -> None:
    refuse_all([], "three files")


def test_one_problem_stands_for_itself() -> None:
    problem = SizesDiffer("a.png is 3×4 and b.png 3×5")
    with pytest.raises(SizesDiffer) as caught:
        refuse_all([problem], "one file")
    assert caught.value is problem
    assert str(problem) == "a.png is 3×4 and b.png 3×5; resize or register them, fusionbench does not"


def test_many_problems_are_one_line_and_sizes_have_their_remedy_once() -> None:
    sizes = [SizesDiffer(f"{name}.png is small") for name in "dc"]
    with pytest.raises(DataError) as caught:
        refuse_all([DataError("b: cut off"), *sizes, DataError("a: no image")], "four files")
    assert str(caught.value) == (
        "four files: a: no image; b: cut off; 2 of different sizes (c.png is small; d.png is small): "
        "resize or register them, fusionbench does not"
    )
    with pytest.raises(DataError, match=r"^sizes: 2 of different sizes"):
        refuse_all(sizes, "sizes")
    with pytest.raises(DataError) as caught:
        refuse_all([DataError(f"f{i}") for i in range(12)], "many")
    assert str(caught.value) == "many: f0; f1; f10; f11; f2; f3; f4; f5 and 4 more"


def test_a_problem_reads_as_file_rule_and_remedy() -> None:
    assert str(Problem("model.py", "imports os", "leave it out")) == "model.py: imports os; leave it out"


def test_large_numbers_of_names_have_separators() -> None:
    assert some([str(number) for number in range(2000)], "; ", shown=2) == "0; 1 and 1,998 more"
