"""The one place where text leaves for a terminal: nothing that comes out of a file can move its cursor.

A :class:`PrintableStream` is the stdout of every verb: what is printed passes :func:`fusionbench.core.text.printable`.
Tables of rich have colours of their own, which must reach a terminal, so :func:`console` does the same to the text in
them and writes past it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from fusionbench.core.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from fusionbench.results.comparison import Comparison
    from fusionbench.results.schema import Result


class PrintableStream:
    """A text stream that writes :func:`printable` text to another one, which is ``raw``; ``used`` once it has.

    ``json_lines``: it is one JSON document a line.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw, self.used, self.json_lines = raw, False, False

    def write(self, text: str) -> int:
        self.used = self.used or bool(text)
        self.raw.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is a file or a pipe, whose lines have any length."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return max(40, shutil.get_terminal_size().columns)


def wrapped(line: str, before: int, indent: int) -> list[str]:
    """A line as those that fit the terminal, ``before`` columns of the first one taken; whole where there is none."""
    width = terminal_width()
    if width is None:
        return [line]
    import textwrap

    head = line[: len(line) - len(line.lstrip())]  # textwrap drops what a first line begins with
    text = textwrap.fill(
        line.strip(),
        max(20, width - 1),
        initial_indent=head + "\0" * before,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return text.replace("\0", "").split("\n")


def echo_marked(mark: str, rest: str = "", **style: Any) -> None:
    """A line whose begin has a colour or is bold on a terminal; click's own would be escaped on its way to stdout."""
    import os

    stdout = sys.stdout
    if not stdout.isatty() or os.environ.get("NO_COLOR") or sys.platform == "win32":
        print(f"{mark}{rest}")
        return
    import click

    raw = stdout.raw if isinstance(stdout, PrintableStream) else stdout
    raw.write(f"{click.style(printable(mark), **style)}{printable(rest)}\n")


def print_json_lines() -> None:
    """Say that this verb prints one JSON document a line: an error that ends it is one more line."""
    if isinstance(sys.stdout, PrintableStream):
        sys.stdout.json_lines = True


def console(width: int, stderr: bool = False) -> Console:
    """A rich console on stdout, or on stderr, ``width`` columns wide where that is no terminal.

    The texts of its tables are printable; the colours are its own.
    """
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.text import Text

    class PrintableConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)  # before a column is measured

        def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

        def on_broken_pipe(self) -> None:
            self.quiet = True  # rich's own ends the process with 1, the exit code of a regression

    stream = sys.stderr if stderr else sys.stdout
    raw = stream.raw if isinstance(stream, PrintableStream) else stream
    return PrintableConsole(file=raw, width=None if stream.isatty() else width)


def print_tables(comparison: Comparison, stderr: bool = False) -> None:
    """A comparison as tables on stdout, or on stderr, and as talk what they mean."""
    from fusionbench.core.progress import say
    from fusionbench.results import tables

    terminal = console(200, stderr)
    for number, table in enumerate(tables.as_tables(comparison, terminal.width)):
        terminal.print(*([""] if number else []), table, sep="\n")
    for line in (tables.legend(comparison), *tables.notes(comparison)):
        say(line)


def print_results(results: Sequence[Result], out: Path, as_json: bool) -> None:
    """The folder of each result below ``out``, or the results as JSON, a line each."""
    import json

    import click
    import msgspec

    if as_json:
        print_json_lines()
    for result in results:
        folder = result.folder(out)
        body = {"folder": str(folder), **msgspec.to_builtins(result)}
        click.echo(json.dumps(body) if as_json else str(folder))
