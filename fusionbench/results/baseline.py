"""What a gate compares with: per-image values, tolerances and the noise of training, as a file that is reviewed.

``fusionbench.baseline/1``; its revision 1 adds the error rate, the metric's own tolerance beside a calibrated one, the
detectable change, and a digest of the entries.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, MeasurementError, UsageError, some
from fusionbench.core.formats import read_json
from fusionbench.core.io import digest, read_bounded, write_bytes
from fusionbench.core.types import Tolerance
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import Entry, common_images, metric_order, read_entries
from fusionbench.results.gate_statistics import ALPHA, ALPHAS, detectable_change, noise_tolerance
from fusionbench.results.input_means import current_key, current_keys, mean_over_inputs, views_in, views_in_params
from fusionbench.results.result_set import Results, ResultSet, StoredResult, read_results, refused
from fusionbench.results.schema import IDENTITIES, DatasetIdentity, ProtocolIdentity, Result, Score

SCHEMA = "fusionbench.baseline/1"
MAX_BYTES = 64 << 20
DIGITS = 9  # significant digits of a baseline's per-image values: far below every tolerance, and a readable diff
NO_WEIGHTS = hashlib.sha256().hexdigest()  # of a class without any, which is a rule
OWN_NUMBERS = "score-file"  # the protocol of per-image scores from a user's CSV or JSON
Unset = msgspec.UnsetType


class BaselineScore(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``values``: one per image, in the order of ``ids``, null where the metric cannot score the image.

    ``noise``: sd of the mean over ``runs`` training seeds. ``atol`` and ``rtol``: what one new run is judged by; where
    the noise is more than the metric's own tolerance, that is ``metric_atol`` and ``metric_rtol``. ``detectable``: the
    change that one new run shows nine times in ten.
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
    metric_atol: float | Unset = msgspec.UNSET  # since fusionbench.baseline/1.1, like the next two
    metric_rtol: float | Unset = msgspec.UNSET
    detectable: float | Unset = msgspec.UNSET

    @property
    def tolerance(self) -> float:
        """What one new run is judged by."""
        return self.atol + self.rtol * abs(self.mean)

    @property
    def metric_tolerance(self) -> float:
        """The tolerance without the noise of training; in older files a calibrated one holds both."""
        if isinstance(self.metric_atol, float):
            return self.metric_atol + (self.metric_rtol or 0.0) * abs(self.mean)
        return self.tolerance


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
        return task_key(self.model, self.model_params, self.dataset, self.protocol)

    @property
    def title(self) -> str:
        """Model and data set, for people."""
        return f"{self.model} on {self.dataset.name} {self.dataset.split}"


class Baseline(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``alpha``: rate of outcomes with a false alarm, over all ``compared`` scores, those that have noise.

    ``digest``: of the entries, so that a removed or edited one is noticed.
    """

    schema: Literal["fusionbench.baseline/1", "fusionbench.baseline/1.1"] = "fusionbench.baseline/1"
    entries: list[BaselineEntry]
    alpha: float | Unset = msgspec.UNSET  # since fusionbench.baseline/1.1, like the next two
    compared: int | Unset = msgspec.UNSET
    digest: str | Unset = msgspec.UNSET

    @property
    def error_rate(self) -> float:
        """``alpha``, or that of fusionbench where an older file has none."""
        return self.alpha if isinstance(self.alpha, float) else ALPHA


def own_settings(baseline: Baseline) -> tuple[dict[str, stats.Better], dict[str, float]]:
    """Directions and tolerances of a user's own numbers in a baseline, by score."""
    own = [entry for entry in baseline.entries if entry.protocol.name == OWN_NUMBERS]
    better = {key: score.better for entry in own for key, score in entry.scores.items()}
    return better, {key: score.metric_tolerance for entry in own for key, score in entry.scores.items()}


def task_key(model: str, params: dict[str, Any], dataset: DatasetIdentity, protocol: ProtocolIdentity) -> str:
    """What the results of a model on a data set under a protocol share: name, not version or weights."""
    return digest([model, params, dataset.name, dataset.split, protocol.name])


