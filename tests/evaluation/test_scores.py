"""Scores as an object: means by name, one line, tables, plots."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pytest

from fusionbench import compare, score
from fusionbench.core.errors import NotComparableError, UsageError
from fusionbench.evaluation.scores import Scores
from fusionbench.results.bootstrap import mean_interval
from tests.metrics.scenes import scene

matplotlib.use("Agg")
FUSED, A, B = (np.stack([scene(number, (48, 52))[side] for number in range(10)]) for side in range(3))


@pytest.fixture(scope="module")
def scores() -> Scores:
    return score(FUSED, A, B, ["en", "qabf", "sd"])


def test_means_by_name(scores: Scores) -> None:
    assert dict(scores) == {name: math.fsum(scores.values[name]) / 10 for name in ("en", "qabf", "sd")}
    assert scores["Qabf"] == scores["QABF"] == scores["qabf"] and "qabf" in scores and "vif" not in scores
    assert len(scores) == 3 and list(scores) == ["en", "qabf", "sd"]
    with pytest.raises(UsageError, match=r"Unknown score 'qab'\. Did you mean 'qabf'"):
        scores["qab"]


def test_one_line(scores: Scores) -> None:
    text = repr(scores)
    assert text == f"Scores(EN {scores['en']:.3f}, Qabf {scores['qabf']:.4f}, SD {scores['sd']:.2f}, n=10)"
    every = repr(score(FUSED[:1], A[:1], B[:1], "all", dialect="cddfuse"))
    assert every.endswith(", …, n=1, cddfuse/1)")
    assert "\n" not in every and len(every) < 200


def test_tables(scores: Scores) -> None:
    table = scores.to_pandas()
    assert (
        list(table.columns) == ["en", "qabf", "sd"] and list(table.index) == scores.ids and table.index.name == "image"
    )
    np.testing.assert_array_equal(table["sd"], scores.values["sd"])
    means = scores.to_pandas(means=True)
    assert means.loc["en", "mean"] == scores["en"] and means.loc["sd", "unit"] == "grey levels"
    page = scores._repr_html_()
    assert page.count("<tr>") == 1 + 2 + 8 and "and 2 more images" in page and "10 images, standard/1" in page


def test_what_has_no_value_says_why() -> None:
    flat = np.full((48, 52), 90, np.uint8)
    found = score(flat, A[0], B[0], ["cc", "sd"])
    assert math.isnan(found["cc"]) and "CC –" in repr(found)
    assert "CC: 1 of 1 images have no value" in found._repr_html_() and found.to_pandas()["cc"].isna().all()


def test_plots_show_all_images_and_the_interval(scores: Scores) -> None:
    axes = scores.plot(["sd", "en"])
    assert [ax.get_title() for ax in axes] == ["SD ↑", "EN ↑"]
    np.testing.assert_array_equal(np.sort(axes[0].lines[0].get_ydata()), np.sort(scores.values["sd"]))
    low, high = axes[0].collections[0].get_segments()[0][:, 1]
    np.testing.assert_allclose((low, high), mean_interval(scores.values["sd"]), rtol=1e-9)
    same = scores.plot(["en"], ax=axes[1])
    assert same[0] is axes[1]
    with pytest.raises(UsageError, match="2 scores are drawn on axes of their own, and there are 1"):
        scores.plot(["sd", "en"], ax=axes[0])
    with pytest.raises(UsageError, match="Unknown score 'vif'"):
        scores.plot(["vif"])
    matplotlib.pyplot.close("all")


def test_scores_of_the_same_images_compare_and_others_do_not(scores: Scores) -> None:
    """Paired by image: a method that is better by a little everywhere is found."""
    other = score(A // 2 + B // 2, A, B, ["en", "qabf", "sd"])
    found = compare({"mine": scores, "average": other}, scores="sd", resamples=200)
    assert [entry.title for entry in found.entries] == ["mine", "average"]
    rows = found.scores["sd"]
    assert [row.mean for row in rows] == pytest.approx([scores["sd"], other["sd"]])
    assert rows[0].rank == (1 if scores["sd"] > other["sd"] else 2)
    assert found.entries[0].tier == "weights", "no table of submissions"
    swapped = score(FUSED, B, A, ["en", "qabf", "sd"])
    with pytest.raises(NotComparableError, match="differ in dataset id"):
        compare({"mine": scores, "other images": swapped})
    with pytest.raises(NotComparableError, match="differ in protocol params"):
        compare({"mine": scores, "another dialect": score(FUSED, A, B, ["sd"], dialect="vifb")})
    with pytest.raises(UsageError, match="scores have no name"):
        compare(scores, other)
