"""Who wins, by how much, how surely: from values that are written down here, so that the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.board.agreement import add_mean_ranks, not_behind
from fusionbench.board.rows import benchmarks
from fusionbench.board.summary import Summary, listed, summaries
from fusionbench.results.bootstrap import bootstrap_means, paired_difference, ranks
from tests.helpers.results import saved

NOISE = np.random.default_rng(3).normal(size=(9, 12))


def summary(root: Path) -> Summary:
    (benchmark,) = benchmarks(root, 200)
    add_mean_ranks(benchmark, 400)
    return summaries(benchmark)[0]


def test_a_clear_winner_is_one_for_sure(tmp_path: Path) -> None:
    for name, shift, family in (("copy-a", 0.0, "trivial"), ("weak", 1.0, "model"), ("strong", 3.0, "model")):
        values = {"en": NOISE[0] + shift, "sd": NOISE[1] + shift}
        saved(tmp_path, name, {key: list(v) for key, v in values.items()}, family=family)  # type: ignore[arg-type]
    found = summary(tmp_path)
    assert [row.title for row in found.ahead] == ["strong"] and found.headline == "strong is ahead, for sure"
    assert [(one.group.metric, one.named) for one in found.decided] == [("en", "strong"), ("sd", "strong")]
    assert found.open == [] and found.leader is found.ahead[0]
    assert [(g.metric, m.text, m.sure, t.title) for g, m, t in found.margins] == [
        ("en", "+3.00", True, "copy-a"),
        ("sd", "+3.00", True, "copy-a"),
    ]
    assert [words for words, _ in found.against_trivial] == ["better, for sure"]


def test_what_overlaps_is_not_decided_and_a_better_trivial_row_is_told(tmp_path: Path) -> None:
    saved(tmp_path, "copy-a", {"en": list(NOISE[0] + 5), "sd": list(NOISE[1])}, family="trivial")
    for n, name in enumerate(("one", "two")):
        saved(tmp_path, name, {"en": list(NOISE[0] + NOISE[2 + n]), "sd": list(NOISE[1] + 4 + NOISE[4 + n])})
    found = summary(tmp_path)
    (en, sd) = found.verdicts
    assert en.named == "copy-a (trivial)" and en.sure and en.model is not None and en.model.title in ("one", "two")
    assert not sd.sure and {row.title for row in sd.contenders} == {"one", "two"}
    assert len(found.ahead) > 1 and found.headline.startswith("not decided between ")
    assert dict(found.against_trivial).keys() == {"better, for sure", "worse, for sure"}


def test_the_leader_is_best_by_mean_rank_not_the_one_whose_rank_varies(tmp_path: Path) -> None:
    """A row whose ranks vary widely may be inseparable from the best while a better one is surely behind it."""
    for name, shift in (("copy-a", 9.0), ("steady", 3.0), ("varied", 1.0)):
        values = {"en": list(NOISE[0] + shift), "sd": list(NOISE[1] + shift)}
        saved(tmp_path, name, values, family="trivial" if name == "copy-a" else "model")  # type: ignore[arg-type]
    (benchmark,) = benchmarks(tmp_path, 200)
    add_mean_ranks(benchmark, 400)
    for row in benchmark.kind("ranked"):
        row.may_lead = row.title != "steady"
    found = summaries(benchmark)[0]
    assert [row.title for row in found.ahead] == ["copy-a", "varied"]
    assert found.leader is not None and found.leader.title == "steady"


def test_a_lower_error_is_a_negative_difference_that_is_better(tmp_path: Path) -> None:
    for name, shift, family in (("mean-image", 0.5, "trivial"), ("net", 0.0, "model")):
        saved(tmp_path, name, {"mse_min": list(NOISE[0] ** 2 + shift)}, better="lower", family=family)  # type: ignore[arg-type]
    found = summary(tmp_path)
    ((_, margin, _),) = found.margins
    assert margin.low > 0 and margin.text.startswith("−0.5") and margin.limits.startswith("−0.5")
    assert found.headline == "net is ahead, for sure", "of a single metric by its ranks"


def test_the_margin_has_the_interval_of_the_table(tmp_path: Path) -> None:
    """Two rows: the interval for all pairs at once is that of the one pair."""
    trivial, net = NOISE[0], NOISE[0] + 0.3 * NOISE[1] + 0.4
    saved(tmp_path, "copy-a", {"en": list(trivial)}, family="trivial")
    saved(tmp_path, "net", {"en": list(net)})
    (benchmark,) = benchmarks(tmp_path)
    ((_, margin, _),) = summaries(benchmark)[0].margins
    expected = paired_difference(trivial, net)
    assert (margin.mean, margin.low, margin.high) == pytest.approx(
        (expected.mean, expected.low, expected.high), rel=1e-6
    )


def test_too_few_images_and_no_models_decide_nothing(tmp_path: Path) -> None:
    for name, shift in (("one", 0.0), ("two", 9.0)):
        saved(tmp_path / "few", name, {"en": [1.0 + shift, 2.0 + shift], "sd": [1.0, 2.0]})
    few = summary(tmp_path / "few")
    assert (few.enough, few.ahead, few.decided) == (False, [], []) and "2 images are too few" in few.headline
    saved(tmp_path / "none", "copy-a", {"en": list(NOISE[0])}, family="trivial")
    saved(tmp_path / "none", "net", {"en": list(NOISE[1])}, cut=True)
    none = summary(tmp_path / "none")
    assert none.headline == "no model is ranked yet" and none.leader is None and none.margins == []
    saved(tmp_path / "cut", "net", {"en": list(NOISE[1])}, cut=True)
    assert summary(tmp_path / "cut").headline == "no model is ranked yet"


def test_trained_rows_whose_runs_differ_are_not_ahead_by_one_lucky_run(tmp_path: Path) -> None:
    """The same images, three runs each, spread far more than the difference of the models."""
    for name, shift in (("one", 0.0), ("two", 0.05)):
        for seed, luck in enumerate((-1.0, 0.0, 1.0)):
            values = {"en": list(NOISE[0] + shift + luck), "sd": list(NOISE[1] + shift + luck)}
            saved(tmp_path, name, values, seed=seed)
    assert {row.title for row in summary(tmp_path).ahead} == {"one", "two"}


def test_what_no_metric_decides_is_not_decided_by_metrics_that_say_the_same(tmp_path: Path) -> None:
    """Three metrics that are one, which does not tell the rows apart: two standard errors, of fifteen pairs at once."""
    for n, shift in enumerate((0.62, 0.0, -3.0, -6.0, -9.0, -12.0)):
        values = list(NOISE[0] + shift + (NOISE[1] if n == 0 else 0))
        saved(tmp_path, f"row{n}", {"en": values, "sd": values, "sf": values})
    found = summary(tmp_path)
    assert [verdict.named for verdict in found.verdicts] == ["row0 and row1"] * 3
    assert [row.title for row in found.ahead] == ["row0", "row1"]


def test_one_row_and_rows_without_a_metric_in_common(tmp_path: Path) -> None:
    saved(tmp_path / "one", "net", {"en": list(NOISE[0]), "sd": list(NOISE[1])})
    assert summary(tmp_path / "one").headline == "only net is ranked"
    saved(tmp_path / "two", "a", {"en": list(NOISE[0])})
    saved(tmp_path / "two", "b", {"sd": list(NOISE[1])})
    assert summary(tmp_path / "two").headline == "not decided: no two rows have all metrics"


def test_lists_of_rows(tmp_path: Path) -> None:
    for name in "abcdef":
        saved(tmp_path, name, {"en": [1.0, 2.0]})
    (benchmark,) = benchmarks(tmp_path, 50)
    rows = benchmark.rows
    assert [listed(rows[:n]) for n in (0, 1, 2, 4)] == ["", "a", "a and b", "a, b, c and d"]
    assert listed(rows) == "a, b, c and 3 more" and listed([rows[0], rows[0]]) == "a (2 rows)"


def test_models_that_are_alike_are_seldom_told_apart() -> None:
    """Of 60 benchmarks whose two models differ by chance only, one model alone is ahead in about 5 % at most."""
    draw, alone = np.random.default_rng(1), 0
    for _ in range(60):
        drawn, seen = ranks_of(draw, np.zeros((9, 2)))
        alone += int(not_behind(drawn, seen).sum() == 1)
    assert alone <= 6


def ranks_of(draw: np.random.Generator, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resampled ranks, and their sums as measured, of rows whose means (metrics, rows) are those of ``truth``."""
    drawn, seen = [], np.zeros(truth.shape[1])
    for of_metric in truth:
        values = of_metric[:, None] + draw.normal(size=(1, 20)) + 0.7 * draw.normal(size=(len(of_metric), 20))
        drawn.append(ranks(bootstrap_means(list(values), 200), "lower"))
        seen += ranks(values.mean(axis=1), "lower")
    return np.stack(drawn), seen


def test_rows_far_behind_that_change_places_are_told_from_a_row_that_leads_everywhere() -> None:
    """Nobody knows the order of fourteen rows behind, so that their ranks vary widely; none of them may be first.

    Two rows that lead together stay together: of 40 such benchmarks one of them is ahead alone in 5 % or so.
    """
    draw, sizes, alone = np.random.default_rng(2), [], 0
    for _ in range(40):
        truth = np.full((4, 16), 4.0)
        truth[:, 0], truth[:, 1] = -4.0, -3.0
        drawn, seen = ranks_of(draw, truth)
        sizes.append(int(not_behind(drawn, seen).sum()))
        truth[:, :2] = 0.0
        drawn, seen = ranks_of(draw, truth)
        found = not_behind(drawn, seen)
        alone += int(found.sum() == 1)
        assert not found[2:].any()
    assert set(sizes) == {1} and alone <= 5
