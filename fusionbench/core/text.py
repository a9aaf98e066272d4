"""Text from outside: constrained types for records, and forms in which any text can be printed or rendered.

Patterns stand between ``\\A`` and ``\\Z`` and spell digits as ``[0-9]``: ``$`` matches before a last line end as well,
and ``\\d`` the digits of every script.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Annotated

import msgspec

from fusionbench.core.io import UNSEEN

# Letters of any script, digits and ordinary punctuation; no markup, no control characters, no line ends.
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"\A[\w .,:;+()'&/@×–-]*\Z")]
Link = Annotated[str, msgspec.Meta(max_length=300, pattern=r"\Ahttps://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+\Z")]
Note = Annotated[str, msgspec.Meta(max_length=2000)]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
# What a folder may be called on every system; it never names a path.
Plain = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9+_-]{0,63}\Z")]
# Names in recipes, suites and results differ: those of data sets are parts of commands and folders, rows of suites are
# called like models (``cvae+s``), and results come from anywhere.
RecipeName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,63}\Z")]
SuiteName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9+._-]{0,63}\Z")]
ResultName = Annotated[str, msgspec.Meta(max_length=200)]
Version = Annotated[str, msgspec.Meta(pattern=r"\A(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\Z")]
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]

_ESCAPES = {code: f"\\u{code:04x}" for code in UNSEEN}
_ESCAPES_IN_LINES = {code: text for code, text in _ESCAPES.items() if code not in (0x09, 0x0A)}


def printable(text: str) -> str:
    """Lines of text for a terminal or a page: what moves a cursor or turns the direction of text becomes ``\\uXXXX``.

    Line ends and tabs stay. In JSON, where such letters are inside strings only, the value stays the same.

    Example:
        >>> from fusionbench.core.text import printable
        >>> print(printable("red \\x1b[31m, hidden \\u202e"))
        red \\u001b[31m, hidden \\u202e
    """
    return text.translate(_ESCAPES_IN_LINES)


def one_line(text: str) -> str:
    """:func:`printable` text on one line: line ends and tabs become blanks.

    Example:
        >>> from fusionbench.core.text import one_line
        >>> one_line("two\\nlines")
        'two lines'
    """
    return re.sub(r"[\t\n\r]+", " ", text).translate(_ESCAPES)


def without_html(text: str) -> str:
    """:func:`one_line` of text that a catalogue may take for HTML: no tag and no entity is left in it.

    Example:
        >>> from fusionbench.core.text import without_html
        >>> without_html("<b>x</b> &lt; R&D")
        '&lt;b>x&lt;/b> &amp;lt; R&D'
    """
    return re.sub(r"&(?=#|\w+;)", "&amp;", one_line(text)).replace("<", "&lt;")


def in_markdown(text: str) -> str:
    """:func:`without_html` for Markdown: nor is there a link, an image, a code span or the end of a table's cell.

    Example:
        >>> from fusionbench.core.text import in_markdown
        >>> print(in_markdown("a | `c`"))
        a \\| \\`c\\`
    """
    return re.sub(r"([\\\[\]|`])", r"\\\1", without_html(text))


def in_markdown_table(text: str) -> str:
    """:func:`in_markdown` with no emphasis and no bare address that a viewer makes a link of, for tables and reports.

    Example:
        >>> from fusionbench.core.text import in_markdown_table
        >>> print(in_markdown_table("**a** https://example.org"))
        \\*\\*a\\*\\* https\\://example.org
    """
    return re.sub(r"(?i)(?<=www)(?=\.)|(?=://)", r"\\", re.sub(r"([*_])", r"\\\1", in_markdown(text)))


# What a spreadsheet takes for the begin of a formula; East Asian versions take the wide forms, too.
_FORMULA = re.compile(r"['\s]*[=+\-@|%＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-inf")


def in_csv(text: str) -> str:
    """:func:`one_line` text for a cell that no spreadsheet takes for a formula: such a text gets a ``'`` before it.

    A number, with its sign, stays one.

    Example:
        >>> from fusionbench.core.text import in_csv
        >>> [in_csv(text) for text in ("=1+1", "\\t@SUM(A1)", "-0.5", "a-b")]
        ["'=1+1", "' @SUM(A1)", '-0.5', 'a-b']
    """
    shown = one_line(text)
    return f"'{shown}" if _FORMULA.match(shown) and not _NUMBER.fullmatch(shown) else shown


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV for people and their spreadsheets: every text :func:`in_csv`, None an empty cell.

    Example:
        >>> from fusionbench.core.text import csv_text
        >>> print(csv_text([["model", "mean"], ["=A1", -0.5]]), end="")
        model,mean
        '=A1,-0.5
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([in_csv(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return buffer.getvalue()


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",  # nor is there any ^^5c left
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    # behind the end of a table's line, [ and * belong to \\
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def in_latex(text: str) -> str:
    """:func:`one_line` text in which nothing is a command, a comment, mathematics or an argument to LaTeX.

    Example:
        >>> from fusionbench.core.text import in_latex
        >>> print(in_latex("50 % of a_b"), in_latex(r"\\input{x}"))
        50 \\% of a\\_b \\textbackslash{}input\\{x\\}
    """
    return "".join(_LATEX.get(letter, letter) for letter in one_line(text))


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless there is one.

    Example:
        >>> from fusionbench.core.text import counted
        >>> counted(1, "problem"), counted(0, "problem"), counted(1200, "item")
        ('1 problem', '0 problems', '1,200 items')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def letters_of(place: int) -> str:
    """The letters that number places: a to z, then aa, ab and so on.

    Example:
        >>> from fusionbench.core.text import letters_of
        >>> [letters_of(place) for place in (0, 25, 26, 702)]
        ['a', 'z', 'aa', 'aaa']
    """
    letters = ""
    while place >= 0:
        place, letters = place // 26 - 1, chr(ord("a") + place % 26) + letters
    return letters
