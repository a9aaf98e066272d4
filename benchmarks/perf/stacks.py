"""Fusing one stack of exposures and one of planes of focus, beside OpenCV's exposure fusion and loops with OpenCV.

    OMP_NUM_THREADS=1 python benchmarks/perf/stacks.py [--repeats 5] [--views 3]

Stacks with a known truth are made of one free picture (scikit-image's coffee, CC0, grey, 400×600): exposures two stops
apart, planes of focus of a smooth depth. All get the same uint8 arrays, ours as the batch that it is fused from, in one
process and thread; rounds are interleaved, and the least processor time of each counts. Beside it, how near each comes
to the truth, since two methods are compared and not two programs for one of them. Peers:

* ``cv2.createMergeMertens`` with the weights that ours has: contrast and exposedness, no saturation of a grey stack;
* the same method as people write it: a loop over views and scales with ``cv2.pyrDown`` and ``cv2.pyrUp``;
* for focus, ``MergeMertens`` with contrast alone, and the loop that takes each pixel from the view with the largest
  smoothed Laplacian.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import create_model
from fusionbench.synth import DefocusViews, ExposureViews
from fusionbench.synth.defocus import SmoothDepth

Fuse = Callable[[np.ndarray], np.ndarray]
ROWS = {
    "exposures": ("exposure-fusion", "laplacian-pyramid", "average"),
    "focus": ("laplacian-pyramid", "guided-filter", "wavelet", "average"),
}


def target() -> np.ndarray:
    """One picture, uint8 (1, h, w)."""
    from skimage import data

    return cv2.cvtColor(data.coffee(), cv2.COLOR_RGB2GRAY)[None]


def stacks(views: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kind -> uint8 views (V, h, w) and their target (h, w)."""
    truth = target()
    height, width = truth.shape[1:]
    shape = ("perf", "test", 0, height, width, 1, views)
    makers = {"exposures": ExposureViews(*shape, step=8), "focus": DefocusViews(*shape, (6, 6), SmoothDepth(3))}
    return {kind: (maker.make_views(truth, np.array([0]))[0], truth[0]) for kind, maker in makers.items()}


def by_mertens(contrast: float, exposedness: float) -> Fuse:
    merge = cv2.createMergeMertens(contrast, 0.0, exposedness)
    return lambda views: np.squeeze(merge.process(list(views)))


def by_loop(views: np.ndarray) -> np.ndarray:
    """Exposure fusion of uint8 (V, h, w), float32 (h, w) in [0,1]."""
    images = [view.astype(np.float32) / 255 for view in views]
    weights = [np.abs(cv2.Laplacian(one, cv2.CV_32F)) * np.exp(-((one - 0.5) ** 2) / 0.08) + 1e-12 for one in images]
    total = np.sum(weights, axis=0)
    scales = int(np.log2(min(views.shape[1:])))
    fused: list[np.ndarray] = []
    for image, weight in zip(images, weights, strict=True):
        shares, steps = [weight / total], [image]
        for _ in range(scales):
            shares.append(cv2.pyrDown(shares[-1]))
            steps.append(cv2.pyrDown(steps[-1]))
        for place, (share, step) in enumerate(zip(shares, steps, strict=True)):
            coarse = steps[place + 1] if place < scales else None
            band = step if coarse is None else step - cv2.pyrUp(coarse, dstsize=step.shape[::-1])
            if len(fused) == place:
                fused.append(np.zeros_like(band))
            fused[place] += band * share
    made = fused[-1]
    for band in reversed(fused[:-1]):
        made = cv2.pyrUp(made, dstsize=band.shape[::-1]) + band
    return made


def by_sharpest(views: np.ndarray) -> np.ndarray:
    """Each pixel of the view with the largest smoothed Laplacian, float32 (h, w) in [0,1]."""
    sharp = [cv2.GaussianBlur(np.abs(cv2.Laplacian(view, cv2.CV_32F)), (0, 0), 4) for view in views]
    return np.take_along_axis(views, np.argmax(sharp, axis=0)[None], axis=0)[0].astype(np.float32) / 255


PEERS: dict[str, dict[str, Fuse]] = {
    "exposures": {"OpenCV MergeMertens": by_mertens(1, 1), "loop over views and scales": by_loop},
    "focus": {"OpenCV MergeMertens, contrast": by_mertens(1, 0), "loop, sharpest pixel": by_sharpest},
}


def by_row(name: str, views: np.ndarray) -> Fuse:
    """A row of ours, from uint8 views to float32 (h, w) in [0,1]."""
    count, height, width = views.shape
    model = create_model(name, ImageSpec(1, height, width, count))
    present, index = torch.ones(1, count, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)

    def fuse(given: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            batch = Batch(None, torch.from_numpy(given)[None, :, None].float() / 255, present, index)
            found: np.ndarray = model.fuse(batch)[0, 0].numpy()
        return found

    return fuse


def psnr(fused: np.ndarray, truth: np.ndarray) -> float:
    """Of the image as it is written, 8 bits."""
    levels = np.clip(np.round(255 * fused.astype(np.float64)), 0, 255)
    return float(10 * np.log10(255**2 / max(1e-12, ((levels - truth) ** 2).mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--views", type=int, default=3, help="pictures of a stack")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    cv2.setNumThreads(torch.get_num_threads())
    for kind, (views, truth) in stacks(options.views).items():
        ways = {**{name: by_row(name, views) for name in ROWS[kind]}, **PEERS[kind]}
        made = {name: way(views) for name, way in ways.items()}  # loads kernels and libraries
        least = dict.fromkeys(ways, float("inf"))
        for _ in range(options.repeats):
            for name, way in ways.items():
                begun = time.process_time()
                way(views)
                least[name] = min(least[name], time.process_time() - begun)
        peer = next(iter(PEERS[kind]))
        count, height, width = views.shape
        setting = f"{torch.get_num_threads()} thread(s), OpenCV {cv2.__version__}, torch {torch.__version__}"
        print(f"{kind}: {count} of {height}×{width}, {setting}, processor time, least of {options.repeats}")
        print(f"{'':32}{'ms':>8}{'MergeMertens / this':>24}{'PSNR to the truth':>22}")
        for name in ways:
            ratio = least[peer] / least[name]
            print(f"{name:32}{1000 * least[name]:8.1f}{ratio:24.2f}{psnr(made[name], truth):22.1f}")
        if kind == "exposures":
            apart = {name: float(np.abs(made["exposure-fusion"] - made[name]).mean()) for name in PEERS[kind]}
            said = ", ".join(f"{name} {gap:.4f}" for name, gap in apart.items())
            print(f"mean distance of exposure-fusion (levels of 0 to 1) from: {said}")
        print()


if __name__ == "__main__":
    main()
