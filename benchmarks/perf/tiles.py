"""Peak memory and time of fusing large pairs in tiles, and how far tiles are from the whole image.

    OMP_NUM_THREADS=1 python benchmarks/perf/tiles.py [--size 1080x1920] [--models dae-fuse:paper,cbf]

Every model fuses one made-up pair in a process of its own; the peak is the process's (resident memory, libraries and
images included). ``--compare`` also fuses the whole image, which needs the memory that tiles save, and gives the
largest difference in grey levels. Weights are random. Not part of `make perf`: networks take minutes to hours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.tiling import fuse_any_size, plan_tiles


def measure_one(name: str, height: int, width: int, memory: int | None, compare: bool) -> dict[str, Any]:
    """One pair of smoothed noise, fused in this process."""
    model_name, _, preset = name.partition(":")
    torch.manual_seed(0)
    model = create_model(model_name, ImageSpec(1, height, width, 2), preset or None)
    pair = torch.rand((1, 2, 1, height, width), generator=torch.Generator().manual_seed(0))
    pair = torch.nn.functional.avg_pool3d(pair, (1, 5, 5), 1, (0, 2, 2))
    plan = plan_tiles(model, height, width, memory=memory)
    begun = time.perf_counter()
    fused = fuse_any_size(model, pair, memory=memory)
    row: dict[str, Any] = {"model": name, "tiles": plan.count, "tile": plan.largest}
    row["seconds"] = time.perf_counter() - begun
    row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if compare:
        row["levels"] = 255 * float((fuse_any_size(model, pair, tile="none") - fused).abs().max())
        row["whole_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1080x1920", help="height x width")
    parser.add_argument("--models", default="laplacian-pyramid,guided-filter,wavelet,cbf,gtf,mfeif:full,dae-fuse:paper")
    parser.add_argument("--memory", type=int, help="MiB; the default is that of fuse_any_size")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    height, width = (int(side) for side in options.size.split("x"))
    memory = None if options.memory is None else options.memory << 20
    if options.one:
        print(json.dumps(measure_one(options.one, height, width, memory, options.compare)))
        return
    rows = []
    print(f"one pair of {height}×{width}, {os.environ['OMP_NUM_THREADS']} thread(s), torch {torch.__version__}")
    print(f"{'model':20} {'tiles':>6} {'largest':>12} {'seconds':>9} {'peak MiB':>9} {'levels':>9} {'whole MiB':>10}")
    for name in options.models.split(","):
        command = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--one", name]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        rows.append(row)
        tile, levels, whole = "×".join(map(str, row["tile"])), row.get("levels"), row.get("whole_peak_mib")
        print(
            f"{name:20} {row['tiles']:6d} {tile:>12} {row['seconds']:9.1f} {row['peak_mib']:9.0f} "
            f"{'' if levels is None else f'{levels:.2g}':>9} {'' if whole is None else f'{whole:.0f}':>10}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
