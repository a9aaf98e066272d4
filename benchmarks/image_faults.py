"""What people dislike in fused images, measured: stronger noise, halos, and pixels beyond both sources at edges.

    OMP_NUM_THREADS=1 python benchmarks/image_faults.py tno average gradient-domain:natural runs/mine [--step 8]

The first argument has ``ir/`` and ``vi/`` (or is what else ``fusionbench run --source-dir`` takes), the others are
methods: a name, a name and a preset, or the folder of a trained run.

*Noise*: both sources get independent Gaussian noise of two grey levels; the root mean square of what that changes in
the fused image, in grey levels over two, where both sources are calm. A copied source has 1, the average 0.71.
*Halo* and *overshoot*, in grey levels: ``search_gradient_domain.py`` defines them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from search_gradient_domain import CALM, halo
from torch import Tensor

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.subject import loaded
from fusionbench.models import create_model
from fusionbench.models.classical.gradient_domain import blurred, sobel_slopes

LEVELS = 2.0


def calm(a: Tensor, b: Tensor) -> Tensor:
    """Where neither source (1,1,H,W) has a slope of a grey level per pixel at a scale of two pixels."""
    slopes = [sobel_slopes(blurred(x, 2.0, 8)).norm(dim=1, keepdim=True) for x in (a, b)]
    return torch.maximum(*slopes) < CALM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--step", type=int, default=1, help="take every so many pairs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = open_pairs(options.pairs)
    places = range(0, len(found.stems), options.step)
    print(f"{len(places)} pairs of {options.pairs.name}\n{'method':40}  noise   halo  overshoot", flush=True)
    for method in options.methods:
        spec = ImageSpec(channels=1, height=64, width=64, views=2)
        if Path(method).is_dir():
            model = loaded(method, spec)[0]
        else:
            name, _, preset = method.partition(":")
            model = create_model(name, spec, preset or None)
        rows = []
        for place in places:
            pair = torch.from_numpy(found.pair(place)).float().div(255)[None, :, None]
            noise = torch.randn(pair.shape, generator=torch.Generator().manual_seed(place)) * (LEVELS / 255)
            complete, ids = torch.ones(1, 2, dtype=torch.bool), torch.arange(1)
            fused, noisy = (model.fuse(Batch(None, x, complete, ids)) for x in (pair, (pair + noise).clamp(0, 1)))
            a, b = pair[:, 0], pair[:, 1]
            changed = (noisy - fused)[calm(a, b)]
            gain = 255 / LEVELS * float(changed.square().mean().sqrt()) if len(changed) else float("nan")
            rows.append((gain, *halo(fused.double(), a.double(), b.double())))
        noise_gain, added, beyond = np.nanmean(rows, axis=0)
        print(f"{method:40} {noise_gain:6.2f} {added:6.3f} {beyond:10.3f}", flush=True)


if __name__ == "__main__":
    main()
