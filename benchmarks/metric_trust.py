"""Which metrics fall when damage rises: every metric in every dialect, against the clean and the degraded sources.

    python benchmarks/metric_trust.py DATA [--pairs 3] [--side 176] [--methods laplacian-pyramid,guided-filter]
        [--jobs 1] [--work build/metric-trust] [--write]

DATA has ``tno`` and ``roadscene``. Pairs spread evenly over each set are cut to their middle ``--side`` × ``--side``
pixels, degraded by every family at severities 0, 1, 3 and 5, fused, and scored twice: against the clean pair, which is
what a user wants to see, and against the degraded pair, which is all that the field has. For every pair, family and
method there are four values in the order of rising damage; of these

* the **monotone share** is the share of the three steps by which the metric gets worse, and
* **Spearman** the correlation of severity with how bad the metric says it is: +1 where it falls with damage all the
  way, −1 where it rises.

Both are means over pairs, families and methods; their intervals are those of pairs
(:func:`fusionbench.results.bootstrap.mean_interval`). Dialects whose numbers are the same are one row. ``--write``
puts the table into docs/metric-trust.md.

What is measured of a pair, a family and a method is a file in ``--work``: a run that was stopped, or is given more
pairs or methods, measures only what is missing. Definitions that dialects share are computed once; of the clean pair,
and of a view that a family leaves alone, everything is known already; and what looks at the fused image alone is the
same against either source.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench import __version__
from fusionbench.core.io import write_bytes, write_json
from fusionbench.core.parallel import run_tasks
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
FORMAT = "fusionbench.metric-trust/1"
LEAST = 176  # pixels of a side
AGAINST = ("clean", "degraded")


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """The middle of a pair of a set: uint8 (2, h, w)."""

    name: str
    split: str
    index: int
    pixels: np.ndarray

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


def cuts(data: Path, count: int, side: int) -> Iterator[Cut]:
    """The middle of pairs that are spread evenly over each set."""
    for name in SETS:
        pairs = open_pairs(name, None, data / name)
        for index in sample_of(len(pairs), count):
            pair = pairs.pair(index)
            height, width = pair.shape[1:]
            top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
            middle = np.ascontiguousarray(pair[:, top : top + side, left : left + side])
            yield Cut(name, pairs.split or "all", index, middle)


def definitions() -> tuple[list[Metric], dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """What is to be computed, each once, by a name of its own; of (dialect, metric) that name, and what is better."""
    different: dict[str, list[Metric]] = {}
    name_of, better = {}, {}
    for dialect in (STANDARD, *(one.id for one in DIALECTS.values() if one.id != STANDARD)):
        for metric in choose(available(dialect), dialect):
            known = different.setdefault(metric.name, [])
            place = next((i for i, one in enumerate(known) if one.function == metric.function), len(known))
            if place == len(known):
                known.append(metric)
            name_of[dialect, metric.name], better[dialect, metric.name] = f"{metric.name}:{place}", metric.better
    named = [
        dataclasses.replace(one, name=f"{name}:{place}")
        for name, known in different.items()
        for place, one in enumerate(known)
    ]
    return named, name_of, better


def scored(sources: SourcePair, fused: np.ndarray) -> dict[str, float | None]:
    """Value by name of a definition, None where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = sources.score(fused[None])
    return {key: float(value[0]) if np.isfinite(value[0]) else None for key, value in found.items()}


def task_file(work: Path, cut: Cut, family: str, method: str, metrics: Sequence[Metric]) -> Path:
    """Where the values of a pair, a family and a method are, or will be."""
    versions = sorted((one.name, one.version) for one in metrics)
    about = [FORMAT, __version__, cut.name, cut.split, cut.index, cut.digest, family, method, LEVELS, versions]
    return work / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:20]}.json"


def measure(cut: Cut, lacking: Sequence[tuple[str, str]], work: Path) -> None:
    """Write the values of (family, method) of a pair, family ``""`` being the clean pair.

    A task is a pair, so that what is known of its sources serves all families and methods.
    """
    metrics = definitions()[0]
    of_sources = [one for one in metrics if one.needs != "fused"]
    alone = [one.name for one in metrics if one.needs == "fused"]
    clean = SourcePair(cut.pixels[:1], cut.pixels[1:], metrics)
    spec = ImageSpec(1, *cut.pixels.shape[1:], 2)
    models = {method: create_model(method, spec) for _, method in lacking}
    known: dict[str, dict[str, float | None]] = {}
    for family in dict.fromkeys(family for family, _ in lacking):
        methods = [method for one, method in lacking if one == family]
        values: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
        for level in LEVELS[1:] if family else LEVELS[:1]:
            degraded, sources = cut.pixels, clean
            if level:
                about: dict[str, Any] = {"dataset": cut.name, "split": cut.split, "samples": np.array([cut.index])}
                degraded = degrade(cut.pixels[None], family, level, **about).views[0]
                changed = [view for view in (0, 1) if (degraded[view] != cut.pixels[view]).any()]
                if len(changed) == 1:
                    sources = clean.with_source(changed[0], degraded[changed])
                else:
                    sources = SourcePair(degraded[:1], degraded[1:], of_sources)
                sources.metrics = of_sources
            for method in methods:
                fused = fuse_pair(models[method], degraded, cut.index)
                key = hashlib.sha256(fused.tobytes()).hexdigest()
                if key not in known:  # methods, severities and families may come to the same picture, as copies do
                    known[key] = scored(clean, fused)
                against = known[key]
                if level:
                    against = scored(sources, fused) | {name: known[key][name] for name in alone}
                values[method].append({"clean": known[key], "degraded": against})
        for method, found in values.items():
            write_json(task_file(work, cut, family, method, metrics), {"format": FORMAT, "levels": found})


