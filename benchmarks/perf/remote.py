"""Random batches of a data set behind a URL, once it is in the cache, against the same in a folder; and recipe shards.

    python benchmarks/perf/remote.py

The store is fsspec's memory, so arrival is the cost of checking, writing and making views, without a network.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fusionbench import open_dataset
from fusionbench.core import progress
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.data.upload import build_to_url

ROUNDS, BATCHES, SIZE = 15, 20, 256


def cpu(action: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    progress.QUIET = True
    recipe = load_recipe("fusiondigits")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FUSIONBENCH_CACHE"] = f"{scratch}/cache"
        folder = build_dataset(recipe, out=Path(scratch) / "data", jobs=1)
        whole, _ = build_to_url(recipe, None, "memory://whole", jobs=1)
        small, _ = build_to_url(recipe, None, "memory://small", jobs=1, form="targets")
        local, remote = open_dataset(folder), open_dataset(whole)
        arrived = cpu(lambda: [remote.arrays(split) for split in remote.splits])
        os.environ["FUSIONBENCH_CACHE"] = f"{scratch}/other"
        stripped = open_dataset(small)
        made = cpu(lambda: [stripped.arrays(split) for split in stripped.splits])
        rng = np.random.default_rng(0)
        wanted = [rng.integers(0, local.size("train"), SIZE) for _ in range(BATCHES)]
        times: dict[str, float] = {}
        for _ in range(ROUNDS):  # interleaved, so that a busy moment does not meet one of them alone
            for name, dataset in (("folder", local), ("cache", remote)):
                views = dataset.arrays("train").views
                taken = cpu(lambda views=views: [views[rows] for rows in wanted])
                times[name] = min(times.get(name, taken), taken)
        shards = {entry.file: entry for split in local.manifest.splits.values() for entry in split.shards}
        size = sum(entry.bytes for entry in shards.values())
        sent = sum(e.on_disk[0] for s in stripped.manifest.splits.values() for e in s.shards)
    views = sum(local.size(split) for split in local.splits) * local.spec.views
    print(f"random batches of {SIZE}: cache/folder {times['folder'] / times['cache']:.2f} of its speed")
    print(f"arrival of whole shards: {size / 1e6:.1f} MB, {size / 1e6 / arrived:,.0f} MB a CPU second")
    print(f"arrival of recipe shards: {sent / 1e6:.1f} MB ({sent / size:.2f}), {views / made:,.0f} views a CPU second")


if __name__ == "__main__":
    main()
