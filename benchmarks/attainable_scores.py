"""How far five scores can be led at once: every pixel of a fused image is free, and climbs them pair by pair.

    OMP_NUM_THREADS=1 python benchmarks/attainable_scores.py tno [--split all] [--step 4] [--climb 200]

The first argument has ``ir/`` and ``vi/`` (or is what else ``fusionbench run --source-dir`` takes). From the image of
``gradient-domain:metrics`` on, Adam climbs the kept edges of Q^{AB/F}, while SD and SF stay a percent above that
image's, EN 0.02 bits, and SCD ``--scd`` above that of ``gradient-domain:balanced``, which leads it; ``--scd none``
leaves SCD free. This is no way to fuse: it asks the metrics themselves. It says what a network may hope for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.metrics.engine import SourcePair
from fusionbench.models import create_model
from fusionbench.models.pairs.metric_losses import (
    entropies,
    pooled_frequency,
    pooled_scd,
    pooled_spread,
    shortfall,
    soft_qabf,
)

NAMES = ("en", "sd", "sf", "scd", "qabf")
LARGEST, SMALLEST = 0.01, 0.0005  # steps of [0,1], the first and the last


def climbed(start: Tensor, scd_wanted: Tensor | None, a: Tensor, b: Tensor, steps: int) -> Tensor:
    """The image (1,1,H,W) after so many steps from ``start``."""
    pixels = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([pixels])
    spread, frequency = 1.01 * pooled_spread(start), 1.01 * pooled_frequency(start)
    entropy = entropies(start) + 0.02
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LARGEST + (SMALLEST - LARGEST) * step / steps
        lacks = [20 * shortfall(pooled_spread(pixels), spread), 10 * shortfall(pooled_frequency(pixels), frequency)]
        lacks.append(3 * (entropy - entropies(pixels)).clamp(min=0).sum())
        if scd_wanted is not None:
            lacks.append(20 * (scd_wanted - pooled_scd(pixels, a, b)).clamp(min=0))
        loss = torch.stack(lacks).sum() - soft_qabf(pixels, a, b).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)
    return pixels.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--split")
    parser.add_argument("--step", type=int, default=1, help="take every so many pairs")
    parser.add_argument("--climb", type=int, default=200, help="steps a pair")
    parser.add_argument("--scd", default="0.004", help="how much more SCD than balanced's is asked for, or none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = open_pairs(options.pairs, options.split)
    spec = ImageSpec(channels=1, height=64, width=64, views=2)
    rules = {preset: create_model("gradient-domain", spec, preset) for preset in ("metrics", "balanced")}
    rows: dict[str, list[list[float]]] = {}
    for place in range(0, len(found.stems), options.step):
        sources = found.pair(place)
        pair = torch.from_numpy(sources).float().div(255)[None, :, None]
        a, b = pair[:, 0], pair[:, 1]
        batch = Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))
        images = {name: rule.fuse(batch) for name, rule in rules.items()}
        wanted = None if options.scd == "none" else pooled_scd(images["balanced"], a, b) + float(options.scd)
        images["pixels"] = climbed(images["metrics"], wanted, a, b, options.climb)
        scorer = SourcePair(sources[:1], sources[1:], list(NAMES))
        levels = {name: (255 * image[:, 0]).round().byte().numpy() for name, image in images.items()}
        for name, image in {"copy of A": sources[:1], "copy of B": sources[1:], **levels}.items():
            rows.setdefault(name, []).append([float(scorer.score(image)[metric][0]) for metric in NAMES])
    print(
        f"{len(rows['pixels'])} pairs of {options.pairs.name}, {options.climb} steps\n{'':12}"
        + "".join(f"{n:>8}" for n in NAMES)
    )
    for name, values in rows.items():
        print(f"{name:12}" + "".join(f"{mean:8.3f}" for mean in np.mean(values, axis=0)))


if __name__ == "__main__":
    main()
