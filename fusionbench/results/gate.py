"""A gate for CI: has a metric become worse, by more than its tolerance and beyond doubt?

A score *regressed* when its mean moved in the worse direction by more than ``atol + rtol·|baseline|`` **and** the
paired 95 % bootstrap interval of the per-image difference excludes zero. Either rule alone raises false alarms: any
drop is found in half of all unchanged pairs, and an interval alone in one of twenty.

What could not be measured and what is not comparable are separate verdicts with separate exit codes, so
that a crash never reads as a regression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, MeasurementError, NotComparableError, RejectedError
from fusionbench.core.formats import read_json
from fusionbench.core.io import digest, read_bounded, write_bytes
from fusionbench.core.types import Tolerance
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import Entry, common_images, metric_order, per_image, read_entries
from fusionbench.results.input_means import current_key, current_keys, mean_over_inputs, views_in, views_in_params
from fusionbench.results.result_set import Results, ResultSet, SetAside, StoredResult, read_results, refused
from fusionbench.results.schema import IDENTITIES, DatasetIdentity, ProtocolIdentity, Result, Score

SCHEMA = "fusionbench.baseline/1"
MAX_BYTES = 64 << 20
DIGITS = 9  # significant digits of a baseline's per-image values: far below every tolerance, and a readable diff
SPREADS = 2.0  # a calibrated tolerance is this many standard deviations of the difference of two training runs
Verdict = Literal["ok", "improved", "regressed", "not measured", "not comparable"]
EXIT_CODE: dict[Verdict, int] = {"ok": 0, "improved": 0, "regressed": 1, "not measured": 3, "not comparable": 4}


class BaselineScore(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``values``: one per image, in the order of ``ids``, null where the metric cannot score the image.

    ``noise``: sd of the mean over ``runs`` training seeds.
    """

    mean: float
    better: stats.Better
    unit: str
    atol: float
    rtol: float
    reason: str
    values: list[float | None]
    noise: float | None = None
    runs: int = 1


class BaselineEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One model on one data set under one protocol."""

    model: str
    model_params: dict[str, Any] = {}
    dataset: DatasetIdentity
    protocol: ProtocolIdentity
    metrics: dict[str, str]
    cut: bool = False
    ids: list[int | str]
    scores: dict[str, BaselineScore]

    @property
    def key(self) -> str:
        """What two results of the same model on the same task share, for any weights."""
        return _key(self.model, self.model_params, self.dataset.name, self.dataset.split, self.protocol.name)


class Baseline(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schema: Literal["fusionbench.baseline/1"] = "fusionbench.baseline/1"
    entries: list[BaselineEntry]


@dataclass(frozen=True)
class GateCase:
    """The verdict on one score of one model. ``worse`` is how far the mean moved in the worse direction."""

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


@dataclass(frozen=True)
class GateOutcome:
    """All cases. ``ok`` when nothing regressed, everything was measured and everything was comparable."""

    cases: list[GateCase]

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


def describe_case(case: GateCase) -> str:
    """One case in one line."""
    return f"{case.model} on {case.dataset}, {case.score}: {case.reason}"


def _key(model: str, params: dict[str, Any], dataset: str, split: str, protocol: str) -> str:
    return digest([model, params, dataset, split, protocol])


def tolerance_of(key: str, score: Score) -> Tolerance:
    """The tolerance of a score: that of its metric, for bits per dimension in bits per dimension.

    A score of a metric that is not registered here has none: any drop beyond doubt counts.
    """
    from fusionbench.metrics import METRICS

    metric = key.partition("@")[0]
    dims = score.extra.get("dims")
    if metric.endswith("_bpd") and isinstance(dims, int):
        base = tolerance_of(metric.removesuffix("_bpd"), score)
        return Tolerance(base.atol / (dims * math.log(2)), base.rtol, base.reason)
    if metric == "elbo":
        metric = "nll"
    if metric not in METRICS.names():
        return Tolerance(0.0, 0.0, f"{metric} is not registered here")
    return METRICS.get(metric).tolerance


def baseline_of(results: Results) -> Baseline:
    """A baseline from results; training seeds of a model are averaged, and give it its noise when there are three.

    Raises:
        UsageError, DataError, NotComparableError: as :func:`fusionbench.results.comparison.read_entries`.
    """
    found = read_results(results)
    if found.set_aside:  # a baseline without them would judge less, and nobody would notice
        raise refused(found.set_aside, len(found) + len(found.set_aside))
    entries = [_baseline_entry(entry) for group in _by_task(found) for entry in read_entries(group)]
    return Baseline(entries=sorted(entries, key=lambda entry: (entry.dataset.name, entry.model, entry.key)))


def _by_task(results: ResultSet) -> list[ResultSet]:
    """Measured results, those on one data set and protocol together."""
    groups: dict[str, list[StoredResult]] = {}
    for one in results.measured:  # a paper's numbers were not measured here: there is nothing to hold against them
        identity = one.result.identity
        task = [msgspec.to_builtins(part) for part in (identity.dataset, identity.protocol)]
        groups.setdefault(digest(task), []).append(one)
    return [ResultSet(members) for members in groups.values()]


def _baseline_entry(entry: Entry) -> BaselineEntry:
    result = entry.results[0]
    scores = {}
    for key, values in sorted(entry.values.items(), key=lambda item: metric_order(item[0])):
        score = result.scores[key]
        tolerance = tolerance_of(key, score)
        mask, (reason,) = common_images([values])
        if reason:  # runs that have values for different images have no common mean
            continue
        means = np.array([stats.mean(run) for run in values[:, mask]])
        noise = float(means.std(ddof=1)) if len(means) >= stats.SEEDS_NEEDED else None
        atol, reason = tolerance.atol, tolerance.reason
        if noise is not None:
            floor = SPREADS * math.sqrt(2) * noise
            if floor > atol + tolerance.rtol * abs(float(means.mean())):
                atol = floor
                reason = f"two training runs differ by {math.sqrt(2) * noise:.3g} (sd, from {len(means)} seeds)"
        scores[key] = BaselineScore(
            mean=stats.mean(values[:, mask]),
            better=score.better,
            unit=score.unit,
            atol=atol,
            rtol=tolerance.rtol,
            reason=reason,
            values=[
                value if has else None for value, has in zip(_rounded(values.mean(axis=0)).tolist(), mask, strict=True)
            ],
            noise=noise,
            runs=len(means),
        )
    return BaselineEntry(
        model=result.identity.model.name,
        model_params=result.identity.model.params,
        dataset=result.identity.dataset,
        protocol=result.identity.protocol,
        metrics=result.identity.metrics,
        cut=entry.cut,
        ids=entry.ids,
        scores=scores,
    )


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values with the digits that a baseline keeps, so that rounding alone is no difference."""
    flat = [float(f"{value:.{DIGITS}g}") for value in np.ravel(values).tolist()]
    return np.array(flat, np.float64).reshape(np.shape(values))


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline atomically, one line a score, so that a change can be reviewed as a diff."""

    def text(value: Any) -> str:
        return msgspec.json.encode(value, order="sorted").decode()

    entries = []
    for entry in baseline.entries:
        scores = ",\n".join(f"{text(key)}:{text(score)}" for key, score in entry.scores.items())
        rest = {name: value for name, value in msgspec.structs.asdict(entry).items() if name != "scores"}
        entries.append(f'{text(rest)[:-1]},\n"scores":{{\n{scores}\n}}}}')
    whole = f'{{"schema":{text(baseline.schema)},"entries":[\n' + ",\n".join(entries) + "\n]}\n"
    write_bytes(path, whole.encode())


def read_baseline(path: str | Path) -> Baseline:
    """Read a baseline strictly; scores get the names that they have now.

    Raises:
        DataError: missing, too large, not a baseline, or a score under two names.
    """
    try:
        content = read_bounded(path, MAX_BYTES, "baseline")
        baseline = read_json(content, Baseline, path, (*IDENTITIES, BaselineEntry))
        for entry in baseline.entries:
            entry.scores = _current_scores(entry)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a {SCHEMA} file: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}; make a new baseline") from error
    return baseline


def _current_scores(entry: BaselineEntry) -> dict[str, BaselineScore]:
    """The scores of an entry by the names that they have now.

    Older gates took the mean over the first four columns for the mean of any number of views. Where there are more,
    mean and values are computed again from the columns beside it; a calibrated tolerance stays as it was.

    Raises:
        ValueError: a score under two names, or columns that are missing or of unequal length.
    """
    scores = current_keys(entry.scores)
    for key in (current_key(key) for key in entry.scores if current_key(key) != key):
        name = key.partition("@")[0]
        views = views_in_params(entry.protocol.params) or views_in(scores, name)
        if views is not None and views > 3:
            columns = [scores[f"{name}@{count}"] for count in range(views + 1) if f"{name}@{count}" in scores]
            if len(columns) <= views or len({len(column.values) for column in columns}) > 1:
                raise ValueError(f"{name} of {entry.model} lacks values for some of 0 to {views} inputs")
            values = mean_over_inputs([np.array(column.values) for column in columns])
            scores[key] = msgspec.structs.replace(
                scores[key],
                mean=float(mean_over_inputs([np.array([column.mean]) for column in columns])[0]),
                values=_rounded(values).tolist(),
            )
    return scores


def gate(candidate: Results, baseline: str | Path | Baseline) -> GateOutcome:
    """Compare results (files, or folders of them) with a baseline, score by score of the baseline.

    What the candidate has beyond the baseline is not judged.

    Raises:
        UsageError, DataError: no results, damaged results, or a damaged baseline.
    """
    base = baseline if isinstance(baseline, Baseline) else read_baseline(baseline)
    found: dict[str, list[StoredResult]] = {}
    results = read_results(candidate).measured
    for one in results:
        identity = one.result.identity
        key = _key(
            identity.model.name,
            identity.model.params,
            identity.dataset.name,
            identity.dataset.split,
            identity.protocol.name,
        )
        found.setdefault(key, []).append(one)
    return GateOutcome(
        [
            case
            for entry in base.entries
            for case in _judge_entry(entry, found.get(entry.key, []), results.lost(entry.dataset.name, entry.model))
        ]
    )


def _judge_entry(entry: BaselineEntry, candidates: list[StoredResult], lost: SetAside | None = None) -> list[GateCase]:
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
            return all_cases("not comparable", "the candidate was measured on other images")
    cases = []
    for key, score in entry.scores.items():
        rows, reason = [], ""
        for result, table in tables:
            theirs = result.scores.get(key)
            values = None if theirs is None or theirs.mean is None else per_image(table, key, theirs)
            if values is None:
                reason = (theirs.reason if theirs is not None else "") or "the candidate has no value for it"
                break
            rows.append(values[np.argsort(table["id"], kind="stable")])
        if reason:
            cases.append(GateCase(entry.model, dataset, key, "not measured", reason, score.unit, score.mean))
        else:
            cases.append(judge(entry.model, dataset, key, score, np.array(rows)))
    return cases


def _differs(entry: BaselineEntry, result: Result) -> str | None:
    """Why a result does not measure what the baseline measured, or None."""
    for part, ours in (("dataset", entry.dataset), ("protocol", entry.protocol)):
        mine, theirs = msgspec.to_builtins(ours), msgspec.to_builtins(getattr(result.identity, part))
        for name, value in mine.items():
            if theirs[name] != value:
                return f"{part} {name} is {theirs[name]!r}, in the baseline {value!r}"
    for metric, version in entry.metrics.items():
        now = result.identity.metrics.get(metric, version)
        if now != version:
            return f"version {now} of {metric}, in the baseline {version}; make a new baseline"
    if result.cut != entry.cut:
        return "training was cut short in one of the two"
    return None


def judge(model: str, dataset: str, key: str, score: BaselineScore, values: np.ndarray) -> GateCase:
    """The rule on one score. ``values``: (n,) or (runs, n) of the candidate, image by image as in the baseline."""
    base = np.array(score.values, np.float64)  # null becomes NaN
    mask, reasons = common_images([base, values])
    if any(reasons):
        reason = f"{('the baseline', 'the candidate')[bool(reasons[1])]} {next(filter(None, reasons))}"
        return GateCase(model, dataset, key, "not comparable", reason, score.unit, score.mean)
    values = values[..., mask]
    found = stats.paired_difference(base[mask], _rounded(values))
    sign = 1.0 if score.better == "lower" else -1.0
    worse = sign * found.mean
    low, high = sorted((sign * found.low, sign * found.high))
    tolerance = score.atol + score.rtol * abs(score.mean)
    verdict: Verdict
    if worse > tolerance and low > 0:
        verdict, reason = "regressed", f"worse by {worse:.4g} [{low:.4g}, {high:.4g}], tolerance {tolerance:.4g}"
    elif -worse > tolerance and high < 0:
        verdict, reason = "improved", f"better by {-worse:.4g} [{-high:.4g}, {-low:.4g}], tolerance {tolerance:.4g}"
    elif worse > tolerance:
        verdict, reason = "ok", f"worse by {worse:.4g}, but the interval [{low:.4g}, {high:.4g}] holds zero"
    else:
        verdict, reason = "ok", f"within the tolerance of {tolerance:.4g}"
    now = stats.mean(values)
    return GateCase(model, dataset, key, verdict, reason, score.unit, score.mean, now, worse, low, high, tolerance)
