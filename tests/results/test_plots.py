"""Axes for scores: as many as there are scores, with text that is drawn as it is."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.results.plots import axes_for, plain, plot_by_inputs, plot_dots

matplotlib.use("Agg")


def test_axes_are_made_or_taken() -> None:
    made = axes_for(3, 1.0, 1.0, rows=2)
    assert made.shape == (3,) and len(made[0].figure.axes) == 4
    assert axes_for(2, 1.0, 1.0, ax=made).tolist() == made[:2].tolist()
    with pytest.raises(UsageError, match="name fewer"):
        axes_for(4, 1.0, 1.0, ax=made)
    matplotlib.pyplot.close("all")


def test_text_is_no_mathematics() -> None:
    assert plain("a$b$\n\x1b") == r"a\$b\$ \u001b"


def test_one_image_and_missing_values_have_no_interval() -> None:
    axes = plot_dots({"x": np.array([2.0]), "y": np.array([np.nan, np.nan])}, {"x": "higher", "y": "lower"})
    assert [ax.get_title() for ax in axes] == ["x ↑", "y ↓"]
    assert axes[0].collections[0].get_segments()[0][:, 1].tolist() == [2.0, 2.0] and not axes[1].collections
    (one,) = plot_by_inputs({"m": {3: np.array([1.0]), 1: np.array([5.0])}}, {"m": "m"})
    assert one.lines[0].get_xdata().tolist() == [1, 3] and one.lines[0].get_ydata().tolist() == [5.0, 1.0]
    matplotlib.pyplot.close("all")
