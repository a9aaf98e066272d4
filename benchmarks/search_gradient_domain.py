"""Choose the parameters of ``gradient-domain`` on any pairs: scores and halo of each setting, and both presets.

    OMP_NUM_THREADS=1 python benchmarks/search_gradient_domain.py FOLDER [FOLDER ...] [--skip NAMES.txt] [--step 8]

A folder has ``ir/`` and ``vi/`` (or is what else ``fusionbench run --source-dir`` takes); ``--skip`` leaves out pairs
that are kept for testing, one name a line; ``--step`` takes every so many pairs. The same pairs give the same table.

*Quality* is the mean, over folders and the eight metrics of ``standard/1``, of a setting's score divided by that of
the starting point, the first row. *Halo* is the slope, in grey levels per pixel at a scale of two pixels, that the
fused image has beyond the sum of the sources' slopes, where both are calm (below one grey level per pixel) and an edge
(a tenth of the range per pixel) is at most twelve pixels away. *Overshoot* is by how many grey levels the image leaves
the range of both sources within twelve pixels of an edge. ``metrics`` is the setting with the best quality;
``balanced`` the best among those with at most half of the starting point's halo.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.metrics.engine import choose
from fusionbench.metrics.undefined import measure
from fusionbench.models.classical.gradient_domain import GradientDomain, blurred, sobel_slopes

SPEC = ImageSpec(1, 8, 8, 2)
NAMES = ("en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim")
START: dict[str, float] = {
    "gain": 1.3,
    "low_weight": 0.005,
    "low_gain": 1.05,
    "power": 4.0,
    "consent": 0.0,
    "knee": 0.045,
}
NEAR, EDGE, CALM = 12, 0.1, 1 / 255


def settings() -> Iterator[dict[str, float]]:
    """The starting point, each parameter varied alone, and consent with lower and higher gains."""
    yield START
    for name, values in {
        "gain": (1.2, 1.4),
        "low_weight": (0.002, 0.01),
        "low_gain": (1.15,),
        "power": (8.0,),
        "knee": (0.03,),
        "consent": (1.0, 2.0, 4.0),
    }.items():
        yield from ({**START, name: value} for value in values)
    yield from ({**START, "consent": 2.0, **more} for more in ({"gain": 1.2}, {"gain": 1.4}, {"power": 8.0}))
    yield {**START, "consent": 4.0, "gain": 1.4, "power": 8.0}


def halo(fused: Tensor, a: Tensor, b: Tensor) -> tuple[float, float]:
    """Added slope and overshoot of one image (1,1,H,W), grey levels; NaN for the slope without calm places at edges."""

    def slope(x: Tensor) -> Tensor:
        return sobel_slopes(blurred(x, 2.0, 8)).norm(dim=1, keepdim=True)

    def widest(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2 * NEAR + 1, 1, NEAR)

    steepest = torch.maximum(*(sobel_slopes(x).norm(dim=1, keepdim=True) for x in (a, b)))
    near = widest((steepest > EDGE).to(a)) > 0
    slope_a, slope_b = slope(a), slope(b)
    calm = near & (torch.maximum(slope_a, slope_b) < CALM)
    added = (slope(fused) - slope_a - slope_b).clamp(min=0)[calm]
    high, low = widest(torch.maximum(a, b)), -widest(-torch.minimum(a, b))
    beyond = ((fused - high).clamp(min=0) + (low - fused).clamp(min=0))[near]
    return tuple(255 * float(x.mean()) if len(x) else float("nan") for x in (added, beyond))  # type: ignore[return-value]


def scored(pairs: list[np.ndarray], setting: dict[str, float]) -> np.ndarray:
    """Means over the pairs: the eight metrics, added slope, overshoot."""
    model, metrics = GradientDomain(SPEC, **setting), choose(NAMES)
    rows = []
    for pair in pairs:
        a, b = torch.from_numpy(pair).double().div(255)[:, None, None].split(1)
        fused = model.combine(a[0], b[0])
        stored = (fused * 255).round().to(torch.uint8)
        values, _ = measure(stored[0, 0].numpy(), pair[0], pair[1], metrics, "pair")
        rows.append([*(values[name] for name in NAMES), *halo(stored.double() / 255, a[0], b[0])])
    means: np.ndarray = np.nanmean(rows, axis=0)
    return means


def chosen(found: PairSet, skip: set[str], step: int) -> list[np.ndarray]:
    places = [index for index, stem in enumerate(found.stems) if stem not in skip]
    return [found.pair(index) for index in places[::step]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--skip", type=Path, help="names of pairs to leave out, one a line")
    parser.add_argument("--step", type=int, default=8)
    options = parser.parse_args()
    skip = {Path(line).stem for line in options.skip.read_text().split()} if options.skip else set()
    sets = {folder.name: chosen(open_pairs(folder), skip, options.step) for folder in options.folders}
    torch.set_num_threads(1)
    print("pairs: " + ", ".join(f"{name} {len(pairs)}" for name, pairs in sets.items()))
    print(
        f"{'gain low_weight low_gain power consent knee':44}  set        " + " ".join(f"{n:>6}" for n in NAMES), end=""
    )
    print("   halo   over  quality")
    table: list[dict[str, Any]] = []
    start: dict[str, np.ndarray] = {}
    for setting in settings():
        means = {name: scored(pairs, setting) for name, pairs in sets.items()}
        start = start or means
        quality = float(np.mean([means[name][:8] / start[name][:8] for name in sets]))
        halos = float(np.mean([means[name][8] / start[name][8] for name in sets]))
        table.append({"setting": setting, "quality": quality, "halo": halos})
        label = " ".join(f"{value:g}" for value in setting.values())
        for name in sets:
            print(
                f"{label:44}  {name:10} " + " ".join(f"{x:6.3f}" for x in means[name]) + f"  {quality:7.4f}", flush=True
            )
    for preset, rows in (("metrics", table), ("balanced", [row for row in table if row["halo"] <= 0.5])):
        best = max(rows, key=lambda row: row["quality"], default=None)
        if best is None:
            print(f"{preset}: no setting has half of the halo")
        else:
            print(f"{preset}: {best['setting']}, quality {best['quality']:.4f}, halo {best['halo']:.2f} of the first")


if __name__ == "__main__":
    main()
