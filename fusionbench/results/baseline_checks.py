"""Does a baseline make sense: what would let every regression pass is refused when the file is read.

A baseline comes by way of a pull request or a merge. A tolerance of 1e9, a flipped direction or a missing entry turns
a gate green without a trace in the code, so each is a damaged file here, and not a lenient gate.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from fusionbench.core.errors import some
from fusionbench.core.io import digest
from fusionbench.core.text import one_line
from fusionbench.results import bootstrap as stats
from fusionbench.results.baseline import (
    DIGITS,
    OWN_NUMBERS,
    SCHEMA,
    Baseline,
    BaselineEntry,
    BaselineScore,
)
from fusionbench.results.gate_statistics import ALPHAS, noise_tolerance
from fusionbench.results.registered import registered_direction, registered_tolerance

LENIENT = 10.0  # a registered metric's tolerance may have been this many times today's in the release that wrote it
FORMER_SPREADS = 2 * math.sqrt(2)  # the calibrated tolerance of older files, in standard deviations of a run
_CLOSE = 1e-6  # of values that follow from each other in the file


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads(object_pairs_hook=...)``: a JSON object in which no key is there twice.

    Raises:
        ValueError: names the key.

    Example:
        >>> import json
        >>> from fusionbench.results.baseline_checks import unique_keys
        >>> json.loads('{"a": 1, "b": 2}', object_pairs_hook=unique_keys)
        {'a': 1, 'b': 2}
        >>> try:
        ...     json.loads('{"a": 1, "a": 2}', object_pairs_hook=unique_keys)
        ... except ValueError as error:
        ...     print(error)
        'a' is there twice in one object
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)[:80]!r} is there twice in one object")
    return found


def require_sense(baseline: Baseline, raw_entries: list[Any]) -> None:
    """Check everything in a baseline that follows from something else in it, or from the registered metrics.

    Args:
        raw_entries: the entries as they are in the file, without what a reader converts, for the digest.

    Raises:
        ValueError: says in one line which entry and score, and what is wrong.
    """
    if baseline.schema != SCHEMA:
        missing = [name for name in ("alpha", "compared", "digest") if getattr(baseline, name) is msgspec.UNSET]
        if missing:
            raise ValueError(f"a {baseline.schema} has {', '.join(missing)}, and this one does not")
    if isinstance(baseline.alpha, float) and not ALPHAS[0] <= baseline.alpha <= ALPHAS[1]:
        raise ValueError(f"alpha is {baseline.alpha:g}, not from {ALPHAS[0]:g} to {ALPHAS[1]:g}")
    if isinstance(baseline.digest, str) and digest(raw_entries) != baseline.digest:
        raise ValueError("its entries are not those that were written: one was edited, added or removed by hand")
    keys = [entry.key for entry in baseline.entries]
    twice = [entry.title for number, entry in enumerate(baseline.entries) if entry.key in keys[:number]]
    if twice:
        raise ValueError(f"has two entries of {one_line(some(twice))}")
    count = sum(len(entry.scores) for entry in baseline.entries)
    if isinstance(baseline.compared, int) and not 0 <= baseline.compared <= count:
        raise ValueError(f"says that {baseline.compared} scores are compared, and has {count}")
    for entry in baseline.entries:
        _require_entry(entry)
        for key, score in entry.scores.items():
            problem = _problem(key, score, entry) or _noise_problem(score, baseline)
            if problem:
                raise ValueError(f"{one_line(entry.title)}, {one_line(key)}: {problem}")


def _require_entry(entry: BaselineEntry) -> None:
    ids, problem = entry.ids, ""
    if len({type(one) for one in ids}) > 1:
        problem = "ids are numbers and texts"
    elif len(set(ids)) < len(ids):
        problem = "an id is there twice"
    elif ids != sorted(ids):
        problem = "ids are not in order"
    elif not ids or entry.dataset.n != len(ids):
        problem = f"has {len(ids)} ids, and n is {entry.dataset.n}"
    elif not entry.scores:
        problem = "has no scores"
    if problem:
        raise ValueError(f"{one_line(entry.title)}: {problem}")


def _problem(key: str, score: BaselineScore, entry: BaselineEntry) -> str:
    """What is wrong with values, direction or the metric's own tolerance of a score, or an empty text."""
    values = [value for value in score.values if value is not None]
    if len(score.values) != len(entry.ids):
        return f"has {len(score.values)} values for {len(entry.ids)} images"
    if not values:
        return "has no value for any image"
    largest = max(map(abs, values))
    if abs(stats.mean(values) - score.mean) > 10 ** (1 - DIGITS) * largest:
        return f"the mean of its values is {stats.mean(values):.9g}, not {score.mean:.9g}"
    better = registered_direction(key)
    if better is not None and better != score.better:
        return f"{score.better} is better in the file, {better} by the metric"
    numbers: dict[str, object] = {"atol": score.atol, "rtol": score.rtol, "metric_atol": score.metric_atol}
    numbers |= {"metric_rtol": score.metric_rtol, "noise": score.noise, "detectable": score.detectable}
    for name, number in numbers.items():
        if isinstance(number, float) and not (math.isfinite(number) and number >= 0):
            return f"{name} is {number:g}"
    if isinstance(score.metric_atol, float) != isinstance(score.metric_rtol, float):
        return "has one of metric_atol and metric_rtol"
    own = _own_tolerance(score)
    # the unit of a user's own numbers is not known, whatever they are called
    registered = None if entry.protocol.name == OWN_NUMBERS else registered_tolerance(key, score.mean)
    most = largest if registered is None else LENIENT * registered
    if own > most:
        why = "its largest value" if registered is None else f"{LENIENT:g} times what the metric has"
        return f"a tolerance of {own:.3g} is more than {why} ({most:.3g}), so that nothing would ever regress"
    return ""


def _own_tolerance(score: BaselineScore) -> float:
    """The tolerance without the noise; in an older calibrated file, none of it is beyond doubt the metric's own."""
    if score.noise is not None and not isinstance(score.metric_atol, float):
        former = FORMER_SPREADS * score.noise
        if math.isclose(score.atol, former, rel_tol=_CLOSE):
            return score.rtol * abs(score.mean)
    return score.metric_tolerance


def _noise_problem(score: BaselineScore, baseline: Baseline) -> str:
    """What is wrong with the noise of a score and the tolerance that follows from it, or an empty text."""
    if score.runs < 1:
        return f"is of {score.runs} runs"
    if score.noise is None:
        return "has a calibrated tolerance without its noise" if isinstance(score.metric_atol, float) else ""
    if score.runs < stats.SEEDS_NEEDED:
        return f"has noise from {score.runs} runs, which takes {stats.SEEDS_NEEDED}"
    largest = max(abs(value) for value in score.values if value is not None)
    if score.noise > largest:
        return f"a noise of {score.noise:.3g} is more than its largest value ({largest:.3g})"
    if isinstance(score.metric_atol, float):
        if not (isinstance(baseline.compared, int) and baseline.compared):
            return "has a calibrated tolerance, and no scores are compared"
        level = baseline.error_rate / baseline.compared
        floor = noise_tolerance(score.noise, score.runs, 1, level)
        if not math.isclose(score.tolerance, floor, rel_tol=_CLOSE):
            return f"its noise gives a tolerance of {floor:.6g}, not {score.tolerance:.6g}"
    return ""
