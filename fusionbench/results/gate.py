"""A gate for CI: has a metric become worse, by more than its tolerance and beyond doubt?

What "beyond doubt" is depends on what is known of the noise (:mod:`fusionbench.results.gate_statistics`):

* a trained model with at least three seeds in the baseline: the mean moved by more than a new seed would move it,
* a trained model with fewer: the paired 95 % interval of the per-image difference excludes zero, and so does a t test,
* a method without training: nothing is random, so the metric's tolerance alone decides.

One error rate holds for all scores of the first two kinds together. What could not be measured and what is not
comparable are separate verdicts with separate exit codes, so that a crash never reads as a regression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from fusionbench.core.errors import MeasurementError, NotComparableError, RejectedError, some
from fusionbench.results import bootstrap as stats
from fusionbench.results.baseline import (
    DIGITS,
    OWN_NUMBERS,
    SCHEMA,
    Baseline,
    BaselineEntry,
    BaselineScore,
    baseline_of,
    is_deterministic,
    read_baseline,
    rounded,
    task_key,
    tolerance_of,
    write_baseline,
)
from fusionbench.results.comparison import common_images, per_image
from fusionbench.results.gate_statistics import (
    ALPHA,
    detectable_change,
    holm_levels,
    mean_is_positive,
    noise_tolerance,
    prediction_error,
    t_upper_tail,
)
from fusionbench.results.result_set import Results, SetAside, StoredResult
from fusionbench.results.schema import Result
from fusionbench.results.score_files import read_candidate

__all__ = [
    "Baseline",
    "BaselineEntry",
    "BaselineScore",
    "GateCase",
    "GateOutcome",
    "baseline_of",
    "describe_case",
    "gate",
    "judge",
    "read_baseline",
    "tolerance_of",
    "write_baseline",
]
Verdict = Literal["ok", "improved", "regressed", "not measured", "not comparable"]
Rule = Literal["", "seeds", "images", "exact"]  # what the verdict is from; "" where there is none to give
EXIT_CODE: dict[Verdict, int] = {"ok": 0, "improved": 0, "regressed": 1, "not measured": 3, "not comparable": 4}


@dataclass(frozen=True)
class GateCase:
    """The verdict on one score of one model. ``worse`` is how far the mean moved in the worse direction.

    Attributes:
        low, high: interval of ``worse``: over images, or over seeds at the level that one error rate for all scores
            asks for; None for a method without training.
        tolerance: what ``worse`` was held against.
        detectable: the change that is found nine times in ten; None where the noise is not known.
        rule: ``seeds``, ``images`` or ``exact``: what is known of the noise.
    """

    model: str
    dataset: str
    score: str
    verdict: Verdict
    reason: str
    unit: str = ""
    baseline: float | None = None
    now: float | None = None
    worse: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    detectable: float | None = None
    rule: Rule = ""


@dataclass(frozen=True)
class GateOutcome:
    """All cases. ``ok`` when nothing regressed, everything was measured and everything was comparable.

    Attributes:
        alpha: rate of outcomes with a false alarm, over the ``compared`` scores that have noise.
        notes: what the baseline lacks, and what that means.
    """

    cases: list[GateCase]
    alpha: float = ALPHA
    compared: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """4 before 3 before 1: what is not comparable says nothing about regressions."""
        return max((EXIT_CODE[case.verdict] for case in self.cases), default=3)

    def of(self, *verdicts: Verdict) -> list[GateCase]:
        """The cases with one of these verdicts."""
        return [case for case in self.cases if case.verdict in verdicts]

    def require(self) -> None:
        """Raise what the verdict calls for.

        Raises:
            RejectedError, MeasurementError, NotComparableError: with the first case that is to blame.
        """
        kinds = {1: RejectedError, 3: MeasurementError, 4: NotComparableError}
        if not self.ok:
            code = self.exit_code
            guilty = [case for case in self.cases if EXIT_CODE[case.verdict] == code]
            first = guilty[0] if guilty else GateCase("", "", "", "not measured", "the baseline is empty")
            raise kinds[code](f"{len(guilty)} of {len(self.cases)} scores {first.verdict}: {describe_case(first)}")


@dataclass(frozen=True)
class _Move:
    """How far a score moved, and what its noise is. ``case``: everything but the verdict.

    ``p_worse``, ``p_better``: one-sided p values; 1 where another condition of a verdict fails already.
    ``limits``: low and high of the interval over images; ``sd``, ``runs``, ``new_runs``: of the seeds.
    """

    case: GateCase
    own: float
    p_worse: float
    p_better: float
    limits: tuple[float, float] = (math.nan, math.nan)
    sd: float = 0.0
    runs: int = 1
    new_runs: int = 1


def describe_case(case: GateCase) -> str:
    """One case in one line."""
    return f"{case.model} on {case.dataset}, {case.score}: {case.reason}"


def gate(candidate: Results, baseline: str | Path | Baseline) -> GateOutcome:
    """Compare results with a baseline, score by score of the baseline.

    What the candidate has beyond the baseline is not judged.

    Args:
        candidate: results, folders of them, or CSV and JSON files of per-image scores
            (:mod:`fusionbench.results.score_files`).

    Raises:
        UsageError, DataError: no results, damaged results, or a damaged baseline.
        MeasurementError: a value in a file of scores that is not finite.
    """
    base = baseline if isinstance(baseline, Baseline) else read_baseline(baseline)
    found: dict[str, dict[str, StoredResult]] = {}
    results = read_candidate(candidate, baseline=base, lenient=True).own
    for one in results:
        identity = one.result.identity
        key = task_key(identity.model.name, identity.model.params, identity.dataset, identity.protocol)
        found.setdefault(key, {}).setdefault(one.result.id, one)  # a copy of a run is no further run
    judged: list[GateCase | _Move] = []
    for entry in base.entries:
        lost = results.lost(entry.dataset.name, entry.model)
        judged += _judge_entry(entry, list(found.get(entry.key, {}).values()), lost)
    moves = [one for one in judged if isinstance(one, _Move)]
    decided = iter(_decide(moves, base.error_rate))
    cases = [next(decided) if isinstance(one, _Move) else one for one in judged]
    compared = sum(move.case.rule != "exact" for move in moves)
    return GateOutcome(cases, base.error_rate, compared, _notes(base, cases))


def _notes(base: Baseline, cases: Sequence[GateCase]) -> list[str]:
    """What the baseline lacks, a line each."""
    notes = []
    if base.schema == SCHEMA and base.entries:
        text = f"the baseline is an older {SCHEMA}: it names no error rate ({base.error_rate:.0%} is taken) and has no"
        notes.append(f"{text} digest, so a removed entry goes unnoticed; --update-baseline writes both")
    few = list(dict.fromkeys(case.model for case in cases if case.rule == "images"))
    if few:
        text = f"{some(few)}: fewer than {stats.SEEDS_NEEDED} training seeds in the baseline, so the noise of training"
        notes.append(f"{text} is not known and another seed alone can raise an alarm; calibrate with 5 or more")
    return notes


def _judge_entry(
    entry: BaselineEntry, candidates: list[StoredResult], lost: SetAside | None = None
) -> Sequence[GateCase | _Move]:
    dataset = f"{entry.dataset.name} {entry.dataset.split}"

    def all_cases(verdict: Verdict, reason: str) -> list[GateCase]:
        return [
            GateCase(entry.model, dataset, key, verdict, reason, score.unit, score.mean)
            for key, score in entry.scores.items()
        ]

    if lost is not None:
        return all_cases("not measured", f"a result of it was set aside: {lost}")
    if not candidates:
        return all_cases("not measured", "the candidate has no result of this model on this data set")
    difference = next((why for one in candidates if (why := _differs(entry, one.result))), None)
    if difference:
        return all_cases("not comparable", difference)
    tables = [(one.result, one.per_image) for one in candidates if one.result.per_image is not None]
    if len(tables) < len(candidates):
        return all_cases("not measured", "the candidate's result has no per-image values")
    for _, table in tables:
        if not np.array_equal(np.sort(table["id"]), np.array(entry.ids)):
            common = len(np.intersect1d(table["id"], np.array(entry.ids)))
            text = f"{common} of its {len(table['id'])} are among the {len(entry.ids)} of the baseline"
            return all_cases("not comparable", f"the candidate was measured on other images: {text}")
    exact = all(map(is_deterministic, (one.result for one in candidates)))
    cases: list[GateCase | _Move] = []
    for key, score in entry.scores.items():
        rows, reason, verdict = [], "", "not measured"
        for result, table in tables:
            theirs = result.scores.get(key)
            if theirs is not None and theirs.better != score.better:
                reason, verdict = f"{theirs.better} is better, in the baseline {score.better}", "not comparable"
                break
            values = None if theirs is None or theirs.mean is None else per_image(table, key, theirs)
            if values is None:
                reason = (theirs.reason if theirs is not None else "") or "the candidate has no value for it"
                break
            rows.append(values[np.argsort(table["id"], kind="stable")])
        if reason:
            cases.append(GateCase(entry.model, dataset, key, verdict, reason, score.unit, score.mean))  # type: ignore[arg-type]
        else:
            cases.append(_measure(GateCase(entry.model, dataset, key, "ok", ""), score, np.array(rows), exact))
    return cases


def _differs(entry: BaselineEntry, result: Result) -> str | None:
    """Why a result does not measure what the baseline measured, or None."""
    for part, ours in (("dataset", entry.dataset), ("protocol", entry.protocol)):
        mine, theirs = msgspec.to_builtins(ours), msgspec.to_builtins(getattr(result.identity, part))
        for name, value in mine.items():
            if theirs[name] != value and not (entry.protocol.name == OWN_NUMBERS and name in ("n", "ids_sha256")):
                return f"{part} {name} is {theirs[name]!r}, in the baseline {value!r}"
    for metric, version in entry.metrics.items():
        now = result.identity.metrics.get(metric, version)
        if now != version:
            return f"version {now} of {metric}, in the baseline {version}; make a new baseline"
    if result.cut != entry.cut:
        return "training was cut short in one of the two"
    return None


def judge(
    model: str,
    dataset: str,
    key: str,
    score: BaselineScore,
    values: np.ndarray,
    *,
    exact: bool = False,
    alpha: float = ALPHA,
) -> GateCase:
    """The rule on a single score.

    Args:
        values: (n,) or (runs, n) of the candidate, image by image as in the baseline.
        exact: the method has no training noise.
        alpha: error rate, of this score alone.
    """
    found = _measure(GateCase(model, dataset, key, "ok", ""), score, values, exact)
    return found if isinstance(found, GateCase) else _decide([found], alpha)[0]


def _measure(case: GateCase, score: BaselineScore, values: np.ndarray, exact: bool) -> GateCase | _Move:
    """How far a score moved, or the case where that cannot be said."""
    case = replace(case, unit=score.unit, baseline=score.mean)
    base = np.array(score.values, np.float64)  # null becomes NaN
    mask, reasons = common_images([base, values])
    if any(reasons):
        reason = f"{('the baseline', 'the candidate')[bool(reasons[1])]} {next(filter(None, reasons))}"
        return replace(case, verdict="not comparable", reason=reason)
    base, runs = base[mask], rounded(np.atleast_2d(values)[:, mask])
    sign = 1.0 if score.better == "lower" else -1.0
    worse = sign * (stats.mean(runs) - stats.mean(base))
    case = replace(case, now=stats.mean(np.atleast_2d(values)[:, mask]), worse=worse)
    own = score.metric_tolerance
    if score.noise is not None:
        error = prediction_error(score.noise, score.runs, len(runs))
        t = worse / error if error else math.copysign(math.inf, worse)
        p_worse = t_upper_tail(t, score.runs - 1) if worse > own else 1.0
        p_better = t_upper_tail(-t, score.runs - 1) if -worse > own else 1.0
        case = replace(case, rule="seeds")
        return _Move(case, own, p_worse, p_better, sd=score.noise, runs=score.runs, new_runs=len(runs))
    if exact:  # a difference below the digits of the file is none
        own = max(own, 10 ** (1 - DIGITS) * float(np.abs(base).max()))
        return _Move(replace(case, rule="exact"), own, float(worse <= own), float(-worse <= own))
    case = replace(case, rule="images")
    if len(base) < 2:
        if abs(worse) > own:
            reason = f"moved by {abs(worse):.4g}, and one image cannot tell that from chance; measure more images"
            return replace(case, verdict="not measured", reason=reason, tolerance=own)
        return _Move(case, own, 1.0, 1.0)
    found = stats.paired_difference(base, runs)
    low, high = sorted((sign * found.low, sign * found.high))
    differences = sign * (runs.mean(axis=0) - base)
    p_worse = mean_is_positive(differences) if worse > own and low > 0 else 1.0
    p_better = mean_is_positive(-differences) if -worse > own and high < 0 else 1.0
    return _Move(case, own, p_worse, p_better, limits=(low, high))


def _decide(moves: Sequence[_Move], alpha: float) -> list[GateCase]:
    """The verdicts, with one error rate over all scores that have noise, for regressions and for improvements."""
    noisy = [move for move in moves if move.case.rule != "exact"]
    worse = iter(holm_levels([move.p_worse for move in noisy], alpha))
    better = iter(holm_levels([move.p_better for move in noisy], alpha))
    return [
        _verdict(move, 0.5, 0.5) if move.case.rule == "exact" else _verdict(move, next(worse), next(better))
        for move in moves
    ]


def _verdict(move: _Move, worse_level: float, better_level: float) -> GateCase:
    case, tolerance, (low, high) = move.case, move.own, move.limits
    assert case.worse is not None
    regressed, improved = move.p_worse <= worse_level, move.p_better <= better_level
    detectable = None
    if case.rule == "seeds":
        noise = noise_tolerance(move.sd, move.runs, move.new_runs, better_level if improved else worse_level)
        low, high = case.worse - noise, case.worse + noise
        tolerance = max(tolerance, noise)
        detectable = detectable_change(tolerance, move.sd, move.runs, move.new_runs)
    interval = "" if math.isnan(low) else f" [{low:.4g}, {high:.4g}]"
    verdict: Verdict = "regressed" if regressed else "improved" if improved else "ok"
    if regressed:
        reason = f"worse by {case.worse:.4g}{interval}, tolerance {tolerance:.4g}"
    elif improved:
        mirrored = "" if math.isnan(low) else f" [{-high:.4g}, {-low:.4g}]"
        reason = f"better by {-case.worse:.4g}{mirrored}, tolerance {tolerance:.4g}"
    elif case.worse > tolerance:
        doubt = "holds zero" if low <= 0 else "is not significant among all scores"
        reason = f"worse by {case.worse:.4g}, but the interval{interval} {doubt}"
    else:
        reason = f"within the tolerance of {tolerance:.4g}"
    return replace(
        case,
        verdict=verdict,
        reason=reason,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        tolerance=tolerance,
        detectable=detectable,
    )
