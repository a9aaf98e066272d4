"""Write the tables of the documents that show shipped results, so that no number in them is typed.

    python tools/result_tables.py [--check] [--results benchmarks/results] [docs/pair-measurements.md ...]

A page asks for a table by a comment, and what stands between it and the end mark is replaced::

    <!-- results: pairs tno rules as-made -->
    | row | full | EN | ...
    <!-- end of results -->

* ``pairs FOLDER rules|imported|published|trained|all as-made|stretched [EN,SD,...]``: means of ``standard/1``.
  ``as-made`` has the images as methods make them, with the number that reach from black to white in *full*;
  ``stretched`` the rows that boards rank as stretched, by their own range or stretched before scoring.
* ``leaders FOLDER...``: which row has the best mean of each metric among those that learn nothing, as made; the
  second line of a set leaves out rows that copy a source.
* ``agreement FOLDER``: Spearman's rank correlation of every two metrics over the rows as made that have both, better
  being higher: 1 where they order methods alike, −1 the other way round.
* ``masked FOLDER [bits]``: NLL in nats (or bits a value) and MSE_min (1e-2) for each number of views, means over the
  runs of a model and the standard deviation of a run's average.
* ``stacks FOLDER psnr_target,...``: means of the metrics named, the row with the best first one on top.
* ``robust FOLDER``: under damage: the number and its parts by metric, Qabf on clean pairs and over all conditions
  against clean and against degraded sources; ``families FOLDER`` the parts by family.
* ``probe FOLDER``: the downstream probe: average precision of each class over scenes with 95 % intervals, grey and in
  colour; references first, the others by the first class.
* ``losses FOLDER CLASS``: the average precision of a class less that of infrared and less that of both sources as
  channels, paired scene by scene with 95 % intervals, grey and in colour.
* ``readers FOLDER OTHER``: average precision of each class by the readers of FOLDER and of each of them, less that of
  infrared for the first class, and by the reader of OTHER.
* ``order FOLDER CLASS OTHER``: Spearman's rank correlation of a class's average precision in FOLDER with each metric in
  OTHER, over the rows as made that are in both and copy no source.
* ``changes FOLDER ROW``: the same as differences to the row of that title, with 95 % intervals over images.

``--check`` writes nothing and exits with 1 where a table on a page is not what the results give.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from fusionbench.metrics import get_metric
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.full_range import FullRange
from fusionbench.results.schema import Result, load, load_folder, load_per_image

ROOT = Path(__file__).parents[1]
PAIRS = ("EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "CC")
DIGITS = {"SD": 1, "SF": 1}
TABLE = re.compile(r"(<!-- results: ([^\n]+?) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)
GROUPS: dict[str, Callable[[Result], bool]] = {
    "rules": lambda result: result.family in ("trivial", "classical"),
    "imported": lambda result: data_of_training(result) == "authors",
    "published": lambda result: result.identity.model.version == "pictures",
    "trained": lambda result: data_of_training(result) == "ours",
    "all": lambda result: True,
}


def made_full(result: Result) -> bool:
    """Whether the protocol stretched the row's images before they were scored."""
    return bool(result.identity.protocol.params.get("stretch"))


def stretched(result: Result) -> bool:
    """Whether boards rank the row among the stretched ones: stretched here, or by the range of its images."""
    found = result.full_range
    return made_full(result) or (isinstance(found, FullRange) and found.stretched)


def data_of_training(result: Result) -> str | None:
    """``"ours"`` or ``"authors"``: where the row's weights were trained; None where there are none."""
    training = result.identity.training
    return None if training is None else "authors" if training.dataset_id is None else "ours"


def lines(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    whole = ([cell.replace("|", "\\|") for cell in cells] for cells in (head, ["---"] * len(head), *rows))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in whole) + "\n"


def number(result: Result, name: str, digits: int) -> str:
    score = result.scores.get(name)
    return "–" if score is None or score.mean is None else f"{score.mean:.{digits}f}"


