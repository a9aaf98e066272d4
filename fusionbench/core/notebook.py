"""What objects need to be shown in a notebook: tables as HTML in which nothing from outside is markup, and a bar.

IPython is never imported: where a kernel runs, it is there already.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fusionbench.core.errors import UsageError
from fusionbench.core.io import escaped

if TYPE_CHECKING:
    from types import ModuleType

_EVERY = 0.25  # seconds between two states of a bar
_NUMBER = ' style="text-align:right"'


def in_html(text: object) -> str:
    """Any text as the content of an HTML element: no markup, no control character, on one line.

    Example:
        >>> from fusionbench.core.notebook import in_html
        >>> in_html("<b>a & b</b>")
        '&lt;b&gt;a &amp; b&lt;/b&gt;'
    """
    return html.escape(escaped(str(text)))


def html_table(
    head: Sequence[object], rows: Iterable[Sequence[object]], title: str = "", notes: Sequence[str] = ()
) -> str:
    """A table for notebooks; every cell is text, and numbers stand on the right.

    Args:
        head: names of the columns; empty for a table without a head.
        rows: cells by row; floats are shown with four digits, None as a dash.
        title: a bold line before it.
        notes: lines behind it.

    Example:
        >>> from fusionbench.core.notebook import html_table
        >>> html_table(["image", "vif"], [["<01>", 0.51237]]).count("&lt;01&gt;")
        1
    """
    lines = [f"<p><b>{in_html(title)}</b></p>"] if title else []
    lines.append("<table>")
    if head:
        lines.append("<thead><tr>" + "".join(f"<th>{in_html(name)}</th>" for name in head) + "</tr></thead>")
    lines.append("<tbody>")
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    lines.append("</tbody></table>")
    return "<div>" + "".join(lines + [f"<p>{in_html(note)}</p>" for note in notes]) + "</div>"


def _cell(value: object) -> str:
    right = _NUMBER if isinstance(value, int | float) and not isinstance(value, bool) else ""
    return f"<td{right}>{in_html(short_text(value))}</td>"


def short_text(value: object) -> str:
    """A value as a table shows it: floats with four digits, whole numbers with separators, None as a dash.

    Example:
        >>> from fusionbench.core.notebook import short_text
        >>> [short_text(value) for value in (0.123456, 12345, None, "text", 7.0)]
        ['0.1235', '12,345', '–', 'text', '7.000']
    """
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        return f"{value:#.4g}".removesuffix(".")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def shortened(parts: Sequence[str], most: int = 8) -> str:
    """The first parts of a one-line form, with a mark where there are more."""
    return ", ".join([*parts[:most], *(["…"] if len(parts) > most else [])])


def need_pandas() -> ModuleType:
    """The module pandas.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise UsageError("a table needs pandas: pip install 'fusionbench[pandas]'") from error
    return pandas


def display_function() -> Any:
    """``IPython.display.display`` where a notebook's kernel shows what this process makes; None everywhere else.

    A terminal with IPython is none: its bars are those of terminals.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


class NotebookBar:
    """A bar in the output of a notebook's cell, one output that is replaced; it needs no widgets.

    What is done within half a second shows none.

    Args:
        display: as :func:`display_function` gives it.
        title, unit: what is done, and to what.
        total: how many units there are; None where nobody knows.
        done: units that are done already.
    """

    def __init__(self, display: Any, title: str, total: float | None, unit: str, done: float) -> None:
        self.title, self.total, self.unit, self.done, self.note = title, total, unit, done, ""
        self._display, self._handle, self._shown = display, None, time.monotonic() + _EVERY

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Some units more are done; shown at most four times a second."""
        self.done, self.note = self.done + amount, note
        if time.monotonic() - self._shown >= _EVERY:
            self._show()

    def set_total(self, total: float) -> None:
        """The number of units turns out to be another."""
        self.total = total

    def close(self) -> None:
        """Leave the last state."""
        if self._handle is not None:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._handle is None:
            self._handle = self._display(self._state(), raw=True, display_id=True)
        else:
            self._handle.update(self._state(), raw=True)

    def _state(self) -> dict[str, str]:
        of = f"/{self.total:g}" if self.total else ""
        text = f"{self.title}: {self.done:g}{of} {self.unit}" + (f", {self.note}" if self.note else "")
        limits = f' max="{self.total:g}" value="{min(self.done, self.total):g}"' if self.total else ""
        return {"text/plain": escaped(text), "text/html": f"<progress{limits}></progress> {in_html(text)}"}
