"""Which metrics fall when damage rises: every metric in every dialect, against the clean and the degraded sources.

    python benchmarks/metric_trust.py DATA [--pairs 3] [--side 176] [--methods laplacian-pyramid] [--write]

DATA has ``tno`` and ``roadscene``. Pairs spread evenly over each set are cut to their middle ``--side`` × ``--side``
pixels, degraded by every family at severities 0, 1, 3 and 5, fused, and scored twice: against the clean pair, which is
what a user wants to see, and against the degraded pair, which is all that the field has. For every pair, family and
method there are four values in the order of rising damage; of these

* the **monotone share** is the share of the three steps by which the metric gets worse, and
* **Spearman** the correlation of severity with how bad the metric says it is: +1 where it falls with damage all the
  way, −1 where it rises.

Both are means over pairs, families and methods; the interval of Spearman's is that of pairs
(:func:`fusionbench.results.bootstrap.mean_interval`). Dialects whose numbers are the same are one row. ``--write``
puts the table into docs/metric-trust.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.io import write_bytes
from fusionbench.core.progress import progress, say
from fusionbench.core.types import ImageSpec, Metric
from fusionbench.data.alignment import sample_of
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import fuse_pair
from fusionbench.metrics import label_of
from fusionbench.metrics.dialects import DIALECTS, STANDARD
from fusionbench.metrics.engine import SourcePair, available, choose
from fusionbench.models import create_model
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.rank_correlation import of_lines
from fusionbench.synth.degradations import degrade, list_degradations

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/metric-trust.md"
BEGIN, END = "<!-- measured: python benchmarks/metric_trust.py DATA --write -->", "<!-- end of what was measured -->"
SETS = ("tno", "roadscene")
LEVELS = (0, 1, 3, 5)
SURE, NOT = 0.8, 0.4  # of Spearman's correlation: trusted from the first, not below the second


def cuts(data: Path, count: int, side: int) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Set, split, index and the middle of pairs that are spread evenly over each set."""
    for name in SETS:
        pairs = open_pairs(name, None, data / name)
        for index in sample_of(len(pairs), count):
            pair = pairs.pair(index)
            height, width = pair.shape[1:]
            top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
            yield name, pairs.split, index, np.ascontiguousarray(pair[:, top : top + side, left : left + side])


def metrics_of(dialect: str) -> list[Metric]:
    """The metrics of fused images that a dialect has."""
    return choose(available(dialect), dialect)


