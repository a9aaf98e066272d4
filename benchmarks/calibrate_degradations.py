"""What each family of degradations costs at each severity, and which levels would make severities cost alike.

    python benchmarks/calibrate_degradations.py DATA [--pairs 8] [--families shift/1,haze/1] [--levels]

DATA has ``roadscene`` and ``msrs``. The middle of evenly spaced pairs of each, 240×320 of the sensor's own pixels, is
degraded, fused by classical rows, and scored **against the clean sources**. The cost of
a level is the mean, over both data sets, the rows and the two metrics Qabf and VIF, of the relative drop: one minus the
mean over pairs of the metric over that of the clean pairs' fused images. With ``--levels`` each family's path of
strengths is measured on a grid, and the levels are told that cost what ``TARGETS`` says, by linear interpolation;
without it, the levels that fusionbench has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.metrics.engine import score_images
from fusionbench.models import create_model
from fusionbench.sources import SOURCES
from fusionbench.synth.degradations import DEGRADATIONS, list_degradations
from fusionbench.synth.degradations.base import Degradation, Level
from fusionbench.synth.degradations.draws import Draws
from fusionbench.synth.degradations.run import degrade_by
from fusionbench.synth.random import stream_key

ROWS = ("laplacian-pyramid", "guided-filter", "wavelet")
METRICS = ("qabf", "vif")
TARGETS = (0.05, 0.10, 0.20, 0.30, 0.40)
SIZE = (240, 320)

# Levels along one strength x of each family, and the strengths that are measured
PATHS: dict[str, tuple[Callable[[float], Level], tuple[float, ...]]] = {
    "shift/1": (lambda x: (round(256 * x),), (0.25, 0.5, 1, 1.5, 2, 3, 5, 8, 14)),
    "affine/1": (lambda x: (round(x), round(x / 2)), (50, 150, 300, 600, 1200, 2400, 4800, 9600)),
    "flow/1": (lambda x: (round(256 * x),), (0.5, 1, 2, 3, 4, 6, 9, 15)),
    "gaussian-noise/1": (lambda x: (round(256 * x),), (0.5, 1, 2, 3, 5, 8, 13, 20)),
    "poisson/1": (lambda x: (round(x),), (4000, 1500, 500, 180, 60, 20, 8, 3)),
    "fixed-pattern/1": (lambda x: (round(256 * x), round(40 * x)), (0.5, 1, 2, 4, 7, 12, 20, 36)),
    "drift/1": (lambda x: (round(320 * x), round(50 * x)), (0.25, 0.5, 1, 2, 3.5, 6, 10)),
    "blur/1": (lambda x: (round(16 * x), round(16 * (1.4 * x - 0.4))), (1.2, 1.5, 2, 2.5, 3, 4, 5, 7)),
    "lowlight/1": (
        lambda x: (max(1, round(256 / x)), round(8000 / x), round(64 * x**0.5)),
        (1.15, 1.3, 1.6, 2, 3, 5, 8, 14, 25),
    ),
    "haze/1": (lambda x: (round(x),), (30, 80, 160, 300, 500, 800, 1300, 2200)),
    "rain/1": (
        lambda x: (round(160 * x), round(8 + 3 * x), min(240, round(40 + 30 * x)), min(64, round(8 * x))),
        (0.25, 0.5, 1, 2, 3, 4.5, 6.5, 9),
    ),
    "block/1": (lambda x: (round(x),), (90, 75, 55, 38, 25, 16, 10, 6, 3, 1)),
    "occlude/1": (lambda x: (round(256 * x),), (0.02, 0.05, 0.1, 0.17, 0.26, 0.38, 0.55, 0.8)),
    "occlude/2": (lambda x: (round(256 * x),), (0.02, 0.05, 0.1, 0.17, 0.26, 0.38, 0.55, 0.8)),
    "drop/1": (lambda x: (round(256 * x),), (0.04, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)),
}


def pairs_of(data: Path, name: str, count: int) -> list[np.ndarray]:
    """The middle of evenly spaced pairs of a data set, in the pixels of the sensor: uint8 (2, ≤ 240, ≤ 320)."""
    split = {"roadscene": "all", "msrs": "test"}[name]
    source = SOURCES.get(name)(data / name)
    numbers = np.linspace(0, len(source.stems(split)) - 1, count).astype(int)
    return [middle(pair) for pair in source.read_pairs(split, numbers)]


def middle(pair: np.ndarray) -> np.ndarray:
    """The centred crop of uint8 (2, h, w) of at most 240×320 pixels."""
    (height, width), (most_high, most_wide) = pair.shape[1:], SIZE
    top, left = max(0, height - most_high) // 2, max(0, width - most_wide) // 2
    return np.ascontiguousarray(pair[:, top : top + most_high, left : left + most_wide])


class Costs:
    """Scores of the rows on the pairs of one data set, degraded or not, against the clean ones."""

    def __init__(self, name: str, pairs: list[np.ndarray]) -> None:
        self.name, self.pairs = name, pairs
        self.models = {row: create_model(row, ImageSpec(1, *pairs[0].shape[1:], 2)) for row in ROWS}
        self.clean = self._means(pairs)

    def cost(self, record: Degradation, level: Level) -> np.ndarray:
        """Relative drop of each row's metrics: (rows, metrics)."""
        key = stream_key(record.name, self.name, "calibration", 0)
        degraded = [
            degrade_by(record, level, pair[None], (0, 1), Draws(key, np.array([number]), 0, pair)).views[0]
            for number, pair in enumerate(self.pairs)
        ]
        return 1 - self._means(degraded) / self.clean

    def _means(self, pairs: list[np.ndarray]) -> np.ndarray:
        import torch

        means = np.zeros((len(ROWS), len(METRICS)))
        for pair, clean in zip(pairs, self.pairs, strict=True):
            views = torch.from_numpy(pair)[None, :, None].float() / 255
            batch = Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.int64))
            for number, model in enumerate(self.models.values()):
                with torch.no_grad():
                    fused = (255 * model.fuse(batch)[0, 0]).round().clamp(0, 255).byte().numpy()
                found = score_images(fused[None], clean[:1], clean[1:], list(METRICS))
                means[number] += [float(found[metric][0]) for metric in METRICS]
        return means / len(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=8, help="of each data set")
    parser.add_argument("--families", help="comma-separated; all by default")
    parser.add_argument("--levels", action="store_true", help="find levels rather than measure those of fusionbench")
    options = parser.parse_args()
    sets = [Costs(name, pairs_of(options.data, name, options.pairs)) for name in ("roadscene", "msrs")]
    print(f"{options.pairs} pairs each of RoadScene and MSRS, the middle 240×320 pixels; rows {', '.join(ROWS)}")
    print(f"cost: mean relative drop of {' and '.join(METRICS)} against the clean sources, in %\n")
    for family in options.families.split(",") if options.families else list_degradations():
        record = DEGRADATIONS.get(family)
        if not options.levels:
            found = [np.stack([one.cost(record, level) for one in sets]) for level in record.levels]
            cells = "".join(f"{100 * cost.mean():7.1f}" for cost in found)
            by_set = "; ".join(
                f"{one.name} " + " ".join(f"{100 * cost[i].mean():.0f}" for cost in found) for i, one in enumerate(sets)
            )
            by_metric = "; ".join(
                f"{metric} " + " ".join(f"{100 * cost[..., i].mean():.0f}" for cost in found)
                for i, metric in enumerate(METRICS)
            )
            print(f"{family:18}{cells}   {by_set}; {by_metric}", flush=True)
            continue
        path, strengths = PATHS[family]
        costs = [float(np.mean([one.cost(record, path(x)) for one in sets])) for x in strengths]
        print(f"{family:18}" + "  ".join(f"{x:g}: {100 * cost:.1f}" for x, cost in zip(strengths, costs, strict=True)))
        rising = np.maximum.accumulate(costs)
        places = np.interp(TARGETS, [0, *rising], np.arange(-1, len(costs)))
        logs = np.log([strengths[0] * strengths[0] / strengths[1], *strengths])
        chosen = np.exp(np.interp(places + 1, np.arange(len(logs)), logs))
        reached = [target <= rising[-1] for target in TARGETS]
        print(
            " " * 18 + ", ".join(f"{path(float(x))}{'' if ok else '?'}" for x, ok in zip(chosen, reached, strict=True)),
            flush=True,
        )


if __name__ == "__main__":
    main()
