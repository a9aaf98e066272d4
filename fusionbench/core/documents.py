"""TOML from outside: refused by its shape before it is parsed, and by one line when it is no TOML.

``tomllib`` remembers every prefix of a dotted key, so that time and memory grow with the square of its parts: 20 kB of
``a.a.a…`` take hundreds of megabytes. Nothing that fusionbench reads has keys of more than a few parts.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from fusionbench.core.errors import DataError

MAX_PARTS = 16  # of a dotted key; three are the most that any format has
MAX_BYTES = 1 << 20
_MARK = re.compile(r"""[\"'#.=\n,{}\[\]]""")
# what is left of a string after its first quotes; possessive, so that no text makes it search twice
_STRINGS = {
    '"': re.compile(r'(?:[^"\\\n]++|\\.)*+"?'),
    "'": re.compile(r"[^'\n]*+'?"),
    '"""': re.compile(r'(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5})?', re.DOTALL),
    "'''": re.compile(r"(?:[^']++|'(?!''))*+(?:'{3,5})?", re.DOTALL),
}


def parse_toml(content: bytes | str, where: str, what: str = "TOML file", limit: int = MAX_BYTES) -> dict[str, Any]:
    """The table in a TOML document from outside; ``where`` and ``what`` name it in messages.

    Raises:
        DataError: too large, not UTF-8, not TOML, nested too deeply, or with a key of more than ``MAX_PARTS`` parts.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.core.documents import parse_toml
        >>> parse_toml(b"a.b = 1", "mine.toml")
        {'a': {'b': 1}}
        >>> try:
        ...     parse_toml("a." * 10_000 + "a = 1", "mine.toml")
        ... except FusionbenchError as error:
        ...     print(error)
        mine.toml: not a TOML file: line 1 has a key of more than 16 parts
    """
    if len(content) > limit:
        raise DataError(f"{where}: {len(content)} bytes is too large for a {what} (limit {limit})")
    try:
        text = content.decode() if isinstance(content, bytes) else content
        if line := line_of_long_key(text):
            raise DataError(f"{where}: not a {what}: line {line} has a key of more than {MAX_PARTS} parts")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, a number of 5,000 digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"{where}: not a {what}: {reason}") from error


def line_of_long_key(text: str, most: int = MAX_PARTS) -> int | None:
    """The first line of a TOML text with a dotted key of more than ``most`` parts; None when there is none.

    One pass without building anything. Dots in strings and comments do not count.
    """
    at = dots = 0
    while found := _MARK.search(text, at):
        mark, at = found[0], found.end()
        if mark == ".":
            dots += 1
            if dots >= most:
                return text.count("\n", 0, at) + 1
        elif mark in "\"'":  # a part of a key may be quoted: it ends no key
            if text.startswith(mark * 3, at - 1):
                mark, at = mark * 3, at + 2
            rest = _STRINGS[mark].match(text, at)
            at = rest.end() if rest else at
        elif mark == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            dots = 0
    return None
