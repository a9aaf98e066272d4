"""The page of degraded sources: a heat map of method × family × severity, and the mean drop by family with intervals.

Numbers are what a row keeps of a metric's value on clean sources, in per cent. Beside those against the clean sources,
which are ranked, a reader may look at what the field would see, against the degraded sources; at how far the output is
from the row's own clean one; and at SF and EN, which look at no source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.board.page_model import Benchmark, BoardRow
from fusionbench.board.pages import Pages
from fusionbench.board.rendering import STATIC, compact, render
from fusionbench.board.values import script
from fusionbench.data.alignment import Alignment
from fusionbench.evaluation.robust_sheet import KEPT
from fusionbench.evaluation.robustness import family_title
from fusionbench.metrics import label_of
from fusionbench.results.robustness import (
    ALONE,
    CLEAN,
    FUSED_ALONE,
    OWN,
    PROTOCOL,
    ROBUSTNESS,
    SEEN,
    DamageCondition,
    FamilyDrop,
    conditions_in,
    family_drops,
)
from fusionbench.results.schema import Result

Columns = Mapping[str, float]  # column of the per-image table -> mean over pairs and training runs
_LOST = (5, 15, 30, 45, 60, 75)  # per cent: classes d1 to d6
_MORE = (105, 130)  # per cent: classes u1 and u2
_DECIBEL = (45, 38, 32, 27, 23, 19)  # classes d1 to d6 below


@dataclass(frozen=True)
class DamageView:
    """What the cells may show: ``name`` as the data call it, ``title`` for the reader, ``about`` in a sentence."""

    name: str
    title: str
    about: str


@dataclass(frozen=True)
class DamageRow:
    """A line: the row, its means by column, what it keeps of everything, its drops, and a sheet of pictures."""

    row: BoardRow
    means: Columns
    drops: Mapping[str, FamilyDrop]  # by family
    sheet: str = ""

    @property
    def kept(self) -> float:
        """What is kept over all metrics and conditions, in per cent."""
        return 100 * self.means.get(ROBUSTNESS, math.nan)


@dataclass(frozen=True)
class DamagePart:
    """Rows that stand together, below a heading where there is one."""

    heading: str
    lines: list[DamageRow]


@dataclass(frozen=True)
class DamagePage:
    """Everything that the page shows."""

    families: list[tuple[str, str, str]]  # name, short name, title and sentence
    conditions: list[DamageCondition]
    metrics: list[str]
    views: list[DamageView]
    parts: list[DamagePart]

    @property
    def severities(self) -> int:
        """How many severities each family has."""
        return len(self.conditions) // len(self.families)

    @property
    def lines(self) -> list[DamageRow]:
        return [line for part in self.parts for line in part.lines]

    def cells(self, line: DamageRow, view: str) -> list[tuple[str, str]]:
        """Text and class of every condition, in order."""
        return [self._cell(line, view, condition) for condition in self.conditions]

    def data(self) -> dict[str, Any]:
        """The cells of all views, for the script that changes what is shown."""
        return {
            "views": {view.name: view.about for view in self.views},
            "cells": {
                view.name: {
                    line.row.slug: ["|".join(cell) for cell in self.cells(line, view.name)] for line in self.lines
                }
                for view in self.views
            },
        }

    def _cell(self, line: DamageRow, view: str, condition: DamageCondition) -> tuple[str, str]:
        if view == ROBUSTNESS:
            shares = [_quotient(line.means, f"{m}@{condition}", f"{m}@{CLEAN}") for m in self.metrics]
            return _percent(sum(shares) / len(shares))
        value = line.means.get(f"{view}@{condition}", math.nan)
        if view == f"psnr{OWN}":
            return _graded(value, f"{value:.0f}", _DECIBEL)
        if view == f"ssim{OWN}":
            return _percent(value)
        return _percent(_quotient(line.means, f"{view}@{condition}", f"{view.removesuffix(SEEN)}@{CLEAN}"))


def damage_page(benchmark: Benchmark, sheets: Mapping[str, str]) -> DamagePage | None:
    """The page of a benchmark under ``pairs-robust``; None for any other, and where no row has its table.

    Args:
        sheets: slug of a row -> file of its sheet of pictures.
    """
    params = benchmark.first.identity.protocol.params
    conditions = conditions_in(params) if benchmark.track == PROTOCOL else []
    if not conditions:
        return None
    metrics, seen = ([one for one in params.get(key, ()) if isinstance(one, str)] for key in ("metrics", "seen"))
    parts = []
    for heading, rows in _parts(benchmark):
        found = [line for row in rows if (line := _line(row, sheets.get(row.slug, ""))) is not None]
        if found:
            parts.append(DamagePart(heading, sorted(found, key=lambda line: (-_known(line.kept), line.row.title))))
    if not parts or not metrics:
        return None
    labels = {metric: label_of(metric) for metric in (*metrics, *FUSED_ALONE)}
    families = [(name, *_about(name)) for name in dict.fromkeys(one.family for one in conditions)]
    return DamagePage(families, conditions, metrics, _views(metrics, seen, labels), parts)


def add_damage_page(
    pages: Pages, benchmark: Benchmark, images: Mapping[str, list[dict[str, str]]], **about: object
) -> str:
    """Add the page of degraded sources of a benchmark and return its name; "" where it has none.

    Args:
        images: slug of a row -> its pictures, as :func:`fusionbench.board.values.model_images` gives them.
        about: what all templates of the board take.
    """
    sheets = {row: one["file"] for row, found in images.items() for one in found if one["caption"] == KEPT}
    damage = damage_page(benchmark, sheets)
    if damage is None:
        return ""
    name = f"{benchmark.slug}-robustness.html"
    pages.files[name] = render("robustness.html", root="", benchmark=benchmark, damage=damage, **about)
    pages.files[f"data/{benchmark.slug}/robustness.js"] = script(damage.data())
    for static in ("robustness.css", "robustness.js"):
        pages.files[f"static/{static}"] = compact(STATIC / static)
    return name


def note_alignment(benchmarks: Sequence[Benchmark]) -> None:
    """Let every benchmark say how the views of its pairs are displaced, where a result of the same pairs knows."""
    told: dict[str, str] = {}
    for benchmark in benchmarks:
        for result in (result for row in benchmark.measured if row.entry for result in row.entry.results):
            found = Alignment.of_json(result.provenance.get("alignment"))
            if found is not None and found.told:
                told.setdefault(result.identity.dataset.id, found.text)
    for benchmark in benchmarks:
        benchmark.alignment = told.get(benchmark.first.identity.dataset.id, "")


def _parts(benchmark: Benchmark) -> list[tuple[str, list[BoardRow]]]:
    rows = benchmark.measured
    ranked = [row for row in rows if row.kind == "ranked" and row.family != "trivial"]
    trivial = [row for row in rows if row.kind == "ranked" and row.family == "trivial"]
    others = [row for row in rows if row.kind in ("predictions", "stretched", "cut")]
    return [
        ("", ranked),
        ("Trivial rows, which do not fuse", trivial),
        ("Ranked apart: submitted pictures, and training that was cut short", others),
    ]


def _line(row: BoardRow, sheet: str) -> DamageRow | None:
    if row.entry is None or not row.entry.values:
        return None
    tables = [_means(result) for result in row.entry.results]
    keys = set(tables[0]).intersection(*tables[1:])
    means = {key: float(np.mean([table[key] for table in tables])) for key in keys}
    return DamageRow(row, means, {one.family: one for one in family_drops(row.entry.values)}, sheet)


def _means(result: Result) -> dict[str, float]:
    """Mean of every column of a result's table over the pairs that have a value."""
    found = {}
    for key, column in result.images.items():
        if key != "id":
            known = column[np.isfinite(column)]
            found[key] = float(known.mean()) if len(known) else math.nan
    return found


