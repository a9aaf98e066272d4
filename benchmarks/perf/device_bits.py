"""Proves that a device makes the same bits as NumPy, and measures live views on it.

    python benchmarks/perf/device_bits.py [--device cuda] [--json FILE]

For each law the digest of the views of 2048 scattered samples in epochs 0 and 3 is made by NumPy and by torch on the
device; leaves with 1 when one differs. Live rates are of batches of 4096 samples in a row; on CUDA between events.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

from fusionbench.synth import Augment, Ellipses, MaskedViews, Noise, Overlays, OverlayViews

SAMPLES, BATCH, TURNS = 2048, 4096, 10


def laws() -> dict[str, MaskedViews | OverlayViews]:
    """The laws of the data sets, with a bank of cut-outs made of a pattern."""
    y, x = np.mgrid[0:32, 0:32] - 15.5
    alpha = np.clip(64 * (15 - np.hypot(y, x)), 0, 255)
    bank = np.stack([np.stack([alpha * (40 + 5 * i) / 255, alpha], -1) for i in range(40)]).astype(np.uint8)
    live = Augment(flip=True, rotate=True, scale=4, shift=4)
    return {
        "32×32×1, 2 ellipses, noise": MaskedViews(
            "bits", "train", 0, 32, 32, 1, 3, Ellipses(2, (5, 9)), Noise.of(0.25)
        ),
        "64×64×3, 4 ellipses, mirrored": MaskedViews(
            "bits", "train", 0, 64, 64, 3, 3, Ellipses(4, (0, 14)), live=Augment(flip=True)
        ),
        "64×64×1, 5–8 cut-outs, augmented": OverlayViews(
            "bits", "train", 0, 64, 64, 1, 3, Overlays((5, 8), scale=4), bank, live
        ),
    }


def targets_of(maker: MaskedViews | OverlayViews, count: int) -> np.ndarray:
    shape = (count, maker.height, maker.width) + ((maker.channels,) if maker.channels > 1 else ())
    return (np.arange(np.prod(shape), dtype=np.int64) * 7919 % 65521 % 256).astype(np.uint8).reshape(shape)


def make(maker: MaskedViews | OverlayViews, targets: object, samples: object, epoch: int) -> object:
    return maker.make_views(maker.augmented(targets, samples, epoch), samples, epoch)


def digest(maker: MaskedViews | OverlayViews, device: str | None) -> str:
    targets, samples = targets_of(maker, SAMPLES), np.random.default_rng(0).permutation(60_000)[:SAMPLES]
    state = hashlib.sha256()
    for epoch in (0, 3):
        if device is None:
            views = make(maker, targets, samples, epoch)
        else:
            made = make(maker, torch.from_numpy(targets).to(device), torch.from_numpy(samples).to(device), epoch)
            views = made.cpu().numpy()  # type: ignore[attr-defined]
        state.update(np.ascontiguousarray(views).data)
    return state.hexdigest()


def rate(maker: MaskedViews | OverlayViews, device: str) -> float:
    """Views/s of live batches, everything on the device; the best of several."""
    count = BATCH if device != "cpu" else BATCH // 8
    targets = torch.from_numpy(targets_of(maker, count)).to(device)
    samples = torch.randperm(60_000)[:count].to(device)
    best = float("inf")
    for turn in range(TURNS if device != "cpu" else 3):
        if device == "cpu":
            start = time.perf_counter()
            make(maker, targets, samples, turn + 1)
            seconds = time.perf_counter() - start
        else:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            make(maker, targets, samples, turn + 1)
            end.record()
            torch.cuda.synchronize()
            seconds = begin.elapsed_time(end) / 1000
        best = min(best, seconds) if turn else best  # the first turn warms up
    return count * maker.views / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="write digests and rates to this file")
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU ({platform.machine()})"
    print(f"{name}, torch {torch.__version__}, NumPy {np.__version__}")
    rows = []
    for law, maker in laws().items():
        here, there = digest(maker, None), digest(maker, device)
        speed = rate(maker, device)
        verdict = "same bits" if here == there else "DIFFERENT"
        print(f"  {law:34} {there[:16]}  {verdict}  {speed:14,.0f} live views/s")
        rows.append({"law": law, "numpy": here, "device": there, "same": here == there, "views_per_second": speed})
    if arguments.json:
        arguments.json.write_text(json.dumps({"device": name, "rows": rows}, indent=1) + "\n")
    sys.exit(0 if all(row["same"] for row in rows) else 1)


if __name__ == "__main__":
    main()
