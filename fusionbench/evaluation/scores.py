"""Values of fused images by metric, with what they were measured by: what ``score`` gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import unknown_name
from fusionbench.core.images import GreyRule
from fusionbench.core.io import digest
from fusionbench.core.notebook import html_table, need_pandas, short_text, shortened
from fusionbench.core.text import counted, one_line
from fusionbench.core.types import Metric
from fusionbench.metrics import label_of
from fusionbench.metrics.dialects import STANDARD
from fusionbench.metrics.undefined import NotAvailable
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.schema import (
    DatasetIdentity,
    Identity,
    ModelIdentity,
    ProtocolIdentity,
    Result,
    Score,
    identity_id,
    not_available,
)
from fusionbench.results.tracks import IMAGES

if TYPE_CHECKING:
    import pandas

    from fusionbench.results.result_set import StoredResult

_ARROWS = {"higher": "↑", "lower": "↓"}
SHOWN = 8  # images in a notebook's table


@dataclass(repr=False)
class Scores:
    """Values per image with what they were measured by.

    ``scores["vif"]`` is a mean, ``scores.values["vif"]`` has the values of the images; ``dict(scores)`` has all means.

    Attributes:
        ids: stems, sorted.
        values: metric -> float64 (n,).
        metrics: the records that were used, in order.
        dialect: ``standard/1`` or a dialect's id.
        summary: metric -> mean, sd and number of images, over the images that have a value; without a
            mean where the fused image is the cause (see :func:`fusionbench.results.schema.summarise`).
        warnings: what the reader should know about the files.
        missing: stem -> the folders that lack it; these were not scored.
        not_available: stem -> metric -> why it has no value there.
        ranges: side -> the range by which its values became 8 bits, where one was given; what ``auto`` found.
        inputs: the sides that were scored: ``fused``, the sources ``a``, ``b``, …, and ``target``.
        grey: how colour files became grey.
        sources_sha256: digest of the pixels of the sources and the target as they were scored; "" without one.
        looks_fused: the source that looks more like a fused image than the fused one, where there is one.
    """

    ids: list[str]
    values: dict[str, np.ndarray]
    metrics: list[Metric]
    dialect: str
    summary: dict[str, Score] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    not_available: dict[str, dict[str, NotAvailable]] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("fused", "a", "b")
    grey: GreyRule = "bt601"
    sources_sha256: str = ""
    looks_fused: str | None = None

    @property
    def dialects(self) -> dict[str, str]:
        """Metric -> whose definition was used: the dialect's, or ``library/1`` of a metric that another library has."""
        return {metric.name: metric.dialect for metric in self.metrics}

    @property
    def measured_by(self) -> str:
        """The dialect, with the metrics whose definition is another one."""
        others: dict[str, list[str]] = {}
        for name, used in self.dialects.items():
            others.setdefault(used, []).append(name)
        if len(others) == 1:
            return next(iter(others))
        return ", ".join(used if used == self.dialect else f"{used} ({', '.join(n)})" for used, n in others.items())

    def __repr__(self) -> str:
        texts = [f"{label_of(metric.name)} {short_text(self[metric.name])}" for metric in self.metrics]
        dialect = "" if self.measured_by == STANDARD else f", {self.measured_by}"
        return one_line(f"Scores({shortened(texts)}, n={len(self.ids)}{dialect})")

    def _repr_html_(self) -> str:
        """Means, and the values of the first images; every text is escaped, as names come from files."""
        names = [metric.name for metric in self.metrics]
        head = [
            f"{label_of(m.name)} {_ARROWS[m.better]}" + (f" ({m.unit})" if m.unit != "1" else "") for m in self.metrics
        ]
        rows: list[list[object]] = []
        if len(self.ids) > 1:
            rows.append(["mean", *(self.summary[name].mean for name in names)])
            rows.append(["sd", *(self.summary[name].sd for name in names)])
        rows += [[image, *(float(self.values[n][row]) for n in names)] for row, image in enumerate(self.ids[:SHOWN])]
        more = [f"and {len(self.ids) - SHOWN:,} more images"] if len(self.ids) > SHOWN else []
        why = [f"{label_of(name)}: {score.reason}" for name, score in self.summary.items() if score.reason]
        title = f"{counted(len(self.ids), 'image')}, {self.measured_by}"
        return html_table(["image", *head], rows, title=title, notes=[*more, *why, *self.warnings])

    def __getitem__(self, metric: str) -> float:
        """The mean of a metric, NaN where it has none; ``summary`` says why.

        Raises:
            UsageError: it was not measured.
        """
        names = {metric.name.lower(): metric.name for metric in self.metrics}
        names |= {label_of(name).lower(): name for name in [*names.values()]}
        if metric.lower() not in names:
            raise unknown_name("score", metric, [m.name for m in self.metrics])
        mean = self.summary[names[metric.lower()]].mean
        return float("nan") if mean is None else mean

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.metrics)

    def __contains__(self, metric: object) -> bool:
        return metric in self.keys()

    def keys(self) -> list[str]:
        """Names of the metrics, in order."""
        return [metric.name for metric in self.metrics]

    def to_pandas(self, means: bool = False) -> pandas.DataFrame:
        """A row for each image and a column for each metric; or with ``means`` a row for each metric.

        Raises:
            UsageError: pandas is not installed.
        """
        if means:
            from fusionbench.results.shown import means_frame

            return means_frame(self.summary)
        found: pandas.DataFrame = need_pandas().DataFrame({"image": self.ids, **self.values}).set_index("image")
        return found

    def plot(self, metrics: Sequence[str] | None = None, ax: Any = None) -> np.ndarray:
        """The values of all images as dots, with their mean and its 95 % interval.

        Args:
            metrics: which of them; None takes all.
            ax: axes to draw on, one for each metric.

        Returns:
            The axes, an array of one for each metric.

        Raises:
            UsageError: a metric that was not measured, or too few axes.
        """
        from fusionbench.results.plots import plot_dots

        chosen = self.keys() if metrics is None else [*metrics]
        for name in chosen:
            if name not in self:
                raise unknown_name("score", name, self.keys())
        better = {label_of(metric.name): metric.better for metric in self.metrics}
        return plot_dots({label_of(name): self.values[name] for name in chosen}, better, ax)

    def stored(self, title: str | None = None) -> StoredResult:
        """As a result under the protocol ``score/1``, which comparisons take; it can be compared where the same images
        were scored by the same definitions.

        Args:
            title: what tables call it.
        """
        images = DatasetIdentity(
            name="images",
            version="1",
            split="all",
            id=self.sources_sha256,
            n=len(self.ids),
            ids_sha256=digest(self.ids),
        )
        params: dict[str, Any] = {"dialect": self.dialect, "grey": self.grey, "inputs": [*self.inputs]}
        if others := {name: used for name, used in self.dialects.items() if used != self.dialect}:
            params["dialects"] = others
        identity = Identity(
            model=ModelIdentity(name=title or "fused", version="images"),
            dataset=images,
            protocol=ProtocolIdentity(name=IMAGES, version="1", seed=0, params=params),
            metrics={metric.name: metric.version for metric in self.metrics},
        )
        result = Result(
            id=identity_id(identity), status="scored", title=title or "fused", identity=identity, scores=self.summary
        )
        result.remember(table={"id": self.ids, **self.values})
        return result.stored()

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a mean, the one that tables show (:func:`fusionbench.results.bootstrap.mean_interval`).

        None where there is no mean, or one image only.
        """
        return interval_of(self.values[metric], self.summary[metric])

    def to_json(self) -> dict[str, Any]:
        """Plain values at full precision; what is not finite is null, with the reason in ``not_available``."""
        return {
            "dialect": self.dialect,
            "dialects": self.dialects,
            "inputs": list(self.inputs),
            "grey": self.grey,
            "versions": {metric.name: metric.version for metric in self.metrics},
            "units": {metric.name: metric.unit for metric in self.metrics},
            "images": [
                {
                    "id": name,
                    **{m.name: _finite(self.values[m.name][row]) for m in self.metrics},
                    "not_available": {key: why.reason for key, why in self.not_available.get(name, {}).items()},
                }
                for row, name in enumerate(self.ids)
            ],
            "not_available": {name: found for name, score in self.summary.items() if (found := not_available(score))},
            "mean": {name: score.mean for name, score in self.summary.items()},
            "sd": {name: score.sd for name, score in self.summary.items()},
            "ci95": {name: list(limits) if (limits := self.interval(name)) else None for name in self.summary},
            "n": len(self.ids),
            "n_by_metric": {name: score.n for name, score in self.summary.items()},
            "warnings": self.warnings,
            "missing": self.missing,
            "ranges": self.ranges,
        }


def interval_of(values: np.ndarray, score: Score) -> tuple[float, float] | None:
    """The interval of a score's mean over those of its per-image values (n,) that are finite; None where it has none.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.scores import interval_of
        >>> from fusionbench.results.schema import summarise
        >>> values = np.array([1.0, 3.0])
        >>> [round(end, 2) for end in interval_of(values, summarise(values, "higher", "1"))]
        [-10.71, 14.71]
    """
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    return None if score.mean is None or len(finite) < 2 else mean_interval(finite)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
