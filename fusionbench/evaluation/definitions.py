"""Values of metrics by every known definition on the same images: dialects, variants, usual slips, treated images.

What ``explain`` compares published numbers with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.images import DecodedImage, GreyRule, read_image
from fusionbench.core.types import Metric
from fusionbench.evaluation.image_files import Triple, read_row
from fusionbench.evaluation.treatments import treated
from fusionbench.metrics import METRICS, get_metric
from fusionbench.metrics.dialects import DIALECTS, STANDARD, grey_rule
from fusionbench.metrics.engine import SourcePair
from fusionbench.metrics.undefined import too_small

# Names under which papers print another quantity.
CONFUSED: Mapping[str, tuple[str, ...]] = {
    "vif": ("viff",),
    "viff": ("vif",),
    "mi": ("nmi",),
    "nmi": ("mi",),
    "ssim": ("ms_ssim",),
    "ms_ssim": ("ssim",),
}
# Definitions that no public evaluator of ours has, but other libraries and slips with a range do.
_BOX = {"window": "uniform", "size": 7, "sample": True}
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "ssim": {
        "7×7 box": _BOX,
        "7×7 box with range 1 on images of 0..255": {**_BOX, "data_range": 1.0},
        "Gaussian with border replicated": {"border": "replicate"},
        "Gaussian with range 2 on images of 0..255": {"data_range": 2.0},
        "Gaussian with range 1 on images of 0..255": {"data_range": 1.0},
    }
}
# Metrics that are a sum or a mean over the two sources, so that papers differ by a factor of two.
OVER_SOURCES = ("mi", "nmi", "vif", "ssim", "ms_ssim", "cc", "scd", "psnr", "mse")


@dataclass(frozen=True)
class Way:
    """A value, and the way to it from the files.

    Attributes:
        asked: the metric that was asked for.
        metric: the one that was computed; another one where papers confuse the two.
        dialect: whose definition.
        variant: a definition that no dialect has; "" for none.
        slip: what was done to the value: halved, doubled, in nats, …; "" for nothing.
        treatment: what was done to the images (:mod:`fusionbench.evaluation.treatments`); "" for nothing.
        value: mean over the images.
        note: what the dialect does differently.
    """

    asked: str
    metric: str
    dialect: str
    variant: str
    slip: str
    treatment: str
    value: float
    note: str = ""

    @property
    def steps(self) -> int:
        """How many assumptions it takes beyond a dialect: other metric, variant, slip, treatment, one each."""
        return (self.metric != self.asked) + bool(self.variant) + bool(self.slip) + bool(self.treatment)


def scored_metric(name: str) -> Metric:
    """A metric of fused images by its name.

    Raises:
        UsageError: unknown, or a metric of something else.
    """
    metric = get_metric(name)
    if metric.needs not in ("pair", "fused"):
        raise UsageError(f"The metric {name!r} needs {metric.needs}; explain takes metrics of fused images")
    return metric


def ways(metrics: Sequence[str], rows: Sequence[Triple], ranges: Ranges, task: Any = None) -> list[Way]:
    """Every way to a value of each metric as its mean over ``rows``, the images read once.

    ``task`` is a progress display that advances by a row.

    Raises:
        UsageError: unknown metric, or one that does not score fused images.
        DataError: an image that cannot be read, or images that are too small for every definition of a metric.
    """
    definitions = [each for name in metrics for each in _definitions(name)]
    formulas = _formulas(definitions)
    sums: dict[tuple[int, str], list[float]] = {}
    differs: set[str] = {""}
    for row in rows:
        read = read_row(row, ranges)
        decoded = [read[side] for side in ("fused", "a", "b")]
        for rule, asked_so in _by_rule(formulas, definitions, decoded):
            pairs: dict[tuple[int, int], SourcePair] = {}
            plain: list[np.ndarray] = []
            scored: dict[int, float] = {}
            for treatment, stacks in treated(decoded, rule):
                plain = plain or stacks
                if stacks is not plain:
                    differs.add(treatment)
                    found = _score(asked_so, stacks, pairs)
                elif not treatment:
                    scored = found = _score(asked_so, stacks, pairs)
                else:  # it leaves these images alone
                    found = scored
                for formula, value in found.items():
                    for place in asked_so[formula][1]:
                        sums.setdefault((place, treatment), []).append(value)
        if task is not None:
            task.advance()
    whole = {key: values for key, values in sums.items() if len(values) == len(rows) and key[1] in differs}
    for name in metrics:
        # a definition that cannot score all of the images cannot be meant
        if rows and not any(definitions[place][0] == name for place, _ in whole):
            raise DataError(f"{name} {_too_small(get_metric(name), rows, ranges)}")
    result = []
    for (place, treatment), values in whole.items():
        asked, record, variant = definitions[place]
        result += _slips(asked, record, variant, treatment, float(np.mean(values)))
    return result


def _definitions(name: str) -> list[tuple[str, Metric, str]]:
    """(name, record, variant): the metric in every dialect that has it, its variants, and its namesakes."""
    scored_metric(name)
    records = []
    for one in (name, *(other for other in CONFUSED.get(name, ()) if other in METRICS.names())):
        plain = get_metric(one)
        records.append((name, plain, ""))
        records += [
            (name, get_metric(one, dialect.name), "") for dialect in DIALECTS.values() if one in dialect.metrics
        ]
        for label, parameters in VARIANTS.get(one, {}).items():
            records.append((name, replace(plain, function=_WithParameters(plain.function, parameters)), label))
    return records


def _formulas(definitions: Sequence[tuple[str, Metric, str]]) -> list[tuple[Metric, list[int]]]:
    """(record, places of the definitions that compute the same): many dialects share a formula and its parameters."""
    found: dict[str, tuple[Metric, list[int]]] = {}
    for place, (_, record, variant) in enumerate(definitions):
        dialect = DIALECTS.get(record.dialect.partition("/")[0])
        differs = dialect.metrics[record.name] if dialect else None
        how = (dict(differs.parameters), differs.swap) if differs else ({}, (0, 1, 2))
        key = repr((record.name, variant, sorted(how[0].items()), how[1], record.min_side, record.min_pixels))
        found.setdefault(key, (record, []))[1].append(place)
    return [*found.values()]


def _by_rule(
    formulas: Sequence[tuple[Metric, list[int]]],
    definitions: Sequence[tuple[str, Metric, str]],
    images: Sequence[DecodedImage],
) -> list[tuple[GreyRule, Sequence[tuple[Metric, list[int]]]]]:
    """The formulas by how their dialects make colour grey; all together where these images come out the same."""
    rules = dict.fromkeys(grey_rule(record) for _, record, _ in definitions)
    first, *others = rules
    if all(np.array_equal(image.grey(first), image.grey(rule)) for rule in others for image in images):
        return [(first, formulas)]
    split: list[tuple[GreyRule, Sequence[tuple[Metric, list[int]]]]] = []
    for rule in rules:
        mine = [(record, [p for p in places if grey_rule(definitions[p][1]) == rule]) for record, places in formulas]
        split.append((rule, [(record, places) for record, places in mine if places]))
    return split


@dataclass(frozen=True)
class _WithParameters:
    """A metric's function with other parameters, whose formula still shares intermediates."""

    function: Any
    parameters: Mapping[str, Any]

    def __call__(self, *images: Any) -> Any:
        return self.function(*images, **self.parameters)

    @property
    def kernel(self) -> Any:
        return partial(self.function.kernel, **self.parameters)


