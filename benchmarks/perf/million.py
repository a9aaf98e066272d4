"""CPU time and memory of a build of a million masked samples, beside what ``plan`` expects.

    python benchmarks/perf/million.py [--samples 1000000] [--out FOLDER] [--json FILE]

The source has the 1,797 embedded digits over and over; the recipe is that of FusionDigits (32×32, three views), samples
in shards of 8,192. Needs 4.2 GB on the disk, which are removed at the end. One process plans, another one builds, and a
third looks at what was built; each tells its CPU seconds and the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.io import shipped_folder
from fusionbench.sources import SOURCES
from fusionbench.sources.digits import Digits

SHARD_SIZE = 8192


def register(samples: int) -> None:
    """``many-digits``: the digits repeated until there are so many."""

    @SOURCES.register("many-digits")
    class ManyDigits(Digits):
        name = "many-digits"
        title = "The digits over and over"

        def length(self, split: str) -> int:
            return samples

        def read(self, split: str, indices: np.ndarray) -> np.ndarray:
            return super().read(split, np.asarray(indices, np.int64) % 1797)

        def labels(self, split: str) -> np.ndarray | None:
            found = super().labels(split)
            return None if found is None else found[np.arange(samples) % 1797]


def recipe_text() -> str:
    text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text().partition("[expect]")[0]
    text = text.replace('name = "digits"', 'name = "many-digits"')
    return re.sub(r"shard_size = \d+", f"shard_size = {SHARD_SIZE}", text)


def child(step: str, samples: int, out: Path) -> None:
    """One step in this process; prints what it took."""
    from fusionbench.data.build import build_dataset
    from fusionbench.data.build_plan import plan_dataset
    from fusionbench.data.recipes import parse_recipe

    register(samples)
    recipe, found = parse_recipe(recipe_text().encode()), {}
    start = time.perf_counter()
    if step == "plan":
        plan = plan_dataset(recipe, out=out, jobs=1)
        found = {"estimated seconds": round(plan.seconds, 1), "estimated MB": round(plan.memory / 1e6)}
        found |= {"files": plan.files, "bytes": plan.bytes}
    else:
        build_dataset(recipe, out=out, jobs=1)  # "again": of a finished data set
    times = os.times()
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
    found |= {
        "wall s": round(time.perf_counter() - start, 1),
        "CPU s": round(sum(times[:4]), 1),
        "user s": round(times.user + times.children_user, 1),
        "peak MB": round(peak * 1024 / 1e6),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="folder for the data set, kept; a temporary one without")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        return child(options.step, options.samples, options.out)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        results: dict[str, dict[str, Any]] = {}
        for step in ("plan", "build", "again"):
            command = [sys.executable, __file__, "--step", step, "--samples", str(options.samples), "--out", str(out)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[step] = json.loads(done.stdout)
            print(f"{step:6}", ", ".join(f"{name} {value:,}" for name, value in results[step].items()), flush=True)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        print(f"{options.samples:,} samples, {size / 1e9:.2f} GB in {len(list(out.rglob('*.h5'))):,} shards")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
