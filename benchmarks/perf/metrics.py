"""Time metrics on one 640×480 pair, and the eight of tables against a plain composition of public libraries.

    OMP_NUM_THREADS=1 python benchmarks/perf/metrics.py [--repeats 7] [--kernel numpy] [--json OUT]

Everything runs in one process on one core. The composition computes the same eight values (dialect ``cddfuse``)
the way the public evaluators do: full two-dimensional Gaussian windows by SciPy's ``convolve2d``, scikit-learn's
``mutual_info_score``, scikit-image's ``structural_similarity``, one source after the other. Values are checked to
be equal before anything is timed. ``--kernel`` says whether metrics use compiled code (the extra ``fast``). Rounds
of all contestants are interleaved, so that a busy machine slows all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity
from sklearn.metrics import mutual_info_score

from fusionbench.metrics.engine import SourcePair, available, score_images
from fusionbench.synth import kernel

HEIGHT, WIDTH = 480, 640


def scene(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fused, a, b) uint8: two smooth textures with edges and a weighted average of them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    sources = []
    for shift in (0.0, 1.7):
        waves = 60 * np.sin(x / (9 + shift)) * np.cos(y / 13 + shift) + 40 * (((x // 40) + (y // 30)) % 2)
        grain = cv2.GaussianBlur(rng.normal(0, 40, (height, width)), (0, 0), 1 + shift)
        sources.append(np.clip(110 + waves + grain, 0, 255).round().astype(np.uint8))
    a, b = sources
    return np.clip(0.55 * a + 0.5 * b - 8, 0, 255).round().astype(np.uint8), a, b


def composition(fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """The eight values, plainly."""
    f, a, b = (image.astype(np.float64) for image in (fused, a, b))
    p = np.bincount(f.astype(int).ravel(), minlength=256) / f.size
    p = p[p > 0]
    return {
        "en": float(-(p * np.log2(p)).sum()),
        "sd": float(f.std()),
        "sf": float(np.sqrt((np.diff(f, axis=1) ** 2).mean() + (np.diff(f, axis=0) ** 2).mean())),
        "mi": sum(mutual_info_score(f.astype(int).ravel(), s.astype(int).ravel()) for s in (a, b)),
        "scd": sum(np.corrcoef(x.ravel(), (f - other).ravel())[0, 1] for x, other in ((a, b), (b, a))),
        "vif": sum(plain_vif(s, f) for s in (a, b)),
        "qabf": plain_qabf(f, a, b),
        "ssim": sum(structural_similarity(f, s, data_range=2) for s in (a, b)),
    }


def plain_vif(reference: np.ndarray, distorted: np.ndarray) -> float:
    """Pixel-domain VIF with two-dimensional windows."""
    passed = available = 0.0
    for scale in range(1, 5):
        size = 2 ** (5 - scale) + 1
        taps = np.arange(size) - size // 2
        window = np.exp(-(taps[:, None] ** 2 + taps[None] ** 2) / (2 * (size / 5) ** 2))
        window /= window.sum()

        def smooth(image: np.ndarray, window: np.ndarray = window) -> np.ndarray:
            return convolve2d(image, window, mode="valid")

        if scale > 1:
            reference, distorted = smooth(reference)[::2, ::2], smooth(distorted)[::2, ::2]
        mean_r, mean_d = smooth(reference), smooth(distorted)
        var_r = np.maximum(smooth(reference**2) - mean_r**2, 0)
        var_d = np.maximum(smooth(distorted**2) - mean_d**2, 0)
        shared = smooth(reference * distorted) - mean_r * mean_d
        gain = shared / (var_r + 1e-10)
        rest = var_d - gain * shared
        flat = var_r < 1e-10
        gain[flat], rest[flat], var_r[flat] = 0, var_d[flat], 0
        dull = var_d < 1e-10
        gain[dull], rest[dull] = 0, 0
        negative = gain < 0
        rest[negative], gain[negative] = var_d[negative], 0
        rest = np.maximum(rest, 1e-10)
        passed += np.log10(1 + gain**2 * var_r / (rest + 2)).sum()
        available += np.log10(1 + var_r / 2).sum()
    return passed / available


def plain_qabf(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Edge preservation with two-dimensional Sobel masks."""

    def edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sx = convolve2d(image, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), mode="same")
        sy = convolve2d(image, np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]), mode="same")
        with np.errstate(divide="ignore", invalid="ignore"):
            angle = np.where(sx == 0, np.pi / 2, np.arctan(sy / sx))
        return np.sqrt(sx**2 + sy**2), angle

    strength_f, angle_f = edges(f)
    above = below = 0.0
    for source in (a, b):
        strength, angle = edges(source)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(strength > strength_f, strength_f / strength, strength / strength_f)
        ratio = np.where(strength == strength_f, strength_f, ratio)
        turn = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (turn - 0.8)))
        above, below = above + (quality * strength).sum(), below + strength.sum()
    return above / below


