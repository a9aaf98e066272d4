"""Whether intervals, ranks and "not separable from the best" keep their promise, on simulated truth with fixed seeds.

Run: python benchmarks/perf/interval_coverage.py [--experiments 1000] [--only PART] [--out FILE]

All parts with 1000 experiments take about 17 CPU minutes. With --out every part is written to FILE when it is complete,
and the same command goes on with the parts that are not in it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fusionbench.core.io import write_bytes
from fusionbench.results import bootstrap as stats

RESAMPLES = 1000  # of each experiment; the tables of the toolkit take 10,000
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "log-normal": lambda rng, shape: np.exp(rng.normal(size=shape)) - math.exp(0.5),
}


def interval_covers(n: int, draw: Draw, experiments: int) -> tuple[float, float]:
    """Part of the intervals that hold the truth: of a mean, and of a paired difference of skewed and normal values."""
    rng = np.random.default_rng([1, n])
    single = paired = 0
    for seed in range(experiments):
        values, other = draw(rng, (n,)), rng.normal(size=n)
        row = stats.compare([values], "lower", resamples=RESAMPLES, seed=seed)[0]
        second = other + values + 0.5 * rng.normal(size=n)
        found = stats.paired_difference(other, second, resamples=RESAMPLES, seed=seed)
        single += row.low <= 0 <= row.high
        paired += found.low <= 0 <= found.high
    return single / experiments, paired / experiments


def equal_models(m: int, n: int, draw: Draw, experiments: int) -> tuple[float, float]:
    """m equal models: how often one is called worse than the best; how often the rank sets hold all true ranks."""
    rng = np.random.default_rng([2, m, n])
    worse = whole = 0
    for seed in range(experiments):
        rows = stats.compare(list(draw(rng, (n,)) + draw(rng, (m, n))), "lower", resamples=RESAMPLES, seed=seed)
        worse += not all(row.tied for row in rows)
        whole += all(row.rank_low == 1 and row.rank_high == m for row in rows if row.ranked)
    return worse / experiments, whole / experiments


def ordered_models(m: int, n: int, experiments: int) -> float:
    """Models with true means 0, 0.1, …: how often all rank sets hold the true ranks at once."""
    rng = np.random.default_rng([3, m, n])
    whole = 0
    for seed in range(experiments):
        values = rng.normal(size=n) + rng.normal(size=(m, n)) + 0.1 * np.arange(m)[:, None]
        rows = stats.compare(list(values), "lower", resamples=RESAMPLES, seed=seed)
        whole += all(row.rank_low <= i + 1 <= row.rank_high for i, row in enumerate(rows))
    return whole / experiments


def trained(rng: np.random.Generator, image: np.ndarray, runs: int, seed_sd: float, own: float = 0.5) -> np.ndarray:
    """Runs of a model, (runs, n): what images, the training seed, and both together do to a score."""
    n = len(image)
    effects = rng.normal(0, seed_sd, (runs, 1)) if seed_sd else np.zeros((runs, 1))
    result: np.ndarray = effects + image + rng.normal(size=n) + rng.normal(0, own, (runs, n))
    return result


def seeds_covered(runs: int, sds: tuple[float, float], experiments: int, own: float = 0.5) -> tuple[float, float]:
    """Coverage of the interval of one model, and of the difference of two, over images and trainings."""
    rng = np.random.default_rng([4, runs])
    single = paired = 0
    for seed in range(experiments):
        image = rng.normal(size=100)
        first, second = (trained(rng, image, runs, sd, own) for sd in sds)
        row = stats.compare([first], "lower", resamples=RESAMPLES, seed=seed, trained=[True])[0]
        found = stats.paired_difference(first, second, resamples=RESAMPLES, seed=seed)
        single += row.low <= 0 <= row.high
        paired += found.low <= 0 <= found.high
    return single / experiments, paired / experiments


def board_of_runs(m: int, runs: tuple[int, ...], sds: tuple[float, ...], experiments: int) -> float:
    """m equal trained models: how often the rank sets of all hold."""
    rng = np.random.default_rng([5, m, len(runs)])
    whole = 0
    for seed in range(experiments):
        image = rng.normal(size=100)
        table = [trained(rng, image, runs[i % len(runs)], sds[i % len(sds)]) for i in range(m)]
        rows = stats.compare(table, "lower", resamples=RESAMPLES, seed=seed, trained=[True] * m)
        whole += all(row.rank_low == 1 and row.rank_high == m for row in rows)
    return whole / experiments


def images_lines(experiments: int) -> Iterator[str]:
    """Lines of the table."""
    error = 1.96 * math.sqrt(0.05 * 0.95 / experiments)
    yield f"{experiments} experiments a line: an exact 95 % shows as 0.95 ± {error:.3f}, 5 % as 0.05 ± {error:.3f}"
    yield f"{'intervals: images':28}{'distribution':14}{'mean':>8}{'difference':>12}"
    for n in (2, 5, 6, 8, 12, 21, 100):
        for name, draw in DRAWS.items():
            single, paired = interval_covers(n, draw, experiments)
            yield f"{n:<28}{name:14}{single:8.3f}{paired:12.3f}"


def best_lines(experiments: int) -> Iterator[str]:
    """Lines of the table."""
    yield f"{'equal models':14}{'images':14}{'distribution':14}{'one worse':>10}{'rank sets':>12}"
    for m in (2, 5, 10, 25):
        for n in (6, 21, 100):
            for name in ("normal", "log-normal"):
                worse, whole = equal_models(m, n, DRAWS[name], experiments)
                yield f"{m:<14}{n:<14}{name:14}{worse:10.3f}{whole:12.3f}"
    for m in (5, 25):
        yield f"{m} models with means 0, 0.1, …, 100 images: rank sets {ordered_models(m, 100, experiments):.3f}"


def seeds_lines(experiments: int) -> Iterator[str]:
    """Lines of the table."""
    yield f"{'runs of each':14}{'sd of seeds':14}{'seed × image':14}{'mean':>8}{'difference':>12}"
    for runs in (2, 3, 5, 10):
        for sds in ((0.05, 0.05), (0.15, 0.15), (1.0, 1.0), (0.3, 1.0)):
            for own in (0.0, 0.5):
                single, paired = seeds_covered(runs, sds, experiments, own)
                yield f"{runs:<14}{sds[0]:g}, {sds[1]:<9g}{own:<14g}{single:8.3f}{paired:12.3f}"


def alone_lines(experiments: int) -> Iterator[str]:
    """Lines of the table."""
    yield "one run of each, no other row: the interval is of this training alone"
    for sd in (0.0, 0.15, 1.0):
        yield f"sd of seeds {sd:<20g}{seeds_covered(1, (sd, sd), experiments)[0]:8.3f}"


def mixed_lines(experiments: int) -> Iterator[str]:
    """Lines of the table."""
    yield f"{'models':10}{'runs':18}{'sd of seeds':16}{'rank sets':>10}"
    for m in (5, 25):
        for counts in ((3,), (2,), (1, 3), (1, 2, 3, 5, 10)):
            for spread in ((0.2,), (1.0,), (0.3, 1.0), (0.1, 1.0)):
                whole = board_of_runs(m, counts, spread, experiments)
                yield f"{m:<10}{', '.join(map(str, counts)):18}{', '.join(map(str, spread)):16}{whole:10.3f}"


PARTS = {"images": images_lines, "best": best_lines, "seeds": seeds_lines, "alone": alone_lines, "mixed": mixed_lines}


def heading(name: str, experiments: int) -> str:
    """The line above a part in a file."""
    return f"== {name}, {experiments} experiments"


def finished_parts(path: Path, experiments: int) -> dict[str, list[str]]:
    """Lines of the parts in a file that were made with so many experiments."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    headings = {heading(name, experiments): name for name in PARTS}
    for line in path.read_text().splitlines() if path.is_file() else []:
        if line in headings:
            lines = found.setdefault(headings[line], [])
        elif line.startswith("== "):
            lines = []
        else:
            lines.append(line)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    done = {} if arguments.out is None else finished_parts(arguments.out, arguments.experiments)
    for name, part in PARTS.items():
        if name in done or arguments.only not in (None, name):
            continue
        lines = []
        for line in part(arguments.experiments):
            print(line, flush=True)
            lines.append(line)
        done[name] = lines
        if arguments.out is not None:
            blocks = [[heading(key, arguments.experiments), *done[key]] for key in PARTS if key in done]
            write_bytes(arguments.out, ("\n".join(line for block in blocks for line in block) + "\n").encode())


if __name__ == "__main__":
    main()
