"""What it is worth to keep freed memory (``core/allocator.py``): networks on one CPU thread, with and without.

    OMP_NUM_THREADS=1 python benchmarks/perf/allocator.py [--repeats 3] [--models NAME …] [--json OUT]

Networks of pairs fuse one 640×480 pair, the third time in a process: what the first two freed can be used again. Small
presets train a step of phase 1 on eight patches of 96×96, the median of the third to the seventh. Processor time;
every measurement has a process of its own, both ways take turns, medians over rounds. ``MiB`` is the most that the
process held, libraries included. Weights are random: neither time nor memory depends on them. What is fused and
learnt is the same to the bit, which is checked. The floor is the time without any page fault of the system's: its
share of the processor time (``system``) is what an allocator can save at most.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pair_models
import torch

from fusionbench.core.allocator import keep_freed_memory
from fusionbench.core.io import digest
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model

FUSES = [
    "ifcnn paper",
    "seafusion paper",
    "datfuse paper",
    "didfuse paper",
    "tardal paper",
    "densefuse paper",
    "mfeif public-code",
    "mfeif small",
    "dae-fuse small",
]
TRAINS = ["mfeif small", "dae-fuse small", "seafusion paper"]
BATCH, PATCH = 8, 96


def clocks() -> tuple[float, float]:
    """Seconds of this process: processor time, and the system's share of it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_stime


def fuse_once(name: str) -> tuple[Any, list[tuple[float, float]]]:
    """What the model makes of a pair, and the clocks around three fusions."""
    model = pair_models.build(name).to(memory_format=torch.channels_last)
    batch, times = pair_models.pair("cpu", pair_models.HEIGHT, pair_models.WIDTH), [clocks()]
    for _ in range(3):
        fused = model.fuse(batch)
        times.append(clocks())
    return fused, times


def train_steps(name: str) -> tuple[Any, list[tuple[float, float]]]:
    """A parameter after seven steps, and the clocks around each."""
    model, preset = name.split()
    torch.manual_seed(0)
    network: Any = create_model(model, ImageSpec(1, PATCH, PATCH, 2), preset).to(memory_format=torch.channels_last)
    network.train().plan(100, 0)
    group = next(iter(network.parameter_groups()))
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)
    a, b = torch.rand((2, BATCH, 1, PATCH, PATCH), generator=torch.Generator().manual_seed(0))
    times = [clocks()]
    for step in range(7):
        optimiser.zero_grad()
        network.loss_of_phase(a, b, group, 1, step).total.backward()
        optimiser.step()
        times.append(clocks())
    return torch.cat([p.detach().flatten() for p in network.parameters()]), times


def measure_one(work: str, name: str, keep: bool) -> dict[str, Any]:
    """One measurement, in this process."""
    if keep and not keep_freed_memory():
        raise SystemExit("this allocator cannot be told to keep memory")
    torch.manual_seed(0)
    made, times = fuse_once(name) if work == "fuse" else train_steps(name)
    spent = [(after[0] - before[0], after[1] - before[1]) for before, after in itertools.pairwise(times)][2:]
    return {
        "ms": 1000 * statistics.median(total for total, _ in spent),
        "system": sum(system for _, system in spent) / sum(total for total, _ in spent),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "digest": digest(made.numpy().tobytes().hex()),
    }


def measure(repeats: int, names: list[str]) -> list[dict[str, Any]]:
    """A row for each network and kind of work."""
    rows = []
    for work, name in [("fuse", n) for n in FUSES if n in names] + [("train", n) for n in TRAINS if n in names]:
        rounds: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        for _ in range(repeats):
            for keep in (False, True):
                command = [sys.executable, "-W", "ignore", __file__, "--one", work, name, "keep" if keep else "plain"]
                rounds[keep].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        assert len({found["digest"] for both in rounds.values() for found in both}) == 1, f"{name}: other bits"
        row: dict[str, Any] = {"work": work, "model": name}
        for keep, prefix in ((False, "plain"), (True, "kept")):
            for key in ("ms", "system", "mib"):
                row[f"{prefix}_{key}"] = statistics.median(found[key] for found in rounds[keep])
        rows.append(row)
    return rows


def show(row: dict[str, Any]) -> str:
    """A line of the table."""
    cells = [f"{row['work']:<6}{row['model']:<20}", f"{row['plain_ms']:>9.0f}", f"{row['kept_ms']:>8.0f}"]
    cells += [f"{row['plain_ms'] / row['kept_ms']:>7.2f}", f"{row['plain_system']:>8.2f}"]
    cells.append(f"{row['kept_system']:>7.2f}")
    return "".join(cells) + f"{row['plain_mib']:>11.0f}{row['kept_mib']:>10.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=[*FUSES, *TRAINS], help="default: all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if given.one:
        work, name, way = given.one
        print(json.dumps(measure_one(work, name, way == "keep")))
        return
    begun = time.perf_counter()
    threads = torch.get_num_threads()
    print(f"640x480 pairs, {BATCH} patches of {PATCH}x{PATCH}; {threads} thread(s), torch {torch.__version__}")
    print("work  model                plain ms kept ms  ratio  system   kept  plain MiB  kept MiB")
    rows = measure(given.repeats, given.models)
    for row in rows:
        print(show(row), flush=True)
    print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