def curves(
    data: Path, count: int, side: int, methods: Sequence[str], work: Path, jobs: int = 1, families: Sequence[str] = ()
) -> dict[str, Any]:
    """``[dialect, metric, against]`` -> values (pairs, methods, families, levels), and what they are of."""
    families, pairs = list(families) or list_degradations(), list(cuts(data, count, side))
    metrics, name_of, better = definitions()
    work.mkdir(parents=True, exist_ok=True)
    cells = [(family, method) for family in ("", *families) for method in methods]
    lacking = [[cell for cell in cells if not task_file(work, cut, *cell, metrics).exists()] for cut in pairs]
    tasks = [(cut, cells, work) for cut, cells in zip(pairs, lacking, strict=True) if cells]
    with progress("score", len(pairs), "pairs") as bar:
        bar.advance(len(pairs) - len(tasks))
        for _ in run_tasks(measure, tasks, jobs):
            bar.advance()
    shape = (len(pairs), len(methods), len(families), len(LEVELS))
    by_name = {(name, against): np.full(shape, np.nan) for name in name_of.values() for against in AGAINST}
    for p, cut in enumerate(pairs):
        for m, method in enumerate(methods):
            [first] = json.loads(task_file(work, cut, "", method, metrics).read_bytes())["levels"]
            for f, family in enumerate(families):
                rest = json.loads(task_file(work, cut, family, method, metrics).read_bytes())["levels"]
                for place, found in enumerate([first, *rest]):
                    for against in AGAINST:
                        for name, value in found[against].items():
                            by_name[name, against][p, m, f, place] = np.nan if value is None else value
    values = {(*key, against): by_name[name, against] for key, name in name_of.items() for against in AGAINST}
    return {"values": values, "families": families, "better": better, "pairs": len(pairs), "methods": list(methods)}


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
    by_method = [float(np.nanmean(rho[:, m])) if known[:, m].any() else None for m in range(rho.shape[1])]
    return {
        "monotone": _mean(steps, known),
        "monotone_half": _half(steps, known),
        "spearman": _mean(rho, known),
        "spearman_half": _half(rho, known),
        "methods": [None if one is None else round(one, 2) for one in by_method],
        "families": [None if one is None else round(one, 2) for one in by_family],
        "known": round(float(known.mean()), 3),
    }


def _mean(values: np.ndarray, known: np.ndarray) -> float | None:
    return round(float(np.nanmean(values)), 3) if known.any() else None


def _half(values: np.ndarray, known: np.ndarray) -> float | None:
    """Half the 95 % interval of a mean over pairs, of values (pairs, methods, families)."""
    of_pairs = np.array([np.nanmean(values[p]) for p in range(len(values)) if known[p].any()])
    limits = mean_interval(of_pairs) if len(of_pairs) > 1 else None
    return None if limits is None else round((limits[1] - limits[0]) / 2, 3)


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
    heads = ["metric", "dialect", "monotone, clean", "Spearman, clean", "monotone, degraded", "Spearman, degraded"]
    several = len(found["methods"]) > 1
    heads += ["Spearman of each method, clean"] * several + ["rewarded families, degraded", "to be trusted for"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in found["rows"]:
        clean, degraded = row["clean"], row["degraded"]
        rewarded = [
            family.removesuffix("/1")
            for family, value in zip(found["families"], degraded["families"], strict=True)
            if value is not None and value < 0
        ]
        cells = [label_of(row["metric"])]
        cells += [_with_half(one, key) for one in (clean, degraded) for key in ("monotone", "spearman")]
        if several:
            ends = [one for one in clean["methods"] if one is not None]
            cells.append(f"{_number(min(ends))} to {_number(max(ends))}" if ends else "–")
        cells += [", ".join(rewarded) or "none", row["verdict"]]
        alike.setdefault(tuple(cells), []).append(row["dialect"].partition("/")[0])
    for (name, *cells), dialects in alike.items():
        lines.append("| " + " | ".join([name, ", ".join(dialects), *cells]) + " |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _with_half(one: dict[str, Any], key: str) -> str:
    half = one[f"{key}_half"]
    return _number(one[key]) + ("" if half is None else f" ± {half:.2f}")


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
    return {"families": made["families"], "methods": made["methods"], "pairs": made["pairs"], "rows": rows}


def _standard(made: dict[str, Any], metric: str) -> dict[str, Any] | None:
    better = made["better"].get((STANDARD, metric))
    return None if better is None else follows(made["values"][STANDARD, metric, "clean"], better)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=3, help="of each set")
    parser.add_argument("--side", type=int, default=176)
    parser.add_argument("--methods", default="laplacian-pyramid", help="separated by commas")
    parser.add_argument("--families", default="", help="separated by commas; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--work", type=Path, default=ROOT / "build/metric-trust", help="folder of what is measured")
    parser.add_argument("--write", action="store_true", help="put the table into docs/metric-trust.md")
    given = parser.parse_args()
    methods, families = ([one for one in text.split(",") if one] for text in (given.methods, given.families))
    if given.side < LEAST:
        parser.error(f"--side {given.side}: MS-SSIM needs {LEAST} pixels")
    if given.write and families:
        parser.error("--write is for all families")
    made = curves(given.data, given.pairs, given.side, methods, given.work, given.jobs, families)
    found = summary(made)
    print(table(found))
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        _, _, tail = rest.partition(END)
        write_bytes(PAGE, f"{head}{BEGIN}\n\n{table(found)}\n\n{END}{tail}".encode())
        say(f"written: {PAGE.name}")


if __name__ == "__main__":
    main()
