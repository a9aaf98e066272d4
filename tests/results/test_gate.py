"""The gate: its rule in numbers, its verdicts, its exit codes, its reports."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fusionbench.core.errors import CannotMeasure, NotComparable, Rejected
from fusionbench.results import schema
from fusionbench.results.gate import (
    BaselineScore,
    GateOutcome,
    baseline_of,
    gate,
    judge,
    write_baseline,
)
from fusionbench.results.score_files import read_candidate
from tests.cli.runner import run
from tests.helpers.results import made_up, saved, without_means

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
    without_means(next((tmp_path / "candidate").glob("**/result.json")).parent, "mse_min@0", "mse_min@mean")
    reasons = {case.reason for case in gate(tmp_path / "candidate", baseline).of("not measured")}
    assert "1 of 40 images have no finite value" in reasons
    assert GateOutcome([]).exit_code == 3


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path / "r", "a]]>|<b>\x1b[31m", title="x")
    run(capsys, "gate", tmp_path / "r", "-b", tmp_path / "b.json", "--update-baseline")
    files = ("--junit", tmp_path / "gate.xml", "--summary", tmp_path / "gate.md")
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
    done.stdout.fnmatch_lines(["regressed: cvae on fusiondigits test, *", "note: cvae: fewer than 3 training seeds *"])


def test_pytest_fixture_with_own_numbers(tmp_path: Path, pytester: pytest.Pytester) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("id,loss:lower\n" + "".join(f"{n},{n / 10}\n" for n in range(9)))
    second.write_text("id,loss\n" + "".join(f"{n},{n / 10 + 1}\n" for n in range(9)))
    write_baseline(tmp_path / "b.json", baseline_of(read_candidate(first)))
    pytester.makepyfile(f"""
        def test_good(fusionbench_gate):
            assert fusionbench_gate({str(first)!r}, {str(tmp_path / "b.json")!r}).ok

        def test_bad(fusionbench_gate):
            fusionbench_gate([{str(second)!r}], {str(tmp_path / "b.json")!r})
    """)
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["regressed: model on scores all, loss: worse by 1 *"])


def score_of(values: np.ndarray, **changes: object) -> BaselineScore:
    settings: dict = {"better": "lower", "unit": "1", "atol": 0.01, "rtol": 0.0, "reason": ""} | changes
    return BaselineScore(mean=float(values.mean()), values=values.tolist(), **settings)


def test_without_training_noise_the_tolerance_alone_decides() -> None:
    """Three images that differ in how much worse they are: no interval excludes zero, and yet nothing is random."""
    values = np.array([1.0, 2.0, 3.0])
    now = values + np.array([0.0, 0.0, 0.04])
    assert judge("m", "d", "s", score_of(values), now).verdict == "ok", "of a trained model, it may be chance"
    case = judge("m", "d", "s", score_of(values), now, exact=True)
    assert (case.verdict, case.rule, case.low, case.tolerance) == ("regressed", "exact", None, 0.01)
    assert judge("m", "d", "s", score_of(values), now - 0.01, exact=True).verdict == "ok"
    assert judge("m", "d", "s", score_of(values), values - 0.02, exact=True).verdict == "improved"
    assert judge("m", "d", "s", score_of(values, atol=0.0), values * (1 + 1e-10), exact=True).verdict == "ok", "digits"
    assert judge("m", "d", "s", score_of(values, atol=0.0), values * (1 + 1e-6), exact=True).verdict == "regressed"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"family": "trivial"}, "exact"),
        ({"family": "classical"}, "exact"),
        ({"family": "model"}, "images"),  # weights that came from somewhere
        ({"family": "model", "weights_sha256": None}, "exact"),
    ],
)
def test_methods_without_training_are_known_by_their_results(
    tmp_path: Path, changes: dict[str, str | None], rule: str
) -> None:
    """Untrained: no training in the identity, and a method of its own kind or no weights."""
    for name, last in (("a", 3.0), ("b", 3.001)):
        folder = saved(tmp_path / name, "average", {"mine": [1.0, 2.0, last]}, better="lower", family="trivial")
        result, table = schema.load(folder), schema.load_per_image(folder)
        result.family = changes["family"]  # type: ignore[assignment]
        if "weights_sha256" in changes:
            result.identity.model.weights_sha256 = changes["weights_sha256"]
        result.id = schema.identity_id(result.identity)
        shutil.rmtree(tmp_path / name)
        schema.save(result, tmp_path / name, table)
    outcome = gate(tmp_path / "b", baseline_of([tmp_path / "a"]))
    (case,) = outcome.cases
    assert (case.rule, case.verdict) == (rule, "regressed" if rule == "exact" else "ok")
    assert outcome.compared == (rule == "images") and bool(outcome.notes) == (rule == "images")


def test_few_seeds_widen_by_student() -> None:
    values = np.linspace(0, 1, 20)
    noisy = {"noise": 0.1, "atol": 0.01}
    # one-sided 5 % with 2 and 9 degrees of freedom: t = 2.920 and 1.833
    for runs, factor in ((3, 2.920 * (4 / 3) ** 0.5), (10, 1.833 * 1.1**0.5)):
        score = score_of(values, runs=runs, **noisy)
        for shift, verdict in ((0.1 * factor * 0.99, "ok"), (0.1 * factor * 1.01, "regressed")):
            case = judge("m", "d", "s", score, values + shift)
            assert (case.verdict, case.rule) == (verdict, "seeds")
            assert case.tolerance == pytest.approx(0.1 * factor, rel=1e-3)
        assert judge("m", "d", "s", score, values - 0.1 * factor * 1.01).verdict == "improved"
    quiet = score_of(values, runs=3, noise=0.0, atol=0.01)
    assert [judge("m", "d", "s", quiet, values + shift).verdict for shift in (0.009, 0.011)] == ["ok", "regressed"]


def test_one_image_tells_nothing_of_a_trained_model() -> None:
    values = np.array([0.5])
    assert judge("m", "d", "s", score_of(values), values + 0.005).verdict == "ok"
    case = judge("m", "d", "s", score_of(values), values + 0.5)
    assert case.verdict == "not measured" and "measure more images" in case.reason
    assert judge("m", "d", "s", score_of(values), values + 0.5, exact=True).verdict == "regressed"


def test_many_scores_share_one_error_rate(tmp_path: Path) -> None:
    """One of 20 scores is worse with p = 0.01 over images: alone a finding, among 20 none."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 40)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    moved = noise + 2.45 / np.sqrt(40)  # t = 2.45 with 39 degrees of freedom
    for count, verdict in ((1, "regressed"), (20, "ok")):
        keys = [f"m{number}" for number in range(count)]
        saved(tmp_path / f"a{count}", "net", dict.fromkeys(keys, [0.0] * 39 + [1e-6]), better="lower")
        columns = {key: moved if key == "m0" else noise for key in keys}
        saved(tmp_path / f"b{count}", "net", columns, better="lower", seed=1)  # type: ignore[arg-type]
        outcome = gate(tmp_path / f"b{count}", baseline_of([tmp_path / f"a{count}"]))
        assert outcome.compared == count and outcome.cases[0].verdict == verdict
    assert "is not significant among all scores" in outcome.cases[0].reason


def test_a_flipped_direction_is_not_comparable(tmp_path: Path) -> None:
    saved(tmp_path / "a", "net", {"mine": [1.0, 2.0]}, better="lower")
    saved(tmp_path / "b", "net", {"mine": [5.0, 9.0]}, better="higher")
    (case,) = gate(tmp_path / "b", baseline_of([tmp_path / "a"])).cases
    assert (case.verdict, case.reason) == ("not comparable", "higher is better, in the baseline lower")


def test_notes_say_what_a_baseline_lacks(tmp_path: Path, baseline: Path) -> None:
    (few,) = gate(candidate(tmp_path), baseline).notes
    assert few.startswith("cvae: fewer than 3 training seeds in the baseline")
    old = baseline_of([tmp_path / "base"])
    old.schema = "fusionbench.baseline/1"
    assert "it names no error rate (5% is taken)" in gate(tmp_path / "candidate", old).notes[0]
    for seed in range(3):
        made_up(tmp_path / "seeds", "cvae", seed=seed, shift=0.01 * seed)
    assert gate(tmp_path / "seeds", baseline_of([tmp_path / "seeds"])).notes == []
