"""What notebooks show: tables without markup from outside, and a bar that is one output."""

from __future__ import annotations

import sys
import types
from html.parser import HTMLParser
from typing import Any

import pytest

from fusionbench.core import notebook, progress
from fusionbench.core.errors import UsageError

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&"


class Tags(HTMLParser):
    """Names of the elements, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style", "max", "value"}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_from_outside_is_markup() -> None:
    page = notebook.html_table([HOSTILE], [[HOSTILE, 0.5]], title=HOSTILE, notes=[HOSTILE])
    found = Tags(page)
    assert set(found.tags) == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.text.count("<script>alert(1)</script>") == 4 and "\x1b" not in page and "\u202e" not in page


def test_numbers_are_short() -> None:
    shown = [notebook.short_text(value) for value in (1234.5678, 1e-9, float("nan"), float("inf"), True, 12_345, -0.5)]
    assert shown == ["1235", "1.000e-09", "–", "inf", "True", "12,345", "-0.5000"]
    assert notebook.shortened(["a", "b", "c"], 2) == "a, b, …" and notebook.shortened(["a"], 2) == "a"


def test_no_pandas_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"^a table needs pandas: pip install 'fusionbench\[pandas\]'$"):
        notebook.need_pandas()


class Kernel:
    """An IPython whose shell has a kernel; ``outputs`` holds what each output shows in the end."""

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        output = [data]
        self.outputs.append(output)
        return types.SimpleNamespace(update=lambda data, raw: output.append(data))

    def install(self, monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
        monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=self.display))


def test_a_kernel_gets_one_bar_that_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel, clock = Kernel(), iter([0.0, 0.1, 0.6, 0.6, 0.7, 0.9, 0.9, 2.0])
    kernel.install(monkeypatch, types.SimpleNamespace(kernel=object()))
    monkeypatch.setattr(notebook.time, "monotonic", lambda: next(clock))
    with progress.progress("train <b>", 4, "steps") as task:
        for loss in (4, 3, 2):
            task.advance(note=f"loss {loss}")
        task.set_total(4)
        task.advance(note="loss 1")
    assert len(kernel.outputs) == 1 and len(kernel.outputs[0]) >= 2, "one output, shown again"
    last = kernel.outputs[0][-1]
    assert last["text/plain"] == "train <b>: 4/4 steps, loss 1"
    assert last["text/html"].startswith('<progress max="4" value="4"></progress> train &lt;b&gt;')
    assert capsys.readouterr() == ("", ""), "nothing in the log"


def test_what_is_over_at_once_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    kernel.install(monkeypatch, types.SimpleNamespace(kernel=object()))
    with progress.progress("work", 2) as task:
        task.advance()
        task.advance()
    assert kernel.outputs == []


def test_ipython_in_a_terminal_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Kernel()
    for shell in (None, types.SimpleNamespace()):
        kernel.install(monkeypatch, shell)
        assert notebook.display_function() is None
        with progress.progress("work", 1) as task:
            task.advance()
    assert kernel.outputs == [] and capsys.readouterr().err == "work: 1/1 \n" * 2