def pairs(results: Path, folder: str, group: str, form: str, columns: str = ",".join(PAIRS)) -> str:
    names, rows = columns.split(","), []
    found = [result for result in load_folder(results / folder) if GROUPS[group](result)]
    as_made = {result.title for result in found if not made_full(result) and stretched(result)}
    for result in found:
        if (form == "as-made" and made_full(result)) or (form == "stretched" and not stretched(result)):
            continue
        if form == "stretched" and made_full(result) and result.title in as_made:
            continue  # the row reaches the full range by itself: once is enough
        full = f"{result.full_range.full}" if isinstance(result.full_range, FullRange) else "?"
        second = full if form == "as-made" else "here" if made_full(result) else "as made"
        kind = next(place for place, has in enumerate(GROUPS.values()) if has(result))
        cells = [number(result, name.lower(), DIGITS.get(name, 2)) for name in names]
        rows.append(((kind, result.family != "trivial", result.title.lower()), [result.title, second, *cells]))
    rows.sort()
    return lines(["", "full" if form == "as-made" else "stretched", *names], (cells for _, cells in rows))


def stacks(results: Path, folder: str, columns: str) -> str:
    names, found = columns.split(","), load_folder(results / folder)
    first = {result.id: result.scores.get(names[0]) for result in found}
    found.sort(key=lambda result: -((one.mean if (one := first[result.id]) else None) or 0.0))
    heads = [get_metric(name).label or name for name in names]
    digits = {name: 1 if get_metric(name).unit in ("dB", "grey levels", "grey levels/pixel") else 3 for name in names}
    rows = ([result.title, *(number(result, name, digits[name]) for name in names)] for result in found)
    return lines(["", *heads], rows)


def by_robustness(results: Path, folder: str) -> list[Result]:
    """Results of degraded pairs, the most robust first."""
    return sorted(load_folder(results / folder), key=lambda result: -mean_of(result, "robustness"))


def robust(results: Path, folder: str) -> str:
    keys = (
        "robustness",
        *(f"robustness@{name}" for name in ("qabf", "vif", "ssim")),
        "qabf@clean",
        "qabf",
        "qabf_seen@all",
    )
    heads = (
        "kept under damage",
        "Qabf kept",
        "VIF kept",
        "SSIM kept",
        "Qabf, clean pair",
        "under damage",
        "as the field sees it",
    )
    rows = ([result.title, *(number(result, key, 3) for key in keys)] for result in by_robustness(results, folder))
    return lines(["", *heads], rows)


def families(results: Path, folder: str) -> str:
    found = by_robustness(results, folder)
    names = [key.partition("@")[2] for key in found[0].scores if key.startswith("robustness@") and "/" in key]
    rows = (
        [result.title, *(f"{100 * mean_of(result, f'robustness@{name}'):.0f}" for name in names)] for result in found
    )
    return lines(["", *(name.partition("/")[0] for name in names)], rows)


def leaders(results: Path, *folders: str) -> str:
    rows = []
    for folder in folders:
        found = [r for r in load_folder(results / folder) if GROUPS["rules"](r)]
        found = [r for r in found if not made_full(r) and r.title != "stretched average"]
        copies = ("copy-a", "copy-b", "better-copy")
        for first, chosen in ((True, found), (False, [r for r in found if r.identity.model.name not in copies])):
            cells = []
            for name in PAIRS:
                scored = [r for r in chosen if name.lower() in r.scores and r.scores[name.lower()].mean is not None]
                best = max(scored, key=lambda r: r.scores[name.lower()].mean or 0.0)
                # the name and what tells presets apart: titles would not fit
                short = " ".join(filter(None, [best.identity.model.name, best.title.partition(", ")[2]]))
                cells.append(f"{short} {number(best, name.lower(), DIGITS.get(name, 2))}")
            rows.append([folder if first else "without copies", str(found[0].identity.dataset.n), *cells])
    return lines(["", "pairs", *PAIRS], rows)


def agreement(results: Path, folder: str) -> str:
    from scipy.stats import spearmanr

    found = [r for r in load_folder(results / folder) if not made_full(r)]
    means = {name: np.array([mean_of(result, name.lower()) for result in found]) for name in PAIRS}
    rows = []
    for place, name in enumerate(PAIRS[1:], 1):
        both = [np.isfinite(means[name]) & np.isfinite(means[other]) for other in PAIRS[:place]]
        pairs_of = zip(PAIRS[:place], both, strict=True)
        values = [spearmanr(means[name][have], means[other][have]).statistic for other, have in pairs_of]
        cells = [f"{value:z.2f}".replace("-", "−") for value in values]
        rows.append([name, *cells, *[""] * (len(PAIRS) - 1 - place)])
    return lines([f"{len(found)} rows", *PAIRS[:-1]], rows)


def mean_of(result: Result, name: str) -> float:
    """The mean of a score, NaN where there is none."""
    score = result.scores.get(name)
    return float("nan") if score is None or score.mean is None else score.mean