def is_deterministic(result: Result) -> bool:
    """Whether a result has no training noise: a trivial method, imported weights, or what has no training."""
    if result.family == "trivial":  # the mean image is learned, and the same for every seed
        return True
    if result.identity.training is not None and result.identity.training.unknown:
        return True
    untrained = result.family == "classical" or result.identity.model.weights_sha256 in (None, NO_WEIGHTS)
    return untrained and result.identity.training is None


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


def baseline_of(results: Results, *, alpha: float = ALPHA) -> Baseline:
    """A baseline from results; training seeds of a model are averaged, and give it its noise when there are three.

    Args:
        alpha: rate of outcomes with a false alarm that a gate on this baseline may have, over all of its scores.

    Raises:
        UsageError, DataError, NotComparableError: as :func:`fusionbench.results.comparison.read_entries`; an error
            rate that is none.
        MeasurementError: a model without any score.
    """
    if not ALPHAS[0] <= alpha <= ALPHAS[1]:
        raise UsageError(f"an error rate of {alpha:g} is not from {ALPHAS[0]:g} to {ALPHAS[1]:g}")
    found = read_results(results)
    if found.set_aside:  # a baseline without them would judge less, and nobody would notice
        raise refused(found.set_aside, len(found) + len(found.set_aside))
    sources = [entry for group in _by_task(found) for entry in read_entries(group)]
    made = [_baseline_entry(source) for source in sources]
    if empty := [entry.title for entry in made if not entry.scores]:
        raise MeasurementError(f"{some(empty)}: no score has a value; leave these results out, or measure them again")
    noisy = [not all(map(is_deterministic, source.results)) for source in sources]
    compared = sum(len(entry.scores) for entry, varies in zip(made, noisy, strict=True) if varies)
    for entry in made:
        for score in entry.scores.values():
            calibrate_score(score, alpha, compared)
    entries = sorted(made, key=lambda entry: (entry.dataset.name, entry.model, entry.key))
    return Baseline(
        schema="fusionbench.baseline/1.1",
        entries=entries,
        alpha=float(alpha),
        compared=compared,
        digest=digest(msgspec.to_builtins(entries)),
    )


def calibrate_score(score: BaselineScore, alpha: float, compared: int) -> None:
    """Widen the tolerance of a score to the noise of its training, where that is more than the metric's own."""
    if score.noise is None:
        return
    floor = noise_tolerance(score.noise, score.runs, 1, alpha / compared)
    score.detectable = detectable_change(max(floor, score.tolerance), score.noise, score.runs, 1)
    if floor > score.tolerance:
        score.metric_atol, score.metric_rtol = score.atol, score.rtol
        score.atol, score.rtol = floor, 0.0
        score.reason = (
            f"{score.runs} seeds differ by {score.noise:.3g} (sd); {floor / score.noise:.3g} times that for a new seed "
            f"keeps false alarms at {alpha:.3g} over {compared} scores"
        )


def _by_task(results: ResultSet) -> list[ResultSet]:
    """Measured results, those on one data set and protocol together."""
    groups: dict[str, list[StoredResult]] = {}
    for one in results.own:  # a paper has nothing to hold against
        identity = one.result.identity
        task = [msgspec.to_builtins(part) for part in (identity.dataset, identity.protocol)]
        groups.setdefault(digest(task), []).append(one)
    return [ResultSet(members) for members in groups.values()]


