"""The gate: its rule in numbers, its verdicts, its exit codes, its reports."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fusionbench.core.errors import CannotMeasure, DataError, NotComparable, Rejected
from fusionbench.core.types import Tolerance
from fusionbench.results import schema
from fusionbench.results.gate import (
    BaselineScore,
    GateOutcome,
    baseline_of,
    gate,
    judge,
    read_baseline,
    tolerance_of,
    write_baseline,
)
from tests.cli.runner import run
from tests.helpers.results import made_up

pytest_plugins = ["pytester"]
TOLERANCE = 0.005


def alarms(drop: float, rounds: int = 120) -> dict[str, float]:
    """Share of alarms of three rules when 21 images are measured again with noise of sd 0.01 and a true drop."""
    rng = np.random.default_rng(3)
    count = {"any drop": 0, "interval alone": 0, "gate": 0}
    for _ in range(rounds):
        base = rng.gamma(4.0, 0.1, size=21)
        again = base - drop + rng.normal(0, 0.01, size=21)
        score = BaselineScore(
            mean=float(base.mean()), better="higher", unit="1", atol=TOLERANCE, rtol=0, reason="", values=base.tolist()
        )
        case = judge("m", "d", "vif", score, again)
        assert case.worse is not None and case.low is not None
        count["any drop"] += case.worse > 0
        count["interval alone"] += case.low > 0
        count["gate"] += case.verdict == "regressed"
    return {rule: alarmed / rounds for rule, alarmed in count.items()}


def test_false_alarms_and_detections() -> None:
    # the mean's noise is 0.01/√21 = 0.0022: a drop of the tolerance is caught half the time, of twice it nearly always
    none, at, twice = alarms(0.0), alarms(TOLERANCE), alarms(2 * TOLERANCE)
    assert 0.4 < none["any drop"] < 0.6 and 0.0 < none["interval alone"] < 0.1
    assert none["gate"] <= 0.02, "the true rate is about 1 %: 2.3 standard deviations"
    assert 0.35 < at["gate"] < 0.65
    assert twice["gate"] >= 0.95


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    made_up(tmp_path / "base", "cvae")
    made_up(tmp_path / "base", "mean-image", family="trivial", metrics={"mse_min": "1"})
    path = tmp_path / "baselines" / "b.json"
    write_baseline(path, baseline_of([tmp_path / "base"]))
    return path


def candidate(tmp_path: Path, shift: float = 0.0, **changes: object) -> Path:
    root = tmp_path / "candidate"
    made_up(root, "cvae", shift=shift, **changes)  # type: ignore[arg-type]
    made_up(root, "mean-image", family="trivial", metrics={"mse_min": "1"})
    return root


def test_the_same_results_pass(tmp_path: Path, baseline: Path) -> None:
    outcome = gate(candidate(tmp_path), baseline)
    assert outcome.ok and {case.verdict for case in outcome.cases} == {"ok"}
    assert len(outcome.cases) == 10 + 5
    assert all(case.worse == 0 for case in outcome.cases), "rounding in the file is no difference"
    outcome.require()


def test_worse_and_better(tmp_path: Path, baseline: Path) -> None:
    worse = gate(candidate(tmp_path, shift=0.05), baseline)
    assert worse.exit_code == 1 and len(worse.of("regressed")) == 10 and len(worse.of("ok")) == 5
    with pytest.raises(Rejected, match="10 of 15 scores regressed: cvae on fusiondigits test"):
        worse.require()
    better = gate(candidate(tmp_path / "two", shift=-0.05), baseline)
    assert better.ok and len(better.of("improved")) == 10


def test_directions(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 30)
    for better, verdict in (("higher", "improved"), ("lower", "regressed")):
        score = BaselineScore(
            mean=0.5,
            better=better,
            unit="",
            atol=0.01,
            rtol=0,
            reason="",
            values=values.tolist(),  # type: ignore[arg-type]
        )
        assert judge("m", "d", "s", score, values + 0.1).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "2"}, "version 2 of"),
        ({"dataset": {"id": "0" * 64}}, "dataset id"),
        ({"protocol": {"params": {"draws": 7}}}, "protocol params"),
        ({"cut": True}, "cut short"),
        ({"ids": range(1, 41)}, "other images"),
    ],
)
def test_what_is_not_comparable_is_4(tmp_path: Path, baseline: Path, changes: dict, reason: str) -> None:
    outcome = gate(candidate(tmp_path, shift=0.5, **changes), baseline)
    assert outcome.exit_code == 4 and len(outcome.of("not comparable")) == 10
    with pytest.raises(NotComparable, match=reason):
        outcome.require()


def test_what_is_missing_is_3(tmp_path: Path, baseline: Path) -> None:
    made_up(tmp_path / "candidate", "cvae", shift=9)
    outcome = gate(tmp_path / "candidate", baseline)
    assert outcome.exit_code == 3, "a missing result outweighs a regression"
    with pytest.raises(CannotMeasure, match="no result of this model"):
        outcome.require()
    path = next((tmp_path / "candidate").glob("**/result.json"))
    made = schema.load(path)
    made.scores["mse_min@0"] = schema.summarise(np.array([np.nan]), "lower", "1")
    schema.save(made, tmp_path / "candidate", schema.load_per_image(path))
    reasons = {case.reason for case in gate(tmp_path / "candidate", baseline).of("not measured")}
    assert "1 of 1 images have no finite value" in reasons
    assert GateOutcome([]).exit_code == 3


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
    score = baseline_of([tmp_path / "r"]).entries[0].scores["mse_min@1"]
    assert score.runs == 3 and score.noise == pytest.approx(0.03, abs=0.005)  # own noise 0.01/√40 a run
    assert score.atol == pytest.approx(2 * np.sqrt(2) * score.noise) and "3 seeds" in score.reason


def test_baselines_are_read_strictly(tmp_path: Path, baseline: Path) -> None:
    assert read_baseline(baseline) == baseline_of([tmp_path / "base"])
    for content in ("{}", "{", '{"schema": "fusionbench.baseline/1", "entries": [], "extra": 1}', "[" * 10_000):
        (tmp_path / "bad.json").write_text(content)
        if content != "{}":
            with pytest.raises(DataError, match="not a fusionbench"):
                read_baseline(tmp_path / "bad.json")


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path / "r", "a]]>|<b>\x1b[31m", title="x")
    run(capsys, "gate", tmp_path / "r", "-b", tmp_path / "b.json", "--update-baseline")
    files = ("--junit", tmp_path / "gate.xml", "--markdown", tmp_path / "gate.md")
    assert run(capsys, "gate", tmp_path / "r", "-b", tmp_path / "b.json", *files)[0] == 0
    names = {case.get("classname") for case in ElementTree.parse(tmp_path / "gate.xml").getroot().iter("testcase")}
    assert names == {"fusiondigits test.a]]>|<b>\\u001b[31m"}
    assert "<b>" not in (tmp_path / "gate.md").read_text()


def test_pytest_fixture(tmp_path: Path, baseline: Path, pytester: pytest.Pytester) -> None:
    candidate(tmp_path / "good")
    candidate(tmp_path / "bad", shift=0.05)
    pytester.makepyfile(f"""
        def test_good(fusionbench_gate):
            assert fusionbench_gate({str(tmp_path / "good" / "candidate")!r}, {str(baseline)!r}).ok

        def test_bad(fusionbench_gate):
            fusionbench_gate({str(tmp_path / "bad" / "candidate")!r}, {str(baseline)!r})
    """)
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["regressed: cvae on fusiondigits test, *"])


def as_old_gates_wrote(path: Path) -> None:
    """Turn a baseline into one of a former version: the mean was called avg4 and was over the first four columns."""
    content = json.loads(path.read_text())
    for entry in content["entries"]:
        for key in [key for key in entry["scores"] if key.endswith("@mean")]:
            name = key.partition("@")[0]
            first = [entry["scores"][f"{name}@{count}"] for count in range(4)]
            score = entry["scores"].pop(key)
            score["mean"] = sum(column["mean"] for column in first) / 4
            score["values"] = np.mean([column["values"] for column in first], axis=0).tolist()
            entry["scores"][f"{name}@avg4"] = score
    path.write_text(json.dumps(content))


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
    whole = path.read_text()
    path.write_text(whole.replace('"mse_min@4":', '"mse_min@avg4":'))
    with pytest.raises(DataError, match=r"b\.json: has both mse_min@avg4 and mse_min@mean.*; make a new baseline"):
        read_baseline(path)
    path.write_text(whole.replace('"mse_min@mean":', '"mse_min@avg4":'))
    content = json.loads(path.read_text())
    content["entries"][0]["scores"]["mse_min@2"]["values"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="mse_min of cvae lacks values for some of 0 to 5 inputs; make a new baseline"):
        read_baseline(path)


def test_scores_of_a_baseline_stand_in_the_order_of_their_inputs(tmp_path: Path) -> None:
    made_up(tmp_path, views=11, metrics={"mse_min": "1"})
    scores = list(baseline_of([tmp_path]).entries[0].scores)
    assert scores == [f"mse_min@{column}" for column in (*range(12), "mean")]
