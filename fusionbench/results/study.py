"""Which metric agrees with people: correlations of metrics with opinions on the same fused images, with intervals.

Every correlation is positive where the metric agrees, whatever its direction. Four questions are kept apart:

* ``within_image``: of the fused images of one scene, does the metric prefer what people prefer? A correlation over the
  methods for each image, averaged over the images. It is what a comparison of methods needs.
* ``pooled``: over all fused images of all scenes at once.
* ``within_method``: of one method's fused images, on which scenes did it do well? Averaged over the methods.
* ``means``: does the order of the methods' means agree? Without an interval: of few methods it is one of few numbers.

Intervals are over images, which are drawn with all of their methods: for ``within_image`` that of a mean in tables, for
the others Student's t with the bootstrap's standard error on Fisher's scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.results.bootstrap import MIN_RANKED, Better, compare, mean_interval
from fusionbench.results.critical_values import t_factor
from fusionbench.results.opinions import Opinions
from fusionbench.results.rank_correlation import KINDS, PairedCells, logistic_fit, of_lines
from fusionbench.results.resampling import image_weights
from fusionbench.results.study_files import Agreeing, Correlation, StudiedMetric, Study
from fusionbench.results.study_values import MetricValues

RESAMPLED = 1000  # times: an end of an interval is then known to a tenth of its length
MIN_METHODS = 3  # a rank correlation of two methods is a coin


def make_study(
    values: MetricValues,
    opinions: Opinions,
    *,
    title: str = "study",
    metrics: Sequence[str] | None = None,
    opinions_better: Better = "higher",
    fit: Literal["none", "logistic"] = "none",
    resamples: int = RESAMPLED,
    seed: int = 0,
) -> Study:
    """Correlate every metric with the opinions.

    Args:
        metrics: keys (``vif``, ``vif@cddfuse``); by default all.
        opinions_better: ``"lower"`` for differential scores (DMOS).
        fit: ``"logistic"`` takes the PLCC after a monotone logistic fit of each metric to the opinions.

    Raises:
        UsageError: a metric that is not there.
        DataError: no image and method has both opinions and values.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.opinions import Opinions
        >>> from fusionbench.results.study import make_study
        >>> from fusionbench.results.study_values import MetricValues
        >>> cells = [(f"{image:02}", method) for image in range(8) for method in "ABCD"]
        >>> said = dict(zip(cells, np.random.default_rng(0).normal(size=32).tolist()))
        >>> values = MetricValues()
        >>> for method in "ABCD":  # a metric that is worse where people are pleased
        ...     column = [(image, -said[image, m]) for image, m in cells if m == method]
        ...     values.add("nabf", "lower", method, column, "made up")
        >>> study = make_study(values, Opinions(said, 32, None, "0" * 64))
        >>> round(study.metrics[0].within_image.srcc.value, 9)
        1.0
    """
    chosen = list(values.values) if metrics is None else list(metrics)
    if unknown := [key for key in chosen if key not in values.values]:
        raise UsageError(f"no values of {some(unknown)}; there are {some(sorted(values.values))}")
    both = sorted(opinions.mean.keys() & values.cells.keys())
    if not both:
        raise DataError(
            "no image and method has both opinions and values: opinions are on "
            f"{_names(opinions.mean)}, values of {_names(values.cells)}; names must be equal"
        )
    images, methods = sorted({cell[0] for cell in both}), sorted({cell[1] for cell in both})
    sign = 1.0 if opinions_better == "higher" else -1.0
    said = {cell: sign * opinions.mean[cell] for cell in both}
    found = [_Studied(values, key, said, images, methods, fit) for key in dict.fromkeys(chosen)]
    weights = np.concatenate(list(image_weights(len(images), resamples, seed)))
    rows = [one.studied(weights) for one in found]
    _mark_tied(rows, [one.of_images for one in found], resamples, seed)
    rows.sort(key=_order)
    return Study(
        title=title,
        opinions=opinions.count,
        subjects=opinions.subjects,
        opinions_sha256=opinions.sha256,
        opinions_better=opinions_better,
        images=len(images),
        methods=methods,
        fit=fit,
        resamples=resamples,
        seed=seed,
        metrics=rows,
        warnings=[*opinions.remarks, *_left_out(opinions, values, both)],
        zscore=opinions.zscore,
        screened=None if opinions.screened is None else list(opinions.screened),
    )


def _names(cells: object) -> str:
    pairs = sorted(cells)  # type: ignore[call-overload]
    return f"{some(sorted({m for _, m in pairs}), shown=3)} × {some(sorted({i for i, _ in pairs}), shown=3)}"


def _left_out(opinions: Opinions, values: MetricValues, both: Sequence[tuple[str, str]]) -> list[str]:
    """A line for opinions without values, and for values without opinions."""
    lines = []
    for what, cells in (
        ("opinions without values", opinions.mean.keys() - values.cells.keys()),
        ("fused images without opinions", values.cells.keys() - opinions.mean.keys()),
    ):
        if cells:
            shown = some([f"{method} on {image}" for image, method in sorted(cells)])
            lines.append(f"{len(cells)} {what} are left out: {shown}")
    methods = {method for _, method in both}
    if len(methods) < MIN_METHODS:
        lines.append(f"{len(methods)} methods: a correlation within an image takes {MIN_METHODS}")
    return lines


class _Studied:
    """One metric's cells, aligned so that more is better on both sides."""

    def __init__(
        self,
        values: MetricValues,
        key: str,
        said: dict[tuple[str, str], float],
        images: Sequence[str],
        methods: Sequence[str],
        fit: str,
    ) -> None:
        self.key, self.better, self.methods = key, values.better[key], methods
        column = values.values[key]
        cells = [cell for cell in said if cell in column]
        at_image = {name: place for place, name in enumerate(images)}
        at_method = {name: place for place, name in enumerate(methods)}
        sign = 1.0 if self.better == "higher" else -1.0
        self.x = np.array([sign * column[cell] for cell in cells])
        self.y = np.array([said[cell] for cell in cells])
        self.image = np.array([at_image[cell[0]] for cell in cells], int)
        self.method = np.array([at_method[cell[1]] for cell in cells], int)
        self.count = len(images)
        fitted = logistic_fit(self.x, self.y) if fit == "logistic" else None
        self.fitted = self.x if fitted is None else fitted
        self.of_images = self._of_images()

    def studied(self, weights: np.ndarray) -> StudiedMetric:
        """All levels; ``weights`` (B, images) are the resamples."""
        of_methods, within_method = self._within_method(weights)
        return StudiedMetric(
            key=self.key,
            better=self.better,
            cells=len(self.x),
            images=len(np.unique(self.image)),
            within_image=self._within_image(),
            pooled=self._pooled(weights),
            within_method=within_method,
            means=self._means(),
            methods=of_methods,
        )

    def _of_images(self) -> dict[str, np.ndarray]:
        """Correlations over the methods of each image, (images,); NaN where there are too few, or opinions are equal.

        A metric that is constant where opinions differ orders nothing: 0.
        """
        found = {kind: np.full(self.count, np.nan) for kind in KINDS}
        for place in np.unique(self.image):
            here = self.image == place
            if here.sum() >= MIN_METHODS and np.ptp(self.y[here]) > 0:
                for kind, value in self._plain(here).items():
                    found[kind][place] = value
        return found

    def _plain(self, here: np.ndarray) -> dict[str, float]:
        found = of_lines(self.x[None, here], self.y[None, here])
        found["plcc"] = of_lines(self.fitted[None, here], self.y[None, here])["plcc"]
        return {kind: float(np.nan_to_num(value[0])) for kind, value in found.items()}

    def _within_image(self) -> Agreeing:
        made, groups = {}, 0
        for kind, column in self.of_images.items():
            known = column[np.isfinite(column)]
            groups = len(known)
            limits = mean_interval(known) if groups >= MIN_RANKED else None
            made[kind] = _clipped(math.fsum(known) / groups if groups else None, limits)
        reason = "" if groups else f"no image has {MIN_METHODS} methods with different opinions"
        return _agreeing(made, groups, len(self.x), reason)

    def _pooled(self, weights: np.ndarray) -> Agreeing:
        return self._of_cells(np.ones(len(self.x), bool), weights)[0]

    def _of_cells(self, here: np.ndarray, weights: np.ndarray) -> tuple[Agreeing, dict[str, np.ndarray]]:
        """Correlations over some cells, with the resamples' behind the value itself: (B + 1,) each."""
        count = int(here.sum())
        nothing = {kind: np.full(len(weights) + 1, np.nan) for kind in KINDS}
        if count < MIN_METHODS or np.ptp(self.x[here]) == 0 or np.ptp(self.y[here]) == 0:
            reason = "too few images" if count < MIN_METHODS else "the metric or the opinions are constant"
            return _agreeing(None, 0, count, reason), nothing
        images, image = np.unique(self.image[here], return_inverse=True)
        cells = PairedCells(self.x[here], self.y[here], image, len(images))
        held = weights[:, images]
        held = np.concatenate([np.ones((1, len(images))), held[held.sum(axis=1) > 0]])
        found = cells.correlations(held, self.fitted[here])
        made = {kind: _on_fishers_scale(column, len(images)) for kind, column in found.items()}
        return _agreeing(made, 1, count), found

    def _within_method(self, weights: np.ndarray) -> tuple[dict[str, float | None], Agreeing]:
        of_methods: dict[str, float | None] = {}
        columns: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
        for place, name in enumerate(self.methods):
            level, found = self._of_cells(self.method == place, weights)
            of_methods[name] = level.srcc.value
            if level.groups:
                for kind in KINDS:
                    columns[kind].append(found[kind])
        groups = len(columns["srcc"])
        if not groups:
            reason = f"no method has {MIN_METHODS} images with different values and opinions"
            return of_methods, _agreeing(None, 0, len(self.x), reason)
        made = {}
        for kind, parts in columns.items():
            length = min(map(len, parts))  # resamples in which a method has no image are left out
            made[kind] = _on_fishers_scale(np.mean([part[:length] for part in parts], axis=0), self.count)
        return of_methods, _agreeing(made, groups, len(self.x))

    def _means(self) -> Agreeing:
        table = np.full((2, self.count, len(self.methods)), np.nan)
        table[0, self.image, self.method], table[1, self.image, self.method] = self.fitted, self.y
        plain = np.full((self.count, len(self.methods)), np.nan)
        plain[self.image, self.method] = self.x
        whole = np.isfinite(table[1]).all(axis=1) & np.isfinite(plain).all(axis=1)
        count = int(whole.sum())
        if count == 0 or len(self.methods) < MIN_METHODS:
            reason = (
                f"fewer than {MIN_METHODS} methods" if count else "no image has values and opinions of every method"
            )
            return _agreeing(None, 0, len(self.x), reason)
        x, fitted, y = (part[whole].mean(axis=0, keepdims=True) for part in (plain, *table))
        found = of_lines(x, y)
        found["plcc"] = of_lines(fitted, y)["plcc"]
        made = {k: Correlation(value=float(v[0]) if np.isfinite(v[0]) else None) for k, v in found.items()}
        reason = "" if made["srcc"].value is not None else "the methods' means are equal"
        return _agreeing(made, 1, count * len(self.methods), reason)


