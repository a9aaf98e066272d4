"""Time the models of registered pairs on one 640×480 pair: milliseconds, FLOPs, memory, and how near to the machine.

    OMP_NUM_THREADS=1 python benchmarks/perf/pair_models.py [--repeats 3] [--device cpu] [--json OUT] [--models NAME …]

Every registered network of pairs is measured.

The work is counted by torch's flop counter (2 per multiply-add) on tensors without content. The floor of a model is
the time that the same number of FLOPs takes as float32 matrix products of 1024×1024 in the same run; ``of floor`` is
its share of the measured time. On one CPU thread, processor time is measured, which other jobs on the machine disturb
less than the clock; otherwise the clock. Every measurement has a process of its own, rounds of all contestants are
interleaved, and medians are shown. ``slowest/this`` compares with the slowest contestant. Memory is the peak above what
was held before fusing. Weights are random: neither time nor memory depends on them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import MODELS, create_model
from fusionbench.models.pairs.base import PairModel

HEIGHT, WIDTH = 480, 640


def contestants() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Presets of all registered networks of pairs, one for equal layers, and a variant."""
    found: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for name in MODELS.names():
        cls = MODELS.get(name)
        if not (isinstance(cls, type) and issubclass(cls, PairModel)):
            continue  # classical.py times the methods without layers
        shapes = set()
        for preset in cls.PRESETS:
            with torch.device("meta"):
                model = create_model(name, ImageSpec(1, HEIGHT, WIDTH, 2), preset)
            shape = tuple((key, tuple(value.shape)) for key, value in model.state_dict().items())
            if shape not in shapes:
                shapes.add(shape)
                found[f"{name} {preset}"] = (name, preset, {})
    found["dae-fuse paper, base=channel"] = ("dae-fuse", "paper", {"base": "channel"})
    return found


CONTESTANTS = contestants()


def build(name: str) -> Any:
    """A contestant with random weights, in evaluation mode."""
    model, preset, changes = CONTESTANTS[name]
    return create_model(model, ImageSpec(1, HEIGHT, WIDTH, 2), preset, **changes).eval()


def pair(device: str, height: int, width: int) -> Batch:
    """One made-up pair: smoothed noise, seeded."""
    views = torch.rand((1, 2, 1, height, width), generator=torch.Generator().manual_seed(0))
    views = torch.nn.functional.avg_pool3d(views, (1, 5, 5), 1, (0, 2, 2))
    return Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)).to(device)


def count_flops(name: str) -> float:
    """FLOPs of fusing one pair; nothing is computed. Attention is written out: not all fused kernels are counted."""
    with FakeTensorMode(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model, image = build(name), torch.empty(1, 1, HEIGHT, WIDTH)
        with FlopCounterMode(display=False) as counter:
            model.combine(image, image)
    return float(counter.get_total_flops())


def timed(function: Callable[[], Any], device: str) -> float:
    """Seconds of one call; processor time on one CPU thread, the clock with the queue drained on a GPU."""
    if device == "cpu" and torch.get_num_threads() == 1:
        begun = time.process_time()
        function()
        return time.process_time() - begun
    torch.cuda.synchronize() if device == "cuda" else None
    begun = time.perf_counter()
    function()
    torch.cuda.synchronize() if device == "cuda" else None
    return time.perf_counter() - begun


def seconds_per_flop(device: str) -> float:
    """Of float32 matrix products of 1024×1024, the best of five."""
    a, b = torch.rand(2, 1024, 1024, device=device)
    return min(timed(lambda: a @ b, device) for _ in range(5)) / (2 * 1024**3)


def measure_one(name: str, device: str) -> dict[str, float]:
    """Seconds, MiB beyond what was held before, and the machine's seconds per FLOP, for one fusion in this process."""
    model = build(name).to(device, memory_format=torch.channels_last)  # as a trained run is loaded
    model.fuse(pair(device, 64, 64))  # loads kernels
    batch, rate = pair(device, HEIGHT, WIDTH), seconds_per_flop(device)
    before = torch.cuda.memory_allocated() if device == "cuda" else peak_rss()
    torch.cuda.reset_peak_memory_stats() if device == "cuda" else None
    made: list[torch.Tensor] = []
    seconds = timed(lambda: made.append(model.fuse(batch)), device)
    after = torch.cuda.max_memory_allocated() if device == "cuda" else peak_rss()
    assert made[0].shape == (1, 1, HEIGHT, WIDTH) and torch.isfinite(made[0]).all()
    return {"seconds": seconds, "mib": (after - before) / 2**20, "rate": rate}


def peak_rss() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(repeats: int, device: str, names: list[str]) -> list[dict[str, Any]]:
    """One row per name: medians over rounds, each contestant in a process of its own."""
    work = {name: count_flops(name) for name in names}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            command = [sys.executable, "-W", "ignore", __file__, "--device", device, "--one", name]
            rounds[name].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    medians = {
        name: {key: statistics.median(row[key] for row in found) for key in found[0]} for name, found in rounds.items()
    }
    slowest = max(row["seconds"] for row in medians.values())
    rows = []
    for name, row in medians.items():
        rows.append(
            {
                "model": name,
                "parameters": sum(p.numel() for p in list(build(name).parameter_groups().values())[-1]),
                "gflop": work[name] / 1e9,
                "ms": 1000 * row["seconds"],
                "of_floor": work[name] * row["rate"] / row["seconds"],
                "slowest_over_this": slowest / row["seconds"],
                "peak_mib": row["mib"],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="default: all")
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if options.one:
        print(json.dumps(measure_one(options.one, options.device)))
        return
    rows = measure(options.repeats, options.device, options.models)
    setting = f"{options.device}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    print(f"one {WIDTH}x{HEIGHT} pair, {setting}, median of {options.repeats}")
    head = ("parameters", "GFLOP", "ms", "of floor", "slowest/this", "peak MiB")
    print(f"{'model':30} {head[0]:>10} {head[1]:>8} {head[2]:>9} {head[3]:>9} {head[4]:>13} {head[5]:>9}")
    for row in rows:
        print(
            f"{row['model']:30} {row['parameters']:10d} {row['gflop']:8.1f} {row['ms']:9.1f} "
            f"{row['of_floor']:9.2f} {row['slowest_over_this']:13.1f} {row['peak_mib']:9.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"device": options.device, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
