"""A new baseline hides nothing of the old one without being asked by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.results.baseline import Baseline, baseline_of
from fusionbench.results.baseline_update import BaselineUpdate, UpdateRefusedError, review_update
from fusionbench.results.gate import gate
from tests.helpers.results import METRICS, made_up


def both(root: Path, shift: float = 0.0, metrics: tuple[str, ...] = ("mse_min", "nll_bpd")) -> Path:
    made_up(root, "cvae", shift=shift, metrics={name: METRICS[name] for name in metrics})
    made_up(root, "mean-image", family="trivial", metrics={"mse_min": "1"})
    return root


def reviewed(before: Path | Baseline, after: Path) -> BaselineUpdate:
    old = before if isinstance(before, Baseline) else baseline_of([before])
    return review_update(old, baseline_of([after]), gate(after, old))


def test_the_same_results_change_nothing(tmp_path: Path) -> None:
    update = reviewed(both(tmp_path / "a"), both(tmp_path / "b"))
    assert update == BaselineUpdate([], [], [])
    update.require()


def test_improvements_pass(tmp_path: Path) -> None:
    update = reviewed(both(tmp_path / "a"), both(tmp_path / "b", shift=-0.05))
    assert not update.dropped and not update.accepted
    update.require()


def test_a_model_that_is_gone(tmp_path: Path) -> None:
    update = reviewed(both(tmp_path / "a"), made_up(tmp_path / "b", "cvae"))
    assert update.dropped == [("mean-image", "mean-image on fusiondigits test with its 5 scores")]
    assert update.accepted == [], "what is dropped is not accepted as well"
    with pytest.raises(UpdateRefusedError, match=r"add --drop mean-image$") as caught:
        update.require(accept_regression=True)
    assert caught.value.exit_code == 1
    assert caught.value.details == ["drops mean-image on fusiondigits test with its 5 scores"]
    update.require(drop=["mean-image"])
    with pytest.raises(UsageError, match=r"Unknown model to drop 'mean-imag'. Did you mean 'mean-image'"):
        update.require(drop=["mean-image", "mean-imag"])


def test_scores_that_are_gone(tmp_path: Path) -> None:
    update = reviewed(both(tmp_path / "a"), both(tmp_path / "b", metrics=("mse_min",)))
    assert len(update.dropped) == 5 and update.accepted == []
    assert ("cvae", "nll_bpd@mean of cvae on fusiondigits test") in update.dropped
    with pytest.raises(UpdateRefusedError, match="5 findings; to do so, add --drop cvae"):
        update.require()
    update.require(drop=["cvae"])


def test_regressions_turn_green_on_request_only(tmp_path: Path) -> None:
    update = reviewed(both(tmp_path / "a"), both(tmp_path / "b", shift=0.05))
    assert len(update.accepted) == 10
    with pytest.raises(UpdateRefusedError, match="10 findings; to do so, add --accept-regression") as caught:
        update.require()
    assert caught.value.details[0].startswith("accepts regressed: cvae on fusiondigits test, ")
    update.require(accept_regression=True)


def test_what_cannot_be_compared_is_not_accepted_silently(tmp_path: Path) -> None:
    both(tmp_path / "a")
    made_up(tmp_path / "b", "cvae", shift=9, version="2")
    made_up(tmp_path / "b", "mean-image", family="trivial", metrics={"mse_min": "1"}, version="2")
    update = reviewed(tmp_path / "a", tmp_path / "b")
    assert {case.verdict for case in update.accepted} == {"not comparable"}
    with pytest.raises(UpdateRefusedError):
        update.require()


def test_nothing_to_drop_is_said(tmp_path: Path) -> None:
    update = reviewed(both(tmp_path / "a"), both(tmp_path / "b"))
    with pytest.raises(UsageError, match="--drop cvae: the results have everything"):
        update.require(drop=["cvae"])


def test_a_more_lenient_baseline_is_noted(tmp_path: Path) -> None:
    for seed in range(3):
        made_up(tmp_path / "calibrated", "cvae", seed=seed, shift=0.01 * seed)
    made_up(tmp_path / "plain", "cvae", shift=0.01)
    (text,) = reviewed(tmp_path / "plain", tmp_path / "calibrated").notes
    assert text.startswith("cvae on fusiondigits test: 10 tolerances are wider, most of all ")
    (text,) = reviewed(tmp_path / "calibrated", tmp_path / "plain").notes
    assert text == "cvae on fusiondigits test: the noise of 3 seeds is lost; --calibrate keeps it"
    old = baseline_of([tmp_path / "plain"], alpha=0.01)
    assert reviewed(old, tmp_path / "plain").notes == ["the error rate is 0.05 and was 0.01"]
