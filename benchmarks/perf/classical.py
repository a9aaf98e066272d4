"""Time the rows of registered pairs that learn nothing on one 640×480 pair, and gradient transfer against plain loops.

    OMP_NUM_THREADS=1 python benchmarks/perf/classical.py [--repeats 5] [--loop-steps 2] [--device cpu] [--json OUT]

Rounds of all rows are interleaved and medians are shown, with the ratio to the slowest row of the same run. On one CPU
thread, processor time is measured, which other jobs on the machine disturb less than the clock; otherwise the clock.

The loops are gradient transfer written down pixel by pixel with NumPy scalars: the same steps of the same method, with
its linear part by SciPy's cosine transform, so that nothing but the loops is slow. Both run the same number of steps
on the same pair, and must agree to 1e-9 or there is no ratio. Few steps are enough: all steps cost the same.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.fft import dctn, idctn

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import MODELS, create_model
from fusionbench.models.classical.gtf import GradientTransfer

HEIGHT, WIDTH = 480, 640
SPEC = ImageSpec(1, HEIGHT, WIDTH, 2)
ROWS = [
    "copy-a",
    "average",
    "laplacian-pyramid",
    "contrast-pyramid",
    "guided-filter",
    "wavelet",
    "cbf",
    "gtf",
    "jsr-sd",
]


def pair(device: str) -> Batch:
    """One made-up pair: blocks of different grey, soft noise, and a texture in the second view; seeded."""
    random = torch.Generator().manual_seed(0)
    blocks = torch.rand((1, 2, 1, HEIGHT // 40, WIDTH // 40), generator=random)
    views = blocks.repeat_interleave(40, -1).repeat_interleave(40, -2) * 0.6 + 0.2
    noise = torch.rand((1, 2, 1, HEIGHT, WIDTH), generator=random) - 0.5
    views = views + 0.3 * torch.nn.functional.avg_pool3d(noise, (1, 3, 3), 1, (0, 1, 1))
    views[:, 1] += 0.05 * torch.sin(torch.arange(WIDTH) / 2)
    views = views.clamp(0, 1)
    return Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)).to(device)


def timed(function: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Seconds of one call, and what it returned."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    torch.cuda.synchronize() if device == "cuda" else None
    begun = clock()
    result = function()
    torch.cuda.synchronize() if device == "cuda" else None
    return clock() - begun, result


def loops(f: np.ndarray, model: GradientTransfer) -> np.ndarray:
    """``model.iterations`` steps on f (H,W), pixel by pixel."""
    height, width = f.shape
    rho, slope_rho = model.penalty, model.gradient_penalty
    ratio, threshold, step_off = slope_rho / rho, model.weight / slope_rho, 1 / rho
    eigen_y, eigen_x = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in f.shape)
    scale = 1 / (1 + ratio * (eigen_y[:, None] + eigen_x))
    e, e_dual, right = np.zeros_like(f), np.zeros_like(f), np.empty_like(f)
    d, d_dual = np.zeros((2, *f.shape)), np.zeros((2, *f.shape))
    for i in range(height):
        for j in range(width):
            d[0, i, j] = f[i, j + 1] - f[i, j] if j + 1 < width else 0.0
            d[1, i, j] = f[i + 1, j] - f[i, j] if i + 1 < height else 0.0
    u = f
    for _ in range(model.iterations):
        for i in range(height):
            for j in range(width):
                back = 0.0
                if j > 0:
                    back += d[0, i, j - 1] - d_dual[0, i, j - 1]
                if j + 1 < width:
                    back -= d[0, i, j] - d_dual[0, i, j]
                if i > 0:
                    back += d[1, i - 1, j] - d_dual[1, i - 1, j]
                if i + 1 < height:
                    back -= d[1, i, j] - d_dual[1, i, j]
                right[i, j] = f[i, j] + e[i, j] - e_dual[i, j] + ratio * back
        u = idctn(dctn(right, norm="ortho") * scale, norm="ortho")
        for i in range(height):
            for j in range(width):
                across = u[i, j + 1] - u[i, j] if j + 1 < width else 0.0
                down = u[i + 1, j] - u[i, j] if i + 1 < height else 0.0
                across, down = 1.6 * across - 0.6 * d[0, i, j], 1.6 * down - 0.6 * d[1, i, j]
                off = 1.6 * (u[i, j] - f[i, j]) - 0.6 * e[i, j]
                x, y, z = across + d_dual[0, i, j], down + d_dual[1, i, j], off + e_dual[i, j]
                keep = 1 - threshold / max(math.sqrt(x * x + y * y), threshold)
                d[0, i, j], d[1, i, j] = keep * x, keep * y
                e[i, j] = z - min(max(z, -step_off), step_off)
                d_dual[0, i, j], d_dual[1, i, j], e_dual[i, j] = x - d[0, i, j], y - d[1, i, j], z - e[i, j]
    return u


def against_loops(steps: int, repeats: int, device: str) -> dict[str, float]:
    """Seconds of ``steps`` steps of both, their ratio, and how far their results are apart."""
    views = pair(device).views.double()
    f = views[:, 0] - views[:, 1]
    model = GradientTransfer(SPEC, iterations=steps, tolerance=0)
    model.solve(f)
    ours = [timed(lambda: model.solve(f)[0], device) for _ in range(repeats)]
    seconds, expected = timed(lambda: loops(f[0, 0].cpu().numpy(), model), "cpu")
    apart = float(np.abs(ours[0][1][0, 0].cpu().numpy() - expected).max())
    assert apart < 1e-9, f"the loops gave another result: {apart}"
    median = statistics.median(x[0] for x in ours)
    return {"steps": steps, "ours": median, "loops": seconds, "ratio": seconds / median, "apart": apart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--loop-steps", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    batch = pair(options.device)
    models = {name: create_model(name, SPEC, next(iter(MODELS.get(name).PRESETS))) for name in ROWS}
    for model in models.values():
        model.fuse(batch)  # loads kernels and libraries
    times: dict[str, list[float]] = {name: [] for name in ROWS}
    for _ in range(options.repeats):
        for name, model in models.items():
            times[name].append(timed(lambda model=model: model.fuse(batch), options.device)[0])
    medians = {name: statistics.median(found) for name, found in times.items()}
    slowest = max(medians.values())
    setting = f"{options.device}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    print(f"one {WIDTH}x{HEIGHT} pair, {setting}, median of {options.repeats}")
    print(f"{'row':18} {'ms':>9} {'slowest/this':>13}")
    for name, seconds in medians.items():
        print(f"{name:18} {1000 * seconds:9.1f} {slowest / seconds:13.1f}")
    versus = against_loops(options.loop_steps, options.repeats, options.device)
    print(
        f"gtf, {options.loop_steps} steps: {1000 * versus['ours']:.1f} ms, "
        f"plain loops {1000 * versus['loops']:.0f} ms, ratio {versus['ratio']:.0f}, results {versus['apart']:.1e} apart"
    )
    if options.json:
        content = {"device": options.device, "seconds": medians, "gtf_against_loops": versus}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