def by_model(results: Path, folder: str) -> dict[str, list[Result]]:
    """Runs of each title, in the order of the average NLL, worst first; before them what has none."""
    found: dict[str, list[Result]] = {}
    for result in load_folder(results / folder):
        found.setdefault(result.title, []).append(result)

    def average(title: str) -> float:
        means = scored(found[title], "nll@mean")
        return statistics.mean(means) if means else float("inf")

    return {title: found[title] for title in sorted(found, key=lambda title: (-average(title), title))}


def scored(runs: Iterable[Result], name: str) -> list[float]:
    """The means of a score, of the runs that have it."""
    means = [run.scores[name].mean for run in runs if name in run.scores]
    return [mean for mean in means if mean is not None]


def masked(results: Path, folder: str, unit: str = "nats") -> str:
    rows = []
    likelihood = {"nats": ("nll", 1.0, 1), "bits": ("nll_bpd", 1.0, 3)}[unit]
    for title, runs in by_model(results, folder).items():
        cells = [title, f"{runs[0].cost.get('parameters', 0):,}", str(len(runs))]
        for name, scale, digits in (likelihood, ("mse_min", 100.0, 2)):
            means = {at: [mean * scale for mean in scored(runs, f"{name}@{at}")] for at in ("0", "1", "2", "3", "mean")}
            if not means["mean"]:
                cells += ["–", "–"]
                continue
            cells.append(" / ".join(f"{statistics.mean(means[at]):.{digits}f}" for at in "0123"))
            spread = f" ± {statistics.stdev(means['mean']):.{digits}f}" if len(runs) > 1 else ""
            cells.append(f"{statistics.mean(means['mean']):.{digits}f}{spread}")
        rows.append(cells)
    named = {"nats": "nats", "bits": "bits a value"}[unit]
    heads = (f"NLL, {named}, N = 0 / 1 / 2 / 3", "average", "MSE_min (1e-2), N = 0 / 1 / 2 / 3", "average")
    return lines(["", "parameters", "runs", *heads], rows)


def changes(results: Path, folder: str, *words: str) -> str:
    """Differences of one run each to the row of the title ``words``, paired image by image."""
    reference = " ".join(words)
    tables = {load(path).title: load_per_image(path) for path in sorted((results / folder).glob("**/result.json"))}
    first, rows = tables.pop(reference), []
    for title in sorted(name for name, table in tables.items() if "nll@mean" in table):
        table, cells = tables[title], [title]
        if not np.array_equal(table["id"], first["id"]):
            raise SystemExit(f"{folder}: {title!r} and {reference!r} are not about the same images")
        for name, scale, digits in (("nll", 1.0, 1), ("mse_min", 100.0, 2)):
            differences = {
                at: (table[f"{name}@{at}"] - first[f"{name}@{at}"]) * scale for at in ("0", "1", "2", "3", "mean")
            }
            cells.append(" / ".join(f"{differences[at].mean():+.{digits}f}" for at in "0123").replace("-", "−"))
            average = differences["mean"]
            half = 1.96 * average.std(ddof=1) / len(average) ** 0.5
            cells.append(f"{average.mean():+.{digits}f} ± {half:.{digits}f}".replace("-", "−"))
        rows.append(cells)
    heads = ("NLL, nats, N = 0 / 1 / 2 / 3", "average", "MSE_min (1e-2), N = 0 / 1 / 2 / 3", "average")
    return lines(["", *heads], rows)


REFERENCES = ("copy-a", "copy-b", "stack")  # infrared, visible, both


def probed(results: Path, folder: str) -> list[tuple[Result, dict[str, np.ndarray]]]:
    """Results of the probe with their tables, references first, the others by the first class, best first."""
    found = [(load(path), load_per_image(path)) for path in sorted((results / folder).glob("**/result.json"))]
    found = [one for one in found if one[0].identity.protocol.name == "probe"]

    def place(one: tuple[Result, dict[str, np.ndarray]]) -> tuple[int, float]:
        name = one[0].identity.model.name
        first = one[0].identity.protocol.params["classes"][0]
        return REFERENCES.index(name) if name in REFERENCES else len(REFERENCES), -mean_of(one[0], f"ap@{first}")

    return sorted(found, key=place)


