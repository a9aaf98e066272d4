"""Names, counts and texts of records: what passes and what does not, as msgspec sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
import pytest

from fusionbench.core import text

GOOD: list[tuple[Any, list[Any]]] = [
    (text.Version, ["0.0.0", "1.20.300"]),
    (text.RecipeName, ["fusionmnist", "small-pairs", "a" * 64]),
    (text.SuiteName, ["cvae+s", "2.0_x", "a" * 64]),
    (text.ResultName, ["", "Any name at all <b>", "a" * 200]),
    (text.Count, [1, 1 << 40]),
    (text.Natural, [0, 1]),
    (text.Plain, ["a+b_c-d"]),
]
BAD: list[tuple[Any, list[Any]]] = [
    (text.Version, ["1.0", "1.0.0\n", "1٣.0.0", "01.0.0", "1.0.0-rc", "1000000.0.0"]),
    (text.RecipeName, ["att\n", "", "1st", "cvae+s", "Upper", "a/b", "..", "a" * 65]),
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


def patterns() -> dict[str, str]:
    """Every pattern of a constrained string in the package, by where it was found: in type aliases and in structs."""
    import importlib
    import pkgutil

    import fusionbench

    found: dict[str, str] = {}

    def look(where: str, kind: Any) -> None:
        for meta in getattr(kind, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.pattern is not None:
                found.setdefault(meta.pattern, where)
        for part in getattr(kind, "__args__", ()):
            look(where, part)

    for info in pkgutil.walk_packages(fusionbench.__path__, "fusionbench."):
        if "__main__" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            look(f"{info.name}.{name}", value)
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                for field, kind in get_type_hints(value, include_extras=True).items():
                    look(f"{info.name}.{name}.{field}", kind)
    return found


PATTERNS = patterns()
# prose in any language, whose letters and digits are those of its script
PROSE = [pattern for pattern in PATTERNS if r"[\w .,:;" in pattern or "^<>" in pattern]
HIDDEN = ["\n", "\r", "\0", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066"]


def test_the_patterns_are_found() -> None:
    assert len(PATTERNS) > 10 and len(PROSE) == 3
    written = [  # in the text of the package
        line
        for path in (Path(__file__).parents[2] / "fusionbench").rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if "pattern=" in line and "Meta(" in line
    ]
    assert len(PATTERNS) >= len({line.partition("pattern=")[2] for line in written}) - 2  # some are equal


@pytest.mark.parametrize("pattern", PATTERNS, ids=PATTERNS.values())
def test_a_pattern_is_about_the_whole_text(pattern: str) -> None:
    """What it accepts, it accepts with no line end, control character or letter that turns the text, anywhere."""
    from hypothesis import HealthCheck, find, given, settings
    from hypothesis import strategies as st

    assert pattern.startswith(r"\A") and pattern.endswith(r"\Z") and r"\d" not in pattern, PATTERNS[pattern]
    kind = Annotated[str, msgspec.Meta(pattern=pattern)]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.from_regex(pattern, fullmatch=True))
    def check(text: str) -> None:
        assert msgspec.convert(text, kind) == text
        for hidden in HIDDEN:
            for changed in (text + hidden, hidden + text, text[: len(text) // 2] + hidden + text[len(text) // 2 :]):
                with pytest.raises(msgspec.ValidationError):
                    msgspec.convert(changed, kind)

    check()
    if pattern not in PROSE:
        digits = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
        text = find(
            st.from_regex(pattern, fullmatch=True),
            lambda text: any("0" <= letter <= "9" for letter in text),
            settings=settings(database=None, max_examples=2000),
        )
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text.translate(digits), kind)


HOSTILE = "a\x1b[2J\x07\x9b\u202eb<script>x</script>&lt;[l](javascript:x)![i](x)`|`\n# c"


def test_text_in_each_of_its_forms() -> None:
    assert text.printable("é ﬁ 中文 \u200d\t\n") == "é ﬁ 中文 \u200d\t\n"
    assert text.printable("\x1b\u202e\r") == r"\u001b\u202e\u000d"
    assert text.one_line("a\r\n\tb\x1b") == r"a b\u001b"
    for form in (text.printable, text.one_line, text.without_html, text.in_markdown):
        shown = form(HOSTILE)
        assert not {*shown} & {"\x1b", "\x07", "\x9b", "\u202e"}
        assert ("\n" in shown) == (form is text.printable)
    assert "<" not in text.without_html(HOSTILE) and "&amp;lt;" in text.without_html(HOSTILE)
    assert text.without_html("R&D, a > b, AT&T; x") == "R&D, a > b, AT&amp;T; x"


def test_markdown_is_rendered_as_the_text_that_it_was() -> None:
    """Oracle: another Markdown parser, and HTML of which only text is left."""
    markdown = pytest.importorskip("markdown")
    import html
    import re

    for given in (HOSTILE, "[a](b)", "![a](b)", "`c`", "<b>", "&copy;", "a | b", r"a\[b](c)", r"\`c`", "R&D"):
        rendered = markdown.markdown(text.in_markdown(given))
        assert re.findall(r"<(/?\w+)", rendered) == ["p", "/p"], rendered
        inside = html.unescape(rendered.removeprefix("<p>").removesuffix("</p>"))
        # this parser leaves the backslash before a bar, which ends no cell only with it
        assert inside.replace("\\|", "|").split() == text.one_line(given).replace("\\u", "\\u").split()


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        ("=1", "'=1"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("@a", "'@a"),
        ("\t=1", "' =1"),
        ("\r=1", "' =1"),
        ("\n@x", "' @x"),
        ("'=1", "''=1"),
        ("|x", "'|x"),
        ("－1", "'－1"),
        ("-1", "-1"),
        ("-1.5e-7", "-1.5e-7"),
        ("-inf", "-inf"),
        ("-1-1", "'-1-1"),
        ("a=b", "a=b"),
        ("", ""),
        ("\x1b[2J", "\\u001b[2J"),
    ],
)
def test_cells_that_are_no_formulas(given: str, cell: str) -> None:
    assert text.in_csv(given) == cell


def test_rows_of_csv_read_back() -> None:
    import csv

    rows = [["a,b", 'say "x"', "two\nlines", -0.5, None, True, 3]]
    assert list(csv.reader(text.csv_text(rows).splitlines())) == [
        ["a,b", 'say "x"', "two lines", "-0.5", "", "True", "3"]
    ]


def test_latex_has_every_special_letter_as_text() -> None:
    shown = text.in_latex("&%$#_{}~^\\<>|[*]\n^^5cinput")
    assert shown == (
        r"\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}\textgreater{}\textbar{}"
        r"{[}{*}{]} \textasciicircum{}\textasciicircum{}5cinput"
    )


def test_addresses_in_tables_are_no_links() -> None:
    markdown = pytest.importorskip("markdown")
    shown = text.in_markdown_table("see https://x.org and WWW.x.org, www.y.org")
    assert shown == r"see https\://x.org and WWW\.x.org, www\.y.org"
    assert "<a" not in markdown.markdown(shown)
