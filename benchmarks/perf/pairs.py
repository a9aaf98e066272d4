"""Speed of data sets of registered pairs beside their floor, in one run, on one core.

    python benchmarks/perf/pairs.py [--source-dir ROADSCENE] [--json FILE]

Builds of whole pairs and of training patches, in this process, against decoding the same pictures with OpenCV and
nothing else; batches of 16 live crops of 128×128 against copying as many pixels. Without --source-dir, of the three
embedded pairs of pairs-demo, whose pictures are not decoded: their builds have no floor then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from fusionbench.core import progress
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe

REPEATS, BATCH = 3, 16


def shortest(functions: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Shortest run of each function in milliseconds; they take turns, so that a busy moment hits them all."""
    times: dict[str, float] = {}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name] = min(times.get(name, 1e9), 1000 * (time.perf_counter() - start))
    return times


def decode(source_dir: Path) -> None:
    """Decode every picture of the folder once."""
    for path in sorted((*source_dir.glob("ir/*"), *source_dir.glob("vi/*"))):
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def show(title: str, times: dict[str, float], floor: str | None) -> None:
    """A table with the ratio to the floor."""
    print(f"\n{title}\n  {'':34}{'ms':>10}{'of floor':>11}")
    for name, value in times.items():
        ratio = f"{value / times[floor]:10.3g}×" if floor is not None else ""
        print(f"  {name:34}{value:10.4g}{ratio}")


def builds(source_dir: Path | None, root: Path) -> dict[str, float]:
    """Milliseconds of whole builds, and of decoding."""
    name = "pairs-demo" if source_dir is None else "roadscene"

    def build(recipe: str) -> Callable[[], object]:
        return lambda: build_dataset(load_recipe(recipe), source_dir, root, force=True)

    jobs = {f"{name}, whole pairs": build(name), f"{name}-patches": build(f"{name}-patches")}
    if source_dir is not None:
        jobs["floor: decoding the pictures"] = lambda: decode(source_dir)
    times = shortest(jobs)
    show("Builds", times, "floor: decoding the pictures" if source_dir is not None else None)
    return times


def crops(name: str, root: Path) -> dict[str, float]:
    """Milliseconds of a batch of live crops of whole pairs."""
    dataset = open_dataset(name, root)
    split = dataset.splits[0]
    stream = dataset.stream(split)
    indices = np.arange(BATCH) % dataset.size(split)
    pixels = np.zeros((BATCH, 2, dataset.spec.height, dataset.spec.width), np.uint8)
    floor = "floor: a copy as float32"
    times = shortest(
        {
            "live crops and flips": lambda: stream.batch(indices, epoch=1),
            floor: lambda: pixels.astype(np.float32) / 255,
        },
        repeats=50,
    )
    show(f"A batch of {BATCH} pairs of {dataset.spec.height}×{dataset.spec.width}", times, floor)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-dir", type=Path, help="folder of RoadScene, with ir/ and vi/")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    progress.QUIET = True
    with tempfile.TemporaryDirectory() as folder:
        made = builds(arguments.source_dir, Path(folder))
        result = {
            "builds": made,
            "crops": crops("pairs-demo" if arguments.source_dir is None else "roadscene", Path(folder)),
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
