"""Degraded pairs a second on one core, beside loops with OpenCV and NumPy and beside one copy.

    python benchmarks/perf/degradations.py [--pairs 256] [--side 64] [--rounds 5]

Each family at severity 3, batches of 64×64 pairs in NumPy, against what people write for it: a loop over pictures with
``cv2.warpAffine``, ``cv2.remap``, ``cv2.filter2D``, ``cv2.imencode``, ``cv2.line``, ``cv2.ellipse`` and NumPy's
generator (imagecorruptions and Albumentations do so). The peers draw other numbers and round otherwise; their bits
differ between releases. Both take turns in one process, and the least processor time of a turn counts. The goal is
2,000 pairs a second for every family but flow.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from fusionbench.synth.degradations import DEGRADATIONS, degrade, list_degradations
from fusionbench.synth.degradations.silhouettes import drawn_bank

GOAL = 2000
Pair = np.ndarray
RNG = np.random.default_rng(0)
OBJECTS = drawn_bank()


def shift(pair: Pair) -> None:
    angle = RNG.uniform(0, 2 * np.pi)
    matrix = np.float32([[1, 0, 0.8 * np.cos(angle)], [0, 1, 0.8 * np.sin(angle)]])
    pair[0] = cv2.warpAffine(pair[0], matrix, pair[0].shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def affine(pair: Pair) -> None:
    height, width = pair[0].shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), RNG.uniform(-1, 1), RNG.uniform(0.99, 1.01))
    pair[0] = cv2.warpAffine(pair[0], matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def flow(pair: Pair) -> None:
    height, width = pair[0].shape
    field = [
        cv2.resize(RNG.uniform(-2.5, 2.5, (4, 4)).astype(np.float32), (width, height), interpolation=2) for _ in "xy"
    ]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    pair[0] = cv2.remap(pair[0], x + field[0], y + field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def gaussian(pair: Pair) -> None:
    pair[:] = np.clip(pair + RNG.normal(0, 3.2, pair.shape), 0, 255)


def poisson(pair: Pair) -> None:
    pair[1] = np.clip(RNG.poisson(pair[1] / 255 * 1650) / 1650 * 255, 0, 255)


def fixed_pattern(pair: Pair) -> None:
    made = np.clip(pair[0] + RNG.normal(0, 2.75, pair.shape[2]), 0, 255)
    dead = RNG.random(made.shape)
    made[dead < 0.0008], made[dead > 0.9992] = 0, 255
    pair[0] = made


def drift(pair: Pair) -> None:
    height, width = pair[0].shape
    offset = cv2.resize(RNG.uniform(-60, 60, (6, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    gain = 1 + RNG.normal(0, 0.04, (height, 1)) + RNG.normal(0, 0.04, (1, width))
    pair[0] = np.clip(pair[0] * gain + offset, 0, 255)


def blur(pair: Pair) -> None:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)).astype(np.float32)
    for view in pair:
        view[:] = cv2.filter2D(view, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def lowlight(pair: Pair) -> None:
    dark = pair[1] * 0.49
    pair[1] = np.clip(RNG.poisson(dark / 255 * 3940) / 3940 * 255 + RNG.normal(0, 0.36, dark.shape), 0, 255)


def haze(pair: Pair) -> None:
    height, width = pair[0].shape
    depth = cv2.resize(RNG.uniform(0, 1, (7, 7)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    left = np.exp(-2.4 * depth)
    pair[1] = np.clip(pair[1] * left + 220 * (1 - left), 0, 255)


def rain(pair: Pair) -> None:
    height, width = pair[0].shape
    layer = np.zeros((height, width), np.uint8)
    for _ in range(320 * height * width // 65536):
        x, y, length = int(RNG.integers(width)), int(RNG.integers(height)), int(RNG.integers(7, 15))
        cv2.line(layer, (x, y), (x + length // 4, y + length), 100, 1)
    pair[1] = pair[1] + (232.0 - pair[1]) * layer / 255


def block(pair: Pair) -> None:
    for view in pair:
        _, content = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, 51])
        view[:] = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


def occlude(pair: Pair) -> None:
    height, width = pair[0].shape
    for view in pair:
        for _ in range(3):
            centre, axes = (int(RNG.integers(width)), int(RNG.integers(height))), (int(RNG.integers(6, 10)),) * 2
            cv2.ellipse(view, centre, axes, 0, 0, 360, int(RNG.integers(256)), -1)


def cut_outs(pair: Pair) -> None:
    height, width = pair[0].shape
    for view in pair:
        for _ in range(3):
            thing = OBJECTS[int(RNG.integers(len(OBJECTS)))]
            turn = cv2.getRotationMatrix2D((127.5, 127.5), RNG.uniform(0, 360), 0.08)
            turn[:, 2] += [RNG.integers(width) - 127.5, RNG.integers(height) - 127.5]
            shade = cv2.warpAffine(thing, turn, (width, height), flags=cv2.INTER_NEAREST)
            dark, light = RNG.integers(0, 256, 2)
            view[shade > 0] = (dark + shade[shade > 0] / 255 * (light - dark)).astype(np.uint8)


def drop(pair: Pair) -> None:
    pair[int(RNG.integers(2)), -pair.shape[1] // 4 :] = 0


PEERS: dict[str, Callable[[Pair], None]] = {
    "shift/1": shift,
    "affine/1": affine,
    "flow/1": flow,
    "gaussian-noise/1": gaussian,
    "poisson/1": poisson,
    "fixed-pattern/1": fixed_pattern,
    "drift/1": drift,
    "blur/1": blur,
    "lowlight/1": lowlight,
    "haze/1": haze,
    "rain/1": rain,
    "block/1": block,
    "occlude/1": occlude,
    "occlude/2": cut_outs,
    "drop/1": drop,
}


def by_peer(clean: np.ndarray, peer: Callable[[Pair], None]) -> np.ndarray:
    made = clean.copy()
    for pair in made:
        peer(pair)
    return made


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    count, side = options.pairs, options.side
    y, x = np.mgrid[:side, :side]
    clean = (((2 * x + y) % 200 + 20)[None, None] + RNG.integers(0, 35, (count, 2, side, side))).astype(np.uint8)
    samples = np.arange(count)
    copied = min(seconds(lambda: [clean.copy() for _ in range(20)]) / 20 for _ in range(options.rounds))
    print(
        f"{count} pairs of {side}×{side}, severity 3, processor time of one core, the least of {options.rounds} rounds"
    )
    print(f"a copy of the batch: {count / copied:,.0f} pairs a second\n")
    print(f"{'family':18}{'pairs/s':>10}{'OpenCV, NumPy':>15}{'ratio':>8}   {GOAL:,} a second")
    for family in list_degradations():
        assert family in PEERS, f"no peer for {family}"
        given: dict[str, Any] = {"dataset": "perf", "split": "all", "samples": samples}
        ours, theirs = [], []
        degrade(clean, family, 3, **given)  # tables
        for turn in range(options.rounds):
            ours.append(seconds(partial(degrade, clean, family, 3, **given, epoch=turn)))
            theirs.append(seconds(partial(by_peer, clean, PEERS[family])))
        rate, other = count / min(ours), count / min(theirs)
        exempt = family.startswith("flow")
        verdict = "not asked for" if exempt else ("yes" if rate >= GOAL else "NO")
        print(f"{DEGRADATIONS.get(family).name:18}{rate:10,.0f}{other:15,.0f}{rate / other:8.2f}   {verdict}")


if __name__ == "__main__":
    main()