def _about(family: str) -> tuple[str, str]:
    """Short name of a family, and what it is in a sentence."""
    from fusionbench.synth.degradations import DEGRADATIONS

    known = family in DEGRADATIONS.names()
    return family.removesuffix("/1"), DEGRADATIONS.get(family).about if known else family_title(family)


def _views(metrics: Sequence[str], seen: Sequence[str], labels: Mapping[str, str]) -> list[DamageView]:
    kept = "in per cent of the value on clean sources"
    views = [DamageView(ROBUSTNESS, "all metrics, against the clean sources", f"Mean over the metrics, {kept}.")]
    for metric in metrics:
        title = f"{labels[metric]}, against the clean sources"
        views.append(DamageView(metric, title, f"{labels[metric]} against the clean sources, {kept}."))
    for metric in seen:
        about = f"{labels[metric]} against the degraded sources, {kept}: what the field would see. Not ranked."
        views.append(DamageView(f"{metric}{SEEN}", f"{labels[metric]}, as the field sees it", about))
    about = "PSNR in dB between what the row makes of the degraded and of the clean pair; 59 is no difference."
    views.append(DamageView(f"psnr{OWN}", "PSNR to the row's own clean output", about))
    about = "SSIM between what the row makes of the degraded and of the clean pair, times 100."
    views.append(DamageView(f"ssim{OWN}", "SSIM to the row's own clean output", about))
    for metric in FUSED_ALONE:
        about = (
            f"{labels[metric]} of the fused image, {kept}; it looks at no source, so that noise raises it. Not ranked."
        )
        views.append(DamageView(f"{metric}{ALONE}", f"{labels[metric]} of the fused image", about))
    return views


def _quotient(means: Columns, degraded: str, clean: str) -> float:
    base = means.get(clean, math.nan)
    return means.get(degraded, math.nan) / base if base > 0 else math.nan


def _percent(share: float) -> tuple[str, str]:
    value = 100 * share
    if not math.isfinite(value):
        return "–", ""
    text = f"{min(value, 999):.0f}"
    if value >= _MORE[0]:
        return text, "u2" if value >= _MORE[1] else "u1"
    return _graded(value, text, [100 - lost for lost in _LOST])


def _graded(value: float, text: str, limits: Sequence[float]) -> tuple[str, str]:
    """The class of a value: d1 at or below the first limit, d2 below the second, and so on."""
    if not math.isfinite(value):
        return "–", ""
    level = sum(value <= limit for limit in limits)
    return text.replace("-", "−"), f"d{level}" if level else ""


def _known(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