def _score(
    formulas: Sequence[tuple[Metric, list[int]]], stacks: Sequence[np.ndarray], pairs: dict[tuple[int, int], SourcePair]
) -> dict[int, float]:
    """Value by place of the formula, for those that images of this size have; what sources share is computed once."""
    key = id(stacks[1]), id(stacks[2])
    if key not in pairs:
        able = [
            replace(record, name=str(place))
            for place, (record, _) in enumerate(formulas)
            if too_small(record, *stacks[0].shape[1:]) is None
        ]
        if not able:
            return {}
        # not copied: while the pair holds the arrays, no others can have their ids
        pairs[key] = SourcePair(stacks[1], stacks[2], able, copy=False)
    with np.errstate(all="ignore"):  # a value that is not finite is no candidate
        return {int(name): float(np.mean(values)) for name, values in pairs[key].score(stacks[0]).items()}


def _too_small(record: Metric, rows: Sequence[Triple], ranges: Ranges) -> str:
    sizes = ((row.id, *read_image(row.fused, ranges.fused).pixels.shape[:2]) for row in rows)
    found = ((name, h, w, why) for name, h, w in sizes if (why := too_small(record, h, w)) is not None)
    name, height, width, why = next(found)
    return f"{why.reason}; {name} has {height}×{width}"


def _slips(asked: str, record: Metric, variant: str, treatment: str, value: float) -> list[Way]:
    values = [("", value)]
    if record.name in OVER_SOURCES:
        values += [("halved (mean for sum)", value / 2), ("doubled (sum for mean)", value * 2)]
    if record.unit in ("bits", "nats"):
        other = "nats" if record.unit == "bits" else "bits"
        values.append((f"in {other}", value * (math.log(2) if other == "nats" else 1 / math.log(2))))
    if record.name == "sd":
        values.append(("variance", value**2))
    dialect = DIALECTS.get(record.dialect.partition("/")[0])
    note = dialect.metrics[record.name].note if dialect else ""
    return [
        Way(asked, record.name, record.dialect, variant, slip, treatment, found, note)
        for slip, found in values
        if math.isfinite(found)
    ]


def whose(dialect: str) -> str:
    """The title of a dialect by its id, ``cddfuse/1``.

    Example:
        >>> from fusionbench.evaluation.definitions import whose
        >>> whose("cddfuse/1"), whose("standard/1")
        ('CDDFuse evaluator (Python)', "fusionbench's own definitions")
    """
    if dialect == STANDARD:
        return "fusionbench's own definitions"
    return DIALECTS[dialect.partition("/")[0]].title