def interleaved(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each, taken in turns after one warm-up (one thread, so also its time alone)."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peers(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, Callable[[], object]]:
    """torchmetrics, piq and sewar for VIF, and the first two for SSIM, where they import."""
    found: dict[str, Callable[[], object]] = {}
    tf, ta, tb = (torch.from_numpy(image.astype(np.float64))[None, None] for image in (f, a, b))
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure, visual_information_fidelity

        found["torchmetrics vif"] = lambda: [visual_information_fidelity(tf, s) for s in (ta, tb)]
        found["torchmetrics ssim"] = lambda: [
            structural_similarity_index_measure(tf, s, data_range=255.0) for s in (ta, tb)
        ]
    except ImportError as error:
        print(f"torchmetrics not timed: {error}", file=sys.stderr)
    try:
        from piq import ssim, vif_p

        found["piq vif"] = lambda: [vif_p(tf, s, data_range=255.0) for s in (ta, tb)]
        found["piq ssim"] = lambda: [ssim(tf, s, data_range=255.0, downsample=False) for s in (ta, tb)]
    except (ImportError, RuntimeError) as error:  # beside a CPU-only torch its torchvision may not import
        print(f"piq not timed: {str(error).splitlines()[0]}", file=sys.stderr)
    try:
        from sewar.full_ref import vifp

        found["sewar vif"] = lambda: [vifp(s, f) for s in (a, b)]
    except ImportError as error:
        print(f"sewar not timed: {error}", file=sys.stderr)
    return found


def reading(images: Sequence[np.ndarray], folder: Path) -> Callable[[], object]:
    """The floor: decode three PNG files."""
    paths = [str(folder / f"{place}.png") for place in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(path, image)
    return lambda: [cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in paths]


def peak_mb(height: int, width: int, batch: int) -> float:
    """Peak MB allocated while scoring ``batch`` pairs, beyond the images themselves (NumPy's and OpenCV's arrays)."""
    images = [np.repeat(image[None], batch, 0) for image in scene(height, width)]
    tracemalloc.start()
    score_images(*images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def cuda_rate(f: np.ndarray, a: np.ndarray, b: np.ndarray, metrics: list[str] | None, batch: int = 8) -> float:
    """Pairs a second on the first CUDA device, after values were compared to the CPU's."""
    expected = score_images(f[None], a[None], b[None], metrics)
    stacks = [torch.from_numpy(image).cuda()[None].repeat(batch, 1, 1) for image in (f, a, b)]
    found = score_images(*stacks, metrics)
    worst = max(abs(float(found[name][-1]) / float(value[0]) - 1) for name, value in expected.items())
    if worst > 1e-9:
        sys.exit(f"CUDA's values differ by {worst:.1e} relative")
    for _ in range(2):
        score_images(*stacks, metrics)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(10):
        score_images(*stacks, metrics)
    torch.cuda.synchronize()
    return 10 * batch / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--kernel", choices=kernel.CHOICES, default="numba" if kernel.installed() else "numpy")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ[kernel.VARIABLE] = options.kernel
    print(f"kernel: {options.kernel}")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    f, a, b = scene()
    small = [image[None] for image in scene(41, 41)]
    stacks = [image[None] for image in (f, a, b)]

    theirs, ours = composition(f, a, b), score_images(*stacks, dialect="cddfuse")
    worst = max(abs(float(ours[name][0]) - value) / abs(value) for name, value in theirs.items())
    if worst > 1e-9:
        sys.exit(f"values differ by {worst:.1e} relative; timing them against each other would mean nothing")

    lists: dict[str, list[str] | None] = {"table": None, "all": ["all"]}
    methods = [np.clip(f.astype(int) + shift, 0, 255).astype(np.uint8)[None] for shift in range(-12, 13)]
    contestants: dict[str, Callable[[], object]] = {
        "ours, cddfuse": lambda: score_images(*stacks, dialect="cddfuse"),
        "ours, standard/1": lambda: score_images(*stacks),
        "ours, all of standard/1": lambda: score_images(*stacks, metrics=["all"]),
        "composition": lambda: composition(f, a, b),
        "ours vif": lambda: score_images(*stacks, metrics=["vif"]),
        "ours ssim": lambda: score_images(*stacks, metrics=["ssim"]),
        **peers(f, a, b),
        "25 methods, separate": lambda: [score_images(m, *stacks[1:]) for m in methods],
        "25 methods, one pair": lambda: _together(methods, *stacks[1:]),
        "smallest images, table": lambda: score_images(*small),
    }
    each = {f"ours {name}": lambda name=name: score_images(*stacks, metrics=[name]) for name in available()}
    contestants = each | contestants
    with tempfile.TemporaryDirectory() as folder:
        contestants["read three PNG"] = reading((f, a, b), Path(folder))
        seconds = interleaved(contestants, options.repeats)
    seconds |= interleaved(
        {
            f"5 methods, {what}, {how}": lambda run=run, chosen=chosen: run(methods[::5], *stacks[1:], chosen)
            for what, chosen in lists.items()
            for how, run in (("separate", _apart), ("one pair", _together))
        },
        2,
    )
    for side in (1, 2):
        h, w = HEIGHT * side, WIDTH * side
        images = [image[None] for image in scene(h, w)]
        for batch in (1, 4):
            many = [np.repeat(image, batch, 0) for image in images]
            seconds[f"standard/1, {w}×{h}, batch {batch}"] = interleaved({"": lambda m=many: score_images(*m)}, 3)[""]

    for name, value in seconds.items():
        print(f"{name:36s} {value * 1e3:9.2f} ms")
    ratios = {
        "composition / ours (cddfuse, equal values)": seconds["composition"] / seconds["ours, cddfuse"],
        "25 methods: one pair / separate": seconds["25 methods, one pair"] / seconds["25 methods, separate"],
        "ours (standard/1) / reading three PNG": seconds["ours, standard/1"] / seconds["read three PNG"],
    }
    for what in lists:
        name = f"5 methods, {what}"
        ratios[f"{name}: one pair / separate"] = seconds[f"{name}, one pair"] / seconds[f"{name}, separate"]
    for name in ("fmi", "fmi_dct", "fmi_wavelet", "fmi_edge", "qp"):
        ratios[f"{name} / all of standard/1"] = seconds[f"ours {name}"] / seconds["ours, all of standard/1"]
    for peer in ("torchmetrics", "piq", "sewar"):
        for metric in ("vif", "ssim"):
            if f"{peer} {metric}" in seconds:
                ratios[f"{peer} / ours, {metric}"] = seconds[f"{peer} {metric}"] / seconds[f"ours {metric}"]
    memory = {
        f"{w}×{h}, batch {n}": peak_mb(h, w, n)
        for h, w, n in ((480, 640, 1), (480, 640, 8), (960, 1280, 1), (1920, 2560, 1))
    }
    for name, value in ratios.items():
        print(f"{name:44s} {value:7.2f}")
    for name, value in memory.items():
        print(f"peak memory beyond the images, {name:20s} {value:7.1f} MB")
    print(f"largest relative difference to the composition {worst:.1e}")
    rates = {what: cuda_rate(f, a, b, chosen) for what, chosen in lists.items()} if torch.cuda.is_available() else {}
    for what, rate in rates.items():
        print(f"CUDA, {torch.cuda.get_device_name()}: {what}, {rate:.0f} pairs/s of 640×480")
    if not rates:
        print("CUDA: no device here, not measured")
    if options.json:
        from fusionbench.core.io import write_json

        content = {"seconds": seconds, "ratios": ratios, "peak_mb": memory, "worst": worst, "cuda_per_second": rates}
        write_json(options.json, content, indent=1)


def _apart(
    methods: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray, metrics: list[str] | None = None
) -> list[dict[str, np.ndarray]]:
    return [score_images(method, a, b, metrics) for method in methods]


def _together(
    methods: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray, metrics: list[str] | None = None
) -> list[dict[str, np.ndarray]]:
    pair = SourcePair(a, b, metrics)
    return [pair.score(method) for method in methods]


if __name__ == "__main__":
    main()
