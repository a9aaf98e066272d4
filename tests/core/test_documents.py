"""TOML is refused by its shape before it is parsed; oracle: tomllib, on what it can parse in reasonable time."""

from __future__ import annotations

import tomllib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.documents import MAX_PARTS, line_of_long_key, parse_toml
from fusionbench.core.errors import DataError

ROOT = Path(__file__).parents[2]


def deepest(value: object) -> int:
    """How deeply tables lie in each other."""
    if isinstance(value, dict):
        return 1 + max(map(deepest, value.values()), default=0)
    return max(map(deepest, value), default=0) if isinstance(value, list) else 0


LONG = {
    "a key": "a." * 10_000 + "a = 1",
    "a header": "[" + "a." * 10_000 + "a]",
    "an array of tables": "[[" + "a." * 20 + "a]]",
    "in an inline table": "x = { " + "a." * 20 + "a = 1 }",
    "quoted parts": "'x'." * 20 + '"y" = 1',
    "parts between blanks": "a \t. " * 20 + "a = 1",
    "after a string": 'x = """\n"""\n' + "a." * 20 + "a = 1",
    "after quotes in a comment": "# it's\n" + "a." * 20 + "a = 1",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_keys_are_refused_before_they_are_parsed(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x\.toml: not a TOML file: line \d+ has a key of more than 16 parts"):
            parse_toml(text, "x.toml")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20  # parsing the first takes hundreds of megabytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        "a." * (MAX_PARTS - 1) + "a = 1",
        'a = "' + "." * 100 + '"',
        "a = '" + "." * 100 + "' # " + "." * 100,
        'a = """' + "." * 100 + '\\""" ' + "." * 50 + '"""',
        "a = '''" + "." * 100 + "''' ",
        "a = [" + "1.5, " * 100 + "]",
        "\n".join(f"k{i} = {i}.5" for i in range(100)),
        'a = """x""""\nb = 1',  # a quote before the end
        "",
    ],
)
def test_what_may_have_many_dots(text: str) -> None:
    assert parse_toml(text, "x.toml") == tomllib.loads(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([*"a.=\"'\\[]{}#\n, 1", '"""', "'''", "a.b", "a = 1\n", ".a" * 9]), max_size=40))
def test_nothing_that_is_parsed_is_deeper(parts: list[str]) -> None:
    text = "".join(parts)
    line = line_of_long_key(text)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    # a header and a key in it, and tables in arrays, add up; no single key is longer than the most that is allowed
    if line is None:
        assert deepest(table) <= (MAX_PARTS + 1) * (1 + text.count("{")) * 2
    else:
        assert text.count(".") >= MAX_PARTS


@pytest.mark.parametrize(
    "text", ["'" * 300_000, '"' * 300_001, '"""' + "\\" * 300_000, "a\n" * 150_000, "'''" * 99_999]
)
def test_the_scan_is_linear(text: str) -> None:
    """Texts on which a search that goes back would take hours."""
    assert line_of_long_key(text) is None


@pytest.mark.parametrize(
    "content", [b"\xff", b"a = ", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5_000, b"a = 1\na = 2", b"a" * (2 << 20)]
)
def test_what_is_no_toml_is_one_line(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^x\.toml: ") as caught:
        parse_toml(content, "x.toml")
    assert "\n" not in str(caught.value)


def test_files_that_come_with_fusionbench_are_read() -> None:
    files = [*ROOT.glob("datasets_recipes/*.toml"), *ROOT.glob("benchmarks/*.toml")]
    assert len(files) > 20
    for path in files:
        assert parse_toml(path.read_bytes(), str(path)) == tomllib.loads(path.read_text("utf-8"))