def _agreeing(made: dict[str, Correlation] | None, groups: int, cells: int, reason: str = "") -> Agreeing:
    srcc, krcc, plcc = ((made or {}).get(kind, Correlation()) for kind in KINDS)
    return Agreeing(srcc=srcc, krcc=krcc, plcc=plcc, groups=groups, cells=cells, reason=reason)


def _clipped(value: float | None, limits: tuple[float, float] | None) -> Correlation:
    if value is None or limits is None:
        return Correlation(value=value)
    return Correlation(value=value, low=max(-1.0, min(limits[0], value)), high=min(1.0, max(limits[1], value)))


def _on_fishers_scale(column: np.ndarray, images: int) -> Correlation:
    """A correlation and its resamples' (behind it) as an interval: Student's t around atanh of the value."""
    value = float(column[0])
    if not math.isfinite(value):
        return Correlation()
    known = column[1:][np.isfinite(column[1:])]
    if images < MIN_RANKED or len(known) < 2:
        return Correlation(value=value)
    z = np.arctanh(np.clip(np.concatenate([[value], known]), -1 + 1e-12, 1 - 1e-12))
    # resamples of n images spread as n - 1 do
    half = t_factor(images - 1) * float(z[1:].std()) * math.sqrt(images / (images - 1))
    return _clipped(value, (math.tanh(z[0] - half), math.tanh(z[0] + half)))


def _mark_tied(
    rows: Sequence[StudiedMetric], columns: Sequence[dict[str, np.ndarray]], resamples: int, seed: int
) -> None:
    """Say which metrics cannot be told from the one that agrees best within images, on images that all can order."""
    with_value = [place for place, row in enumerate(rows) if row.within_image.srcc.value is not None]
    if len(with_value) < 2:
        return
    table = np.stack([columns[place]["srcc"] for place in with_value])
    common = np.isfinite(table).all(axis=0)
    if int(common.sum()) < MIN_RANKED:
        return
    ranked = compare([line[common] for line in table], "higher", resamples=resamples, seed=seed)
    for place, row in zip(with_value, ranked, strict=True):
        rows[place].tied = row.tied


def _order(row: StudiedMetric) -> tuple[float, float, str]:
    """Best agreement within images first, then pooled."""
    values = (row.within_image.srcc.value, row.pooled.srcc.value)
    first, second = (-math.inf if value is None else value for value in values)
    return -first, -second, row.key
