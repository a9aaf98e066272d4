"""Speed of the generator beside its peers and its floor, in one run, on one core.

    python benchmarks/perf/generate.py [--source-dir MNIST] [--json FILE]

Views: masks, noise and clipping of 32×32×1 (FusionMNIST's law) and 64×64×3 (FusionCelebA's masks with noise), by
fusionbench in NumPy, compiled by numba where that is installed, and in torch, by a loop over images with
``cv2.ellipse`` and ``standard_normal``, and by a loop with ``skimage.draw.ellipse``; the floor is one copy of the
output. Overlays of 5 to 8 cut-outs (FusionCOIL's law), beside a loop with ``cv2.warpAffine``. All of them take turns
in one process, and the least processor time of a turn counts. With --source-dir, whole builds of FusionMNIST too, by
the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.draw
import torch

from fusionbench.synth import Ellipses, MaskedViews, Noise, Overlays, OverlayViews, kernel

REPEATS = 9
# the command line, then the largest of the peaks of this process and the workers it waited for, in KiB
ENTRY = """
import re, resource
from fusionbench.cli import cli
cli(standalone_mode=False)
own = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def best(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Least processor time of each function in seconds; they take turns, so that a busy moment hits them all."""
    times: dict[str, float] = {}
    for turn in range(REPEATS + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if turn:  # the first turn warms up
                times[name] = min(times.get(name, 1e9), time.process_time() - start)
    return times


def opencv_loop(maker: MaskedViews, targets: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a script per image does: a random generator, OpenCV's ellipses, float noise, clip."""
    random = np.random.default_rng(seed)
    law, sigma = maker.ellipses, maker.noise.level / 256 if maker.noise else 0
    out = np.empty((len(targets), maker.views, *targets.shape[1:]), np.uint8)
    for i, target in enumerate(targets):
        for view in range(maker.views):
            mask = np.zeros(target.shape[:2], np.uint8)
            for _ in range(law.count):
                centre = random.integers(1, maker.height - 2, 2).tolist()
                radius = random.integers(law.radius[0], law.radius[1] + 1)
                e = random.random() + 0.5
                axes = (round(radius * e**0.5), round(radius / e**0.5))
                cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1)
            noisy = (target & (mask if target.ndim == 2 else mask[..., None])).astype(np.float32)
            noisy += sigma * random.standard_normal(target.shape, dtype=np.float32)
            out[i, view] = np.clip(noisy, 0, 255)
    return out


