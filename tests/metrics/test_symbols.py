"""Symbols of scores: how papers write them, in each form, and nothing of a hostile label gets out of it."""

from __future__ import annotations

import pytest

from fusionbench.metrics import METRICS, symbols
from fusionbench.metrics.symbols import Symbol, symbol_of


@pytest.mark.parametrize(
    ("score", "latex", "html"),
    [
        ("qabf", "$Q^{AB/F}$", "Q<sup>AB/F</sup>"),
        ("nabf", "$N^{AB/F}$", "N<sup>AB/F</sup>"),
        ("qncie", "$Q_{\\mathrm{NCIE}}$", "Q<sub>NCIE</sub>"),
        ("mse_min", "MSE$_{\\mathrm{min}}$", "MSE<sub>min</sub>"),
        ("fmi_w", "fmi\\_w", "fmi\\_w"),  # no metric: its own name
        ("en", "EN", "EN"),
        ("nll_bpd", "NLL", "NLL"),
    ],
)
def test_as_the_field_writes_them(score: str, latex: str, html: str) -> None:
    assert (symbol_of(score).latex, symbol_of(score).html) == (latex, html)


def test_every_metric_has_one_that_matplotlib_can_set() -> None:
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    for name in METRICS.names():
        assert parser.parse(symbol_of(name).mathtext).width > 0, name


def test_a_label_from_outside_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "label_of", lambda score: score)
    found = symbol_of("a$b_{\\input{x}}|<i>")
    assert found == Symbol(found.label, found.label)
    assert found.latex == "a\\$b\\_\\{\\textbackslash{}input\\{x\\}\\}\\textbar{}\\textless{}i\\textgreater{}"
    assert "<i>" not in found.html and "\\|" in found.html
    assert found.mathtext.count("\\$") == found.mathtext.count("$") == 1