def _baseline_entry(entry: Entry) -> BaselineEntry:
    """An entry with the metrics' own tolerances. The order in which runs were read does not matter."""
    result = entry.results[0]
    scores = {}
    for key, values in sorted(entry.values.items(), key=lambda item: metric_order(item[0])):
        score = result.scores[key]
        own = result.identity.protocol.name == OWN_NUMBERS  # in a unit that is not known here
        tolerance = _given_tolerance(score) if own else tolerance_of(key, score)
        mask, (reason,) = common_images([values])
        if reason:  # runs that have values for different images have no common mean
            continue
        means = sorted(stats.mean(run) for run in values[:, mask])
        averaged = [math.fsum(column) / len(values) for column in values.T.tolist()]
        scores[key] = BaselineScore(
            mean=stats.mean(values[:, mask]),
            better=score.better,
            unit=score.unit,
            atol=float(tolerance.atol),
            rtol=float(tolerance.rtol),
            reason=tolerance.reason,
            values=[value if has else None for value, has in zip(rounded(averaged).tolist(), mask, strict=True)],
            noise=float(np.std(means, ddof=1)) if len(means) >= stats.SEEDS_NEEDED else None,
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


def _given_tolerance(score: Score) -> Tolerance:
    given = float(score.extra.get("tolerance", 0.0))
    return Tolerance(given, 0.0, "given with the baseline" if given else "none was given: any drop beyond doubt")


def rounded(values: Any) -> np.ndarray:
    """Values with the digits that a baseline has, float64, so that rounding alone is no difference.

    Example:
        >>> from fusionbench.results.baseline import rounded
        >>> rounded([0.1234567891234, 2.0]).tolist()
        [0.123456789, 2.0]
    """
    array = np.asarray(values, np.float64)
    return np.array([float(f"{value:.{DIGITS}g}") for value in array.ravel().tolist()], np.float64).reshape(array.shape)


def baseline_bytes(baseline: Baseline) -> bytes:
    """A baseline as it is written: one line a score, so that a change can be reviewed as a diff."""

    def text(value: Any) -> str:
        return msgspec.json.encode(value, order="sorted").decode()

    entries = []
    for entry in baseline.entries:
        scores = ",\n".join(f"{text(key)}:{text(score)}" for key, score in entry.scores.items())
        rest = {name: value for name, value in msgspec.structs.asdict(entry).items() if name != "scores"}
        entries.append(f'{text(rest)[:-1]},\n"scores":{{\n{scores}\n}}}}')
    head = f'"schema":{text(baseline.schema)}'
    if baseline.schema != SCHEMA:
        made_of = digest(msgspec.to_builtins(baseline.entries))
        head += f',"alpha":{text(baseline.alpha)},"compared":{text(baseline.compared)},"digest":{text(made_of)}'
    return (f"{{{head}," + '"entries":[\n' + ",\n".join(entries) + "\n]}\n").encode()


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline atomically, with the digest of its entries as they are now."""
    write_bytes(path, baseline_bytes(baseline))


def read_baseline(path: str | Path) -> Baseline:
    """Read a baseline strictly, and check it for sense; scores get the names that they have now.

    Raises:
        DataError: missing, too large, not a baseline, a score or entry twice, or one that contradicts itself
            (:func:`fusionbench.results.baseline_checks.require_sense`).
    """
    from fusionbench.results.baseline_checks import require_sense, unique_keys

    if not Path(path).exists():
        raise DataError(f"{path}: no such baseline; write one with `gate … --update-baseline`")
    try:
        content = read_bounded(path, MAX_BYTES, "baseline")
        baseline = read_json(content, Baseline, path, (*IDENTITIES, BaselineEntry))
        raw = json.loads(content, object_pairs_hook=unique_keys)
        for entry in baseline.entries:
            entry.scores = _current_scores(entry)
        require_sense(baseline, raw["entries"])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if isinstance(error, msgspec.ValidationError) and content.lstrip()[:1] == b"[":
            raise DataError(
                f"{path}: not a {SCHEMA} file but a JSON array; an array of scores is what a gate judges: make a "
                f"baseline of it with `fusionbench gate {Path(path).name} --baseline BASELINE.json --update-baseline`"
            ) from error
        raise DataError(f"{path}: not a {SCHEMA} file: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}; restore the file, or delete it and make a new baseline") from error
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
            values = mean_over_inputs([np.array(column.values, np.float64) for column in columns])
            scores[key] = msgspec.structs.replace(
                scores[key],
                mean=float(mean_over_inputs([np.array([column.mean]) for column in columns])[0]),
                values=rounded(values).tolist(),
            )
    return scores