def skimage_loop(maker: MaskedViews, targets: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same with scikit-image's ellipses."""
    random = np.random.default_rng(seed)
    law, sigma = maker.ellipses, maker.noise.level / 256 if maker.noise else 0
    out = np.empty((len(targets), maker.views, *targets.shape[1:]), np.uint8)
    for i, target in enumerate(targets):
        for view in range(maker.views):
            mask = np.zeros(target.shape[:2], np.uint8)
            for _ in range(law.count):
                row, column = random.integers(1, maker.height - 2, 2)
                radius = random.integers(law.radius[0], law.radius[1] + 1)
                e = random.random() + 0.5
                inside = skimage.draw.ellipse(row, column, radius / e**0.5 + 0.1, radius * e**0.5 + 0.1, mask.shape)
                mask[inside] = 255
            noisy = (target & (mask if target.ndim == 2 else mask[..., None])).astype(np.float32)
            noisy += sigma * random.standard_normal(target.shape, dtype=np.float32)
            out[i, view] = np.clip(noisy, 0, 255)
    return out


def warp_loop(maker: OverlayViews, targets: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a script per image does for overlays: OpenCV's warp of colours and alpha on the canvas, a float blend."""
    random = np.random.default_rng(seed)
    law, size = maker.overlays, maker.bank.shape[1]
    out = np.empty((len(targets), maker.views, *targets.shape[1:]), np.uint8)
    for i, target in enumerate(targets):
        for view in range(maker.views):
            canvas = target.reshape(maker.height, maker.width, -1).astype(np.float32)
            for _ in range(random.integers(law.count[0], law.count[1] + 1)):
                cut = maker.bank[random.integers(len(maker.bank))]
                if law.flip and random.random() < 0.5:
                    cut = np.ascontiguousarray(cut[:, ::-1])
                scale = (size + random.integers(-law.scale, law.scale + 1)) / size
                middle = (size - 1) / 2
                matrix = cv2.getRotationMatrix2D((middle, middle), random.random() * 360, scale)
                matrix[:, 2] += random.integers(0, (maker.width, maker.height)) - middle
                front = cv2.warpAffine(cut, matrix, (maker.width, maker.height)).astype(np.float32)
                canvas = front[..., :-1] + canvas * (1 - front[..., -1:] / 255)
            out[i, view] = np.clip(canvas + 0.5, 0, 255).reshape(target.shape)
    return out


def soft_discs(channels: int, count: int = 100, size: int = 32) -> np.ndarray:
    """Round cut-outs of random colours with soft edges: uint8 (count, size, size, C+1)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = np.clip(255 * (size / 2 - np.hypot(y, x)), 0, 255)[None, ..., None].repeat(count, 0).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (count, size, size, channels)) * alpha // 255
    return np.concatenate([colours.astype(np.uint8), alpha], 3)


def by(name: str, function: Callable[[], object]) -> Callable[[], object]:
    """The function on one kernel of the generator."""

    def run() -> object:
        os.environ[kernel.VARIABLE] = name
        return function()

    return run


def measure(
    name: str, maker: MaskedViews | OverlayViews, count: int, slow_count: int, loops: dict[str, Callable[..., object]]
) -> dict[str, object]:
    """Rates in views per second of processor time of one law; the first of the loops is the one to compare with."""
    shape = (count, maker.height, maker.width) + ((maker.channels,) if maker.channels > 1 else ())
    targets = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    samples = np.arange(count)
    some = targets[:slow_count]
    tensors = torch.from_numpy(some), torch.from_numpy(samples[:slow_count])
    output = maker.make_views(targets, samples)
    copy = np.empty_like(output)
    kernels = {"fusionbench NumPy": "numpy"} | ({"fusionbench numba": "numba"} if kernel.installed() else {})
    jobs: dict[str, tuple[int, Callable[[], object]]] = {
        title: (count, by(chosen, lambda: maker.make_views(targets, samples))) for title, chosen in kernels.items()
    }
    jobs["fusionbench torch CPU"] = (slow_count, lambda: maker.make_views(*tensors))
    jobs |= {title: (slow_count, lambda loop=loop: loop(maker, some)) for title, loop in loops.items()}
    jobs["floor: copy of the output"] = (count, lambda: np.copyto(copy, output))
    seconds = best({key: function for key, (_, function) in jobs.items()})
    rates = {key: maker.views * jobs[key][0] / seconds[key] for key in jobs}
    peer = rates[next(iter(loops))]
    print(f"\n{name}, one core\n  {'':28}{'views/s':>14}{'by the loop':>14}")
    for key, rate in rates.items():
        print(f"  {key:28}{rate:14,.0f}{rate / peer:13.3g}×")
    return {"name": name, "views_per_second": rates, "ratios": {key: rate / peer for key, rate in rates.items()}}


def builds(source_dir: Path) -> list[dict[str, object]]:
    """FusionMNIST from the real IDX files to finished shards, by the command that users type."""
    rows: list[dict[str, object]] = []
    print("\nFusionMNIST, 70,000 targets × 3 views, files to finished shards")
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            command = [sys.executable, "-c", ENTRY, "-q", "generate", "fusionmnist"]
            command += ["--source-dir", str(source_dir), "--out", out, "--jobs", str(jobs)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.perf_counter() - start
        memory = int(done.stdout.split()[-1]) / 1024
        rate = 70_000 / seconds
        print(f"  --jobs {jobs}: {seconds:6.2f} s, {rate:10,.0f} images/s, largest process {memory:.0f} MB")
        rows.append({"jobs": jobs, "seconds": seconds, "images_per_second": rate, "largest_process_mb": memory})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-dir", type=Path, help="folder of the four MNIST files: measures whole builds as well")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    mnist = MaskedViews("perf", "train", 0, 32, 32, 1, 3, Ellipses(2, (5, 9)), Noise.of(0.25))
    celeba = MaskedViews("perf", "train", 0, 64, 64, 3, 3, Ellipses(4, (0, 14)), Noise.of(0.25))
    law = Overlays((5, 8), scale=4)
    grey, colour = (OverlayViews("perf", "train", 0, 64, 64, c, 3, law, soft_discs(c)) for c in (1, 3))
    ellipses = {"loop, OpenCV": opencv_loop, "loop, scikit-image": skimage_loop}
    warps = {"loop, OpenCV": warp_loop}
    result: dict[str, object] = {
        "views": [
            measure("32×32×1, 2 ellipses, noise", mnist, 2048, 256, ellipses),
            measure("64×64×3, 4 ellipses, noise", celeba, 512, 64, ellipses),
            measure("64×64×1, 5 to 8 cut-outs of 32×32", grey, 96, 16, warps),
            measure("64×64×3, 5 to 8 cut-outs of 32×32", colour, 96, 16, warps),
        ]
    }
    os.environ.pop(kernel.VARIABLE, None)
    if arguments.source_dir:
        result["builds"] = builds(arguments.source_dir)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
