"""Baselines: what is written from results, in which form, and what older files and broken ones say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats as reference

from fusionbench.core.errors import CannotMeasure, DataError, UsageError
from fusionbench.core.types import Tolerance
from fusionbench.evaluation.subject import state_sha256
from fusionbench.results import schema
from fusionbench.results.baseline import (
    baseline_bytes,
    baseline_of,
    is_deterministic,
    read_baseline,
    rounded,
    tolerance_of,
    write_baseline,
)
from fusionbench.results.gate import gate
from tests.helpers.results import made_up, saved


def as_revision_0(content: dict) -> dict:
    """A baseline as releases before revision 1 wrote it."""
    for name in ("alpha", "compared", "digest"):
        content.pop(name)
    for entry in content["entries"]:
        for score in entry["scores"].values():
            if "metric_atol" in score:  # calibrated: two standard deviations of the difference of two runs
                score |= {"atol": 2 * math.sqrt(2) * score["noise"], "rtol": score["metric_rtol"]}
            for name in ("metric_atol", "metric_rtol", "detectable"):
                score.pop(name, None)
    return content | {"schema": "fusionbench.baseline/1"}


def test_tolerances_follow_the_metric() -> None:
    from fusionbench.metrics import METRICS

    nats = schema.summarise(np.ones(3), "lower", "nats")
    bits = schema.summarise(np.ones(3), "lower", "bits/dim", dims=784)
    atol = METRICS.get("nll").tolerance.atol
    assert tolerance_of("nll@2", nats).atol == atol
    assert tolerance_of("nll_bpd@2", bits).atol == pytest.approx(atol / (784 * np.log(2)))
    assert tolerance_of("unheard-of", nats) == Tolerance(0.0, 0.0, "unheard-of is not registered here")


def test_seeds_give_a_noise_floor(tmp_path: Path) -> None:
    for seed, shift in enumerate((-0.03, 0.0, 0.03)):
        made_up(tmp_path / "r", "cvae", seed=seed, shift=shift)
    baseline = baseline_of([tmp_path / "r"], alpha=0.1)
    assert (baseline.compared, baseline.alpha, baseline.schema) == (10, 0.1, "fusionbench.baseline/1.1")
    score = baseline.entries[0].scores["mse_min@1"]
    assert score.runs == 3 and score.noise == pytest.approx(0.03, abs=0.005)  # own noise 0.01/√40 a run
    t = reference.t.ppf(1 - 0.1 / 10, df=2)  # one side, 10 scores
    assert score.atol == pytest.approx(t * score.noise * math.sqrt(1 + 1 / 3)) and score.rtol == 0
    assert "3 seeds" in score.reason and "over 10 scores" in score.reason
    margin = reference.t.ppf(0.9, df=2) * score.noise * math.sqrt(1 + 1 / 3)
    assert score.detectable == pytest.approx(score.atol + margin)
    from fusionbench.metrics import METRICS

    own = METRICS.get("mse_min").tolerance
    assert (score.metric_atol, score.metric_rtol) == (own.atol, own.rtol)
    write_baseline(tmp_path / "b.json", baseline)
    assert read_baseline(tmp_path / "b.json") == baseline
    for alpha in (0.0, -1, 0.9, math.nan):
        with pytest.raises(UsageError, match="an error rate of"):
            baseline_of([tmp_path / "r"], alpha=alpha)


def test_noise_below_the_metrics_own_tolerance_widens_nothing(tmp_path: Path) -> None:
    for seed in range(3):
        saved(tmp_path, "net", {"nll": [10 + 1e-6 * seed, 11.0, 12.0]}, seed=seed, better="lower")
    score = baseline_of([tmp_path]).entries[0].scores["nll"]
    assert score.noise == pytest.approx(1e-6 / 3, rel=1e-3) and score.atol == 0.05
    assert score.metric_tolerance == score.tolerance == 0.05 and score.detectable > 0.05


def test_methods_without_training_are_not_among_the_compared(tmp_path: Path) -> None:
    made_up(tmp_path, "cvae")
    made_up(tmp_path, "mean-image", family="trivial")
    assert baseline_of([tmp_path]).compared == 10
    found = {one.identity.model.name: is_deterministic(one) for one in schema.load_folder(tmp_path)}
    assert found == {"cvae": False, "mean-image": True}
    (trained,) = (one for one in schema.load_folder(tmp_path) if one.identity.model.name == "cvae")
    trained.identity.training = schema.TrainingIdentity()
    assert is_deterministic(trained), "imported weights are fixed"
    trained.identity.training = None
    assert not is_deterministic(trained), "weights of which nobody says how they came to be"
    trained.identity.model.weights_sha256 = state_sha256(torch.nn.ReLU())  # type: ignore[arg-type]
    assert is_deterministic(trained), "a class of somebody's without weights is a rule"


def test_the_order_of_runs_changes_no_byte(tmp_path: Path) -> None:
    folders = [made_up(tmp_path / str(seed), "cvae", seed=seed, shift=0.01 * seed) for seed in (2, 0, 1)]
    forms = {baseline_bytes(baseline_of(order)) for order in (folders, folders[::-1], sorted(folders))}
    assert len(forms) == 1


def test_a_model_without_any_score_is_no_baseline(tmp_path: Path) -> None:
    saved(tmp_path, "net", {"vif": [math.nan, math.nan]})
    with pytest.raises(CannotMeasure, match="net on pairs-demo test: no score has a value"):
        baseline_of([tmp_path])


def test_values_have_nine_digits() -> None:
    assert rounded([[1 / 3], [2e10 / 3]]).tolist() == [[0.333333333], [6666666670.0]]


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    made_up(tmp_path / "base", "cvae")
    path = tmp_path / "b.json"
    write_baseline(path, baseline_of([tmp_path / "base"]))
    return path


def test_baselines_are_read_strictly(tmp_path: Path, baseline: Path) -> None:
    assert read_baseline(baseline) == baseline_of([tmp_path / "base"])
    for content in ("{}", "{", '{"schema": "fusionbench.baseline/1", "entries": [], "extra": 1}', "[" * 10_000):
        (tmp_path / "bad.json").write_text(content)
        if content != "{}":
            with pytest.raises(DataError, match="not a fusionbench"):
                read_baseline(tmp_path / "bad.json")


def as_old_gates_wrote(path: Path) -> None:
    """Turn a baseline into one of a former version: the mean was called avg4 and was over the first four columns."""
    content = as_revision_0(json.loads(path.read_text()))
    for entry in content["entries"]:
        for key in [key for key in entry["scores"] if key.endswith("@mean")]:
            name = key.partition("@")[0]
            first = [entry["scores"][f"{name}@{count}"] for count in range(4)]
            score = entry["scores"].pop(key)
            score["mean"] = sum(column["mean"] for column in first) / 4
            score["values"] = np.mean([column["values"] for column in first], axis=0).tolist()
            entry["scores"][f"{name}@avg4"] = score
    path.write_text(json.dumps(content))


def test_an_array_of_scores_is_no_baseline(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(' [{"image": "a", "loss": 1.0}]')
    with pytest.raises(DataError, match=r"but a JSON array.*gate scores\.json --baseline") as caught:
        read_baseline(tmp_path / "scores.json")
    assert "\n" not in str(caught.value) and "Expected" not in str(caught.value)


@pytest.mark.parametrize("views", [3, 5, 12])
def test_baselines_with_the_former_name_are_read(tmp_path: Path, views: int) -> None:
    made_up(tmp_path / "results", views=views)
    new, path = baseline_of([tmp_path / "results"]), tmp_path / "b.json"
    write_baseline(path, new)
    as_old_gates_wrote(path)
    old = read_baseline(path)
    assert list(old.entries[0].scores) and old.entries[0].scores.keys() == new.entries[0].scores.keys()
    for key in ("mse_min@mean", "nll_bpd@mean"):
        mine, theirs = new.entries[0].scores[key], old.entries[0].scores[key]
        assert theirs.mean == pytest.approx(mine.mean, rel=1e-12)
        np.testing.assert_allclose(theirs.values, mine.values, rtol=1e-8)  # a baseline has 9 digits
    outcome = gate(tmp_path / "results", path)
    assert outcome.ok and {case.verdict for case in outcome.cases} == {"ok"}


def test_baselines_that_contradict_themselves(tmp_path: Path) -> None:
    made_up(tmp_path / "results", views=5)
    path = tmp_path / "b.json"
    write_baseline(path, baseline_of([tmp_path / "results"]))
    whole = json.dumps(as_revision_0(json.loads(path.read_text())), separators=(",", ":"))
    path.write_text(whole.replace('"mse_min@4":', '"mse_min@avg4":'))
    with pytest.raises(DataError, match=r"b\.json: has both mse_min@avg4 and mse_min@mean.*make a new baseline"):
        read_baseline(path)
    path.write_text(whole.replace('"mse_min@mean":', '"mse_min@avg4":'))
    content = json.loads(path.read_text())
    content["entries"][0]["scores"]["mse_min@2"]["values"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="mse_min of cvae lacks values for some of 0 to 5 inputs; restore the file, or"):
        read_baseline(path)


def test_scores_of_a_baseline_stand_in_the_order_of_their_inputs(tmp_path: Path) -> None:
    made_up(tmp_path, views=11, metrics={"mse_min": "1"})
    scores = list(baseline_of([tmp_path]).entries[0].scores)
    assert scores == [f"mse_min@{column}" for column in (*range(12), "mean")]