def with_interval(values: np.ndarray, sign: str = "") -> str:
    """Mean and half of its 95 % interval, over the values that are there; empty where there are none."""
    values = values[np.isfinite(values)]
    found = mean_interval(values) if len(values) else None
    if found is None:
        return "–"
    return f"{values.mean():{sign}.3f} ± {(found[1] - found[0]) / 2:.3f}".replace("-", "−")


def probe(results: Path, folder: str) -> str:
    found = probed(results, folder)
    classes = found[0][0].identity.protocol.params["classes"]
    keys = [f"{metric}@{name}" for metric in ("ap", "ap_colour") for name in classes]
    heads = [*(f"AP {name}" for name in classes), *(f"in colour: {name}" for name in classes)]
    return lines(["", *heads], ([row.title, *(with_interval(table[key]) for key in keys)] for row, table in found))


def losses(results: Path, folder: str, name: str) -> str:
    found = probed(results, folder)
    of_model = {row.identity.model.name: table for row, table in found}
    rows = []
    for row, table in found:
        cells = []
        for metric in ("ap", "ap_colour"):
            for other in ("copy-a", "stack"):
                difference = table[f"{metric}@{name}"] - of_model[other][f"ap@{name}"]
                cells.append(
                    "" if metric == "ap" and row.identity.model.name == other else with_interval(difference, "+")
                )
        rows.append([row.title, *cells])
    heads = ("grey − infrared", "grey − both sources", "in colour − infrared", "in colour − both sources")
    return lines([name, *heads], rows)


def key(result: Result) -> str:
    model = result.identity.model
    return f"{model.name} {sorted(model.params.items())} {model.weights_sha256}"


def readers(results: Path, folder: str, other: str) -> str:
    found, elsewhere = probed(results, folder), {key(row): table for row, table in probed(results, other)}
    infrared = next(table for row, table in found if row.identity.model.name == "copy-a")
    classes = found[0][0].identity.protocol.params["classes"]
    rows = []
    for row, table in found:
        cells = [row.title]
        for place, name in enumerate(f"ap@{one}" for one in classes):
            each = row.scores[name].extra.get("seeds", [])
            cells += [with_interval(table[name]), ", ".join(f"{value:.3f}" for value in each)]
            if place == 0:
                same = row.identity.model.name == "copy-a"
                cells.append("" if same else with_interval(table[name] - infrared[name], "+"))
            cells.append(with_interval(elsewhere[key(row)][name]))
        rows.append(cells)
    heads = []
    for place, name in enumerate(classes):
        heads += [f"AP {name}", "each U-Net", *(["less infrared"] if place == 0 else []), "closed form"]
    return lines(["", *heads], rows)


def order(results: Path, folder: str, name: str, other: str) -> str:
    from scipy.stats import spearmanr

    known = {key(row): mean_of(row, f"ap@{name}") for row, _ in probed(results, folder)}
    copies = ("copy-a", "copy-b", "better-copy")
    both = [row for row in load_folder(results / other) if not made_full(row) and key(row) in known]
    both = [row for row in both if row.identity.model.name not in copies]
    cells = []
    for metric in PAIRS:
        pairs_of = [(known[key(row)], mean_of(row, metric.lower())) for row in both]
        have = np.array([pair for pair in pairs_of if np.isfinite(pair).all()])
        found = spearmanr(have[:, 0], have[:, 1]).statistic if len(have) > 2 else float("nan")
        cells.append(f"{found:+.2f}".replace("-", "−") if np.isfinite(found) else "–")
    return lines([f"{len(both)} rows", *PAIRS], [[f"AP {name}", *cells]])


MAKERS: dict[str, Callable[..., str]] = {
    "pairs": pairs,
    "leaders": leaders,
    "agreement": agreement,
    "masked": masked,
    "changes": changes,
    "stacks": stacks,
    "robust": robust,
    "families": families,
    "probe": probe,
    "losses": losses,
    "order": order,
    "readers": readers,
}


def written(page: str, results: Path) -> str:
    """The page with every table made anew."""

    def table(match: re.Match[str]) -> str:
        kind, *words = match[2].split()
        return match[1] + MAKERS[kind](results, *words) + match[4]

    return TABLE.sub(table, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "pages", nargs="*", type=Path, default=sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    stale = 0
    for path in given.pages:
        text = path.read_text(encoding="utf-8")
        new = written(text, given.results)
        if new != text:
            stale += 1
            print(f"{path}: {'tables are not what the results give' if given.check else 'written'}")
            if not given.check:
                path.write_text(new, encoding="utf-8")
    return int(given.check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