def measured(pair: np.ndarray, fused: np.ndarray, metrics: list[Metric]) -> dict[str, float]:
    """Value by metric, NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = SourcePair(pair[:1], pair[1:], metrics, persistent=False, copy=False).score(fused[None])
    return {key: float(value[0]) for key, value in found.items()}


def curves(data: Path, count: int, side: int, methods: list[str]) -> dict[str, Any]:
    """``[dialect][metric][against]`` -> values (pairs, methods, families, levels), and what they are of."""
    families, work = list_degradations(), list(cuts(data, count, side))
    dialects = [STANDARD, *(one.id for one in DIALECTS.values() if one.id != STANDARD)]
    records = {dialect: metrics_of(dialect) for dialect in dialects}
    models = [create_model(name, ImageSpec(1, side, side, 2)) for name in methods]
    shape = (len(work), len(models), len(families), len(LEVELS))
    values = {
        (dialect, metric.name, against): np.full(shape, np.nan)
        for dialect in dialects
        for metric in records[dialect]
        for against in ("clean", "degraded")
    }
    with progress("score", len(work) * len(families), "families") as bar:
        for p, (name, split, index, pair) in enumerate(work):
            for f, family in enumerate(families):
                for place, level in enumerate(LEVELS):
                    if f and not level:
                        for found in values.values():
                            found[p, :, f, place] = found[p, :, 0, place]
                        continue
                    about: dict[str, Any] = {"dataset": name, "split": split, "samples": np.array([index])}
                    degraded = degrade(pair[None], family, level, **about).views[0]
                    for m, model in enumerate(models):
                        fused = fuse_pair(model, degraded, index)
                        for against, sources in (("clean", pair), ("degraded", degraded)):
                            for dialect in dialects:
                                for metric, value in measured(sources, fused, records[dialect]).items():
                                    values[dialect, metric, against][p, m, f, place] = value
                bar.advance()
    better = {(dialect, metric.name): metric.better for dialect in dialects for metric in records[dialect]}
    return {"values": values, "families": families, "better": better, "pairs": len(work)}


def follows(values: np.ndarray, better: str) -> dict[str, Any]:
    """What values (pairs, methods, families, levels) say about rising damage."""
    bad = values if better == "lower" else -values
    known = np.isfinite(bad).all(axis=-1)
    steps = np.where(known, (np.diff(bad, axis=-1) > 0).mean(axis=-1), np.nan)
    rho = np.full(known.shape, np.nan)
    if known.any():
        lines = bad[known]
        found = of_lines(np.broadcast_to(np.array(LEVELS, float), lines.shape), lines)["srcc"]
        rho[known] = np.where(np.ptp(lines, axis=1) == 0, 0.0, found)  # one that does not move at all follows nothing
    by_family = [float(np.nanmean(rho[:, :, f])) if known[:, :, f].any() else None for f in range(rho.shape[2])]
    per_pair = np.array([np.nanmean(rho[p]) for p in range(len(rho)) if known[p].any()])
    limits = mean_interval(per_pair) if len(per_pair) > 1 else None
    return {
        "monotone": None if not known.any() else round(float(np.nanmean(steps)), 3),
        "spearman": None if not known.any() else round(float(np.nanmean(rho)), 3),
        "limits": None if limits is None else [round(end, 3) for end in limits],
        "families": [None if one is None else round(one, 2) for one in by_family],
        "known": round(float(known.mean()), 3),
    }


def verdict(clean: dict[str, Any], degraded: dict[str, Any]) -> str:
    """What a metric may be trusted for, in words."""
    if clean["spearman"] is None:
        return "has no value on most of these"
    if clean["spearman"] >= SURE:
        return (
            "damage, with either source" if (degraded["spearman"] or 0) >= SURE else "damage, with clean sources only"
        )
    if clean["spearman"] < NOT:
        return "not damage"
    return "some damage, with clean sources"


def table(found: dict[str, Any]) -> str:
    """The rows as Markdown, those that follow damage best against the clean sources first."""
    lines = [
        "| metric | dialect | monotone, clean | Spearman, clean | monotone, degraded | Spearman, degraded | rewarded "
        "families, degraded | to be trusted for |",
        "|---|---|---|---|---|---|---|---|",
    ]
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in found["rows"]:
        clean, degraded = row["clean"], row["degraded"]
        rewarded = [
            family.removesuffix("/1")
            for family, value in zip(found["families"], degraded["families"], strict=True)
            if value is not None and value < 0
        ]
        cells = [label_of(row["metric"]), _number(clean["monotone"]), _with_limits(clean)]
        cells += [_number(degraded["monotone"]), _with_limits(degraded), ", ".join(rewarded) or "none", row["verdict"]]
        alike.setdefault(tuple(cells), []).append(row["dialect"].partition("/")[0])
    for (name, *cells), dialects in alike.items():
        lines.append("| " + " | ".join([name, ", ".join(dialects), *cells]) + " |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _with_limits(one: dict[str, Any]) -> str:
    if one["spearman"] is None or one["limits"] is None:
        return _number(one["spearman"])
    half = (one["limits"][1] - one["limits"][0]) / 2
    return f"{_number(one['spearman'])} ± {half:.2f}"


def summary(made: dict[str, Any]) -> dict[str, Any]:
    """The numbers of every metric and dialect, without the values that they are from."""
    rows = []
    for (dialect, metric), better in made["better"].items():
        clean, degraded = (
            follows(made["values"][dialect, metric, against], better) for against in ("clean", "degraded")
        )
        if degraded == clean and (dialect, metric) != (STANDARD, metric) and clean == _standard(made, metric):
            continue  # a metric of the fused image alone that the dialect computes as standard/1 does
        rows.append({"metric": metric, "dialect": dialect, "clean": clean, "degraded": degraded})
        rows[-1]["verdict"] = verdict(clean, degraded)
    rows.sort(key=lambda row: -(row["clean"]["spearman"] if row["clean"]["spearman"] is not None else -2))
    return {"families": made["families"], "pairs": made["pairs"], "rows": rows}


def _standard(made: dict[str, Any], metric: str) -> dict[str, Any] | None:
    better = made["better"].get((STANDARD, metric))
    return None if better is None else follows(made["values"][STANDARD, metric, "clean"], better)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=3, help="of each set")
    parser.add_argument("--side", type=int, default=176)
    parser.add_argument("--methods", default="laplacian-pyramid")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    methods = given.methods.split(",")
    found = summary(curves(given.data, given.pairs, given.side, methods))
    print(table(found))
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        _, _, tail = rest.partition(END)
        write_bytes(PAGE, f"{head}{BEGIN}\n\n{table(found)}\n\n{END}{tail}".encode())
        say(f"written: {PAGE.name}")


if __name__ == "__main__":
    main()
