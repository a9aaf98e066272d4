"""The rows of a table for a paper: measured and printed ones by the names that people give them, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.results.comparison import Entry, title_of
from fusionbench.results.published import beside, shipped
from fusionbench.results.schema import Result

_ID = re.compile("[0-9a-f]{6,64}")


@dataclass(frozen=True)
class ChosenRow:
    """A row and what the table calls it: a measured ``entry``, or a ``printed`` result of a paper."""

    title: str
    entry: Entry | None = None
    printed: Result | None = None


@dataclass(frozen=True)
class _Wanted:
    name: str
    title: str | None

    def fits(self, results: Sequence[Result], title: str) -> bool:
        first = results[0]
        known = {_plain(first.identity.model.name), _plain(title_of(first)), _plain(title)}
        return _plain(self.name) in known or any(
            _ID.fullmatch(self.name) is not None and one.id.startswith(self.name) for one in results
        )

    def is_exactly(self, row: ChosenRow) -> bool:
        """Whether the name is the row's title, or that of all variants of one method, letter by letter."""
        theirs = row.entry.results[0] if row.entry is not None else row.printed
        return self.name == row.title or (theirs is not None and self.name == title_of(theirs))


def choose_rows(
    wanted: Sequence[str], entries: Sequence[Entry], printed: Sequence[Result], *, usual: Iterable[int]
) -> list[ChosenRow]:
    """The rows in the order of ``wanted``; without names all of them, in the order ``usual``, printed ones last.

    A name is that of a model or a row's title, in any case, or the first digits (six or more) of a result's id, which
    tells two rows of one name apart; a title written exactly as it is means this one alone. ``NAME=TITLE`` says what
    the table calls it.

    Raises:
        UsageError: a name that fits no row, a title for several rows, or a row twice.
    """
    with_equals = sorted({entry.title for entry in entries if "=" in entry.title}, key=len, reverse=True)
    names = [_parse(text, with_equals) for text in wanted if text.strip()]
    if not names:
        measured = [ChosenRow(entries[i].title, entry=entries[i]) for i in usual]
        return measured + [ChosenRow(title_of(one), printed=one) for one in printed]
    found: list[ChosenRow] = []
    for name in names:
        rows = [ChosenRow(entry.title, entry=entry) for entry in entries if name.fits(entry.results, entry.title)]
        theirs = [ChosenRow(title_of(one), printed=one) for one in printed if name.fits([one], title_of(one))]
        rows, theirs = ([row for row in found if name.is_exactly(row)] or found for found in (rows, theirs))
        if not rows and not theirs:
            titles = [entry.title for entry in entries] + [title_of(one) for one in printed]
            models = [entry.results[0].identity.model.name for entry in entries]
            raise unknown_name("row", name.name, [*models, *titles])
        if name.title is not None:
            if len(rows) > 1:
                ids = ", ".join(row.entry.results[0].id[:12] for row in rows if row.entry is not None)
                raise UsageError(
                    f"--rows: {len(rows)} rows are called {name.name!r}, and a title is for one: name it by its id "
                    f"({ids}), as in --rows {ids[:8]}={name.title}"
                )
            rows = [ChosenRow(name.title, entry=row.entry) for row in rows]
            theirs = [ChosenRow(name.title, printed=row.printed) for row in theirs] if not rows else theirs
        for row in rows + theirs:
            if any(row.entry is one.entry and row.printed is one.printed for one in found):
                raise UsageError(f"--rows: {name.name!r} is a row that is named before; name each row once")
            found.append(row)
    if not any(row.entry is not None for row in found):
        raise UsageError("--rows names no measured row; name one, or leave --rows out")
    return found


def printed_rows(entries: Sequence[Entry], given: Iterable[Result]) -> list[Result]:
    """Numbers of papers about the data of measured rows: those among the results given, and those that are shipped."""
    first = entries[0].results[0]
    every = {one.id: one for one in (*given, *shipped())}
    return [one for one in every.values() if beside(one, first)]


def _parse(text: str, with_equals: Sequence[str]) -> _Wanted:
    """A name, with the title to be shown. Titles of variants have an equals sign of their own: ``Mix w=0.7=Ours``."""
    known = next((one for one in with_equals if re.match(rf"{re.escape(one)}\s*(=|$)", text.strip())), "")
    more, equals, title = (part.strip() for part in text.strip().removeprefix(known).partition("="))
    name = known + more
    if not name or (equals and not title):
        raise UsageError(f"--rows {text!r}: give NAME, or NAME=TITLE")
    return _Wanted(name, title or None)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
