"""What is printed cannot move a cursor: texts are spelled out, colours of tables stay."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import click
import pytest

from fusionbench.cli.console import PrintableStream, console

HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b31m\u202eb\r"
SHOWN = r"a\u001b[2J\u001b]0;t\u0007\u009b31m\u202eb\u000d"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stream_spells_out_what_moves_a_cursor() -> None:
    raw = io.StringIO()
    stream = PrintableStream(raw)
    assert stream.write(HOSTILE) == len(HOSTILE)
    stream.writelines(["\tx\n", "\x00"])
    assert raw.getvalue() == SHOWN + "\tx\n" + r"\u0000"
    assert stream.getvalue() == raw.getvalue() and not stream.isatty()  # everything else is the stream's


def test_click_and_print_write_through_it() -> None:
    raw = Terminal()
    with redirect_stdout(PrintableStream(raw)):
        click.echo(HOSTILE)
        print(HOSTILE)
        print(json.dumps(HOSTILE, ensure_ascii=False))
    one, two, three = raw.getvalue().splitlines()
    assert one == two == SHOWN
    assert json.loads(three) == HOSTILE  # JSON says the same


def test_tables_have_colours_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.markup import escape
    from rich.table import Table

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    raw = Terminal()
    table = Table(box=None)
    table.add_column("x", no_wrap=True)
    table.add_row(f"[bold]{escape('y' + chr(27) + '[31mz')}[/bold]")
    with redirect_stdout(PrintableStream(raw)):
        console(80).print(table)
        console(80).print("end")
    shown = raw.getvalue()
    assert "\x1b[1m" in shown and r"y\u001b[31mz" in shown and "\x1b[31m" not in shown and shown.endswith("end\n")


def test_width_where_there_is_no_terminal() -> None:
    raw = io.StringIO()
    with redirect_stdout(PrintableStream(raw)):
        console(44).rule()
    assert len(raw.getvalue().rstrip("\n")) == 44


def test_a_table_that_nobody_reads_is_no_regression() -> None:
    """rich would end the process with 1."""

    class Unread(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with redirect_stdout(PrintableStream(Unread())):
        terminal = console(44)
        terminal.print("a")
        terminal.print("b")
