"""Results and comparisons in a notebook: a line, a table in which nothing is markup, data frames, plots."""

from __future__ import annotations

import pickle
from pathlib import Path

import matplotlib
import msgspec
import numpy as np
import pytest

from fusionbench import compare
from fusionbench.core.errors import UsageError
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.schema import load, result_bytes
from tests.helpers.results import made_up, saved

matplotlib.use("Agg")
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\nsecond line"


def test_one_line_says_what_was_measured(tmp_path: Path) -> None:
    text = repr(load(made_up(tmp_path, "cvae", title="CVAE")))
    assert (
        text.startswith("Result(CVAE on fusiondigits 1.0.0 test, masked/1: NLL@mean 0.") and ", MSE_min@mean 0." in text
    )
    assert "n=40" in text and len(text) < 200
    pairs = load(saved(tmp_path, "p", {"vif": np.arange(9.0), "en": np.arange(9.0), "en@cddfuse": np.arange(9.0)}))
    assert "EN 4.000, VIF 4.000;" in repr(pairs), "in the order of the field's tables, without other dialects"
    listed = repr([load(made_up(tmp_path, "fcn"))] * 12)
    assert "\n" not in listed, "a list of results, as suites return it"


def test_nothing_in_a_result_is_markup(tmp_path: Path) -> None:
    result = load(made_up(tmp_path, "cvae", title=HOSTILE))
    for shown in (result, compare(result, resamples=100)):
        page = shown._repr_html_()
        assert "<img" not in page and "\x1b" not in page and "&lt;img src=x" in page
        assert "\n" not in repr(shown) and "\x1b" not in repr(shown)


def test_what_is_remembered_is_no_part_of_the_result(tmp_path: Path) -> None:
    folder = made_up(tmp_path, "cvae")
    first, second = load(folder), load(folder)
    second.remember(table={"id": ["a"]})
    assert first == second and result_bytes(first) == result_bytes(second)
    assert "_place" not in msgspec.to_builtins(first) and pickle.loads(pickle.dumps(first)) == first


def test_tables_have_a_row_for_each_image_or_score(tmp_path: Path) -> None:
    result = load(made_up(tmp_path, "cvae"))
    table = result.to_pandas()
    assert len(table) == 40 and table["mse_min@2"].mean() == pytest.approx(result["mse_min@2"].mean)
    means = result.to_pandas(means=True)
    assert list(means.index) == list(result.scores) and means.loc["mse_min@1", "better"] == "lower"
    with pytest.raises(UsageError, match="Unknown score 'mse'"):
        result["mse"]
    assert list(result) == list(result.scores) and "mse_min@1" in result and 0 not in result
    lost = load(made_up(tmp_path, "cvae"))
    lost.remember()
    assert len(lost.to_pandas(means=True)) == len(result.scores)
    with pytest.raises(UsageError, match="not at hand"):
        lost.to_pandas()
    both = compare(result, load(made_up(tmp_path, "fcn", shift=0.3)), resamples=100).to_pandas()
    assert len(both) == 2 * 2 and set(both["score"]) == {"nll_bpd@mean", "mse_min@mean"}
    best = both[(both["score"] == "mse_min@mean") & (both["rank"] == 1)]
    assert list(best["name"]) == ["cvae"]


def test_masked_results_are_drawn_against_the_number_of_inputs(tmp_path: Path) -> None:
    result = load(made_up(tmp_path, "cvae"))
    axes = result.plot()
    assert [ax.get_ylabel() for ax in axes] == ["nll_bpd ↓ (bits/dim)", "mse_min ↓"]
    line = axes[1].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [result[f"mse_min@{n}"].mean for n in range(4)], rtol=1e-12)
    low, high = axes[1].collections[0].get_segments()[2][:, 1]
    np.testing.assert_allclose((low, high), mean_interval(result.images["mse_min@2"]), rtol=1e-9)
    assert len(result.plot(["mse_min"])) == 1
    pairs = load(saved(tmp_path, "p", {"vif": np.arange(9.0), "en": np.arange(9.0)}))
    assert [ax.get_title() for ax in pairs.plot()] == ["en ↑", "vif ↑"]
    matplotlib.pyplot.close("all")


def test_comparisons_are_drawn_best_first(tmp_path: Path) -> None:
    for name, shift in (("good", 0.0), ("bad $x^2$", 0.5)):
        made_up(tmp_path, name.split()[0], shift=shift, title=name)
    found = compare(tmp_path, resamples=100)
    axes = found.plot(["mse_min@mean"])
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [r"bad \$x^2\$", "good"], "from below"
    fills = [line.get_markerfacecolor() for line in axes[0].lines if line.get_marker() == "o"]
    assert fills[0] == "w" and fills[1] != "w", "filled where it is not separable from the best"
    axes[0].figure.canvas.draw()  # the dollar signs are no mathematics
    with pytest.raises(UsageError, match="Unknown score of this comparison 'vif'"):
        found.plot(["vif"])
    matplotlib.pyplot.close("all")
    assert repr(found).startswith(
        "Comparison(2 models on fusiondigits 1.0.0 test, masked/1: good, bad $x^2$; by nll_bpd"
    )
