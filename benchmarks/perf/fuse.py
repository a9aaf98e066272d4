"""Fusing a folder of pairs in colour, from files to files: ``fuse_files`` beside a loop that a user writes with OpenCV.

    python benchmarks/perf/fuse.py ROADSCENE_FOLDER [--limit 10] [--jobs 2]

Ours: the default method through ``fuse_files``, with its record of digests, metadata and colours that do not clip.
Theirs: imread, luma, fusion by guided filters (Li, Kang and Hu, IEEE TIP 22(7), 2013) written with ``cv2.boxFilter``,
because OpenCV's own guided filter is in its contrib modules, Cr and Cb of the visible image, imwrite, with as many
threads of OpenCV as there are jobs. Both run in this process, by the clock, in turns; the ratio is of the fastest of
each. The methods differ: this is about how long a user waits, not about one algorithm.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fusionbench.evaluation.fusing.folders import fuse_files
from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD
from fusionbench.sources.pairs import RoadScene


def guided(image: np.ndarray, guide: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """The guided filter of float32 (H,W) on [0,1] by box means."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    of_guide, of_image = mean(guide), mean(image)
    slope = (mean(guide * image) - of_guide * of_image) / (mean(guide * guide) - of_guide * of_guide + eps)
    return mean(slope) * guide + mean(of_image - slope * of_guide)


def fuse_by_guided_filter(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two scales, weights of the larger saliency refined by guided filters; float32 (H,W) on [0,1]."""
    sources = (a, b)
    bases = [cv2.blur(source, (31, 31)) for source in sources]
    salient = [cv2.GaussianBlur(np.abs(cv2.Laplacian(source, cv2.CV_32F)), (11, 11), 5) for source in sources]
    chosen = [(salient[0] >= salient[1]).astype(np.float32), (salient[0] < salient[1]).astype(np.float32)]
    fused = np.zeros_like(a)
    for radius, eps, layers in (
        (45, 0.3, bases),
        (7, 1e-6, [s - base for s, base in zip(sources, bases, strict=True)]),
    ):
        weights = [np.clip(guided(map_, s, radius, eps), 0, 1) for map_, s in zip(chosen, sources, strict=True)]
        total = weights[0] + weights[1] + 1e-12
        fused += (weights[0] * layers[0] + weights[1] * layers[1]) / total
    return np.clip(fused, 0, 1)


def by_opencv(pairs: list[tuple[Path, Path]], out: Path) -> int:
    """Fuse the pairs one after the other; how many were written."""
    out.mkdir(exist_ok=True)
    for a, b in pairs:
        thermal = cv2.imread(str(a), cv2.IMREAD_GRAYSCALE)
        visible = cv2.imread(str(b), cv2.IMREAD_COLOR)
        assert thermal is not None and visible is not None, (a, b)
        ycc = cv2.cvtColor(visible, cv2.COLOR_BGR2YCrCb)
        fused = fuse_by_guided_filter(thermal.astype(np.float32) / 255, ycc[..., 0].astype(np.float32) / 255)
        ycc[..., 0] = np.rint(255 * fused)
        assert cv2.imwrite(str(out / f"{b.stem}.png"), cv2.cvtColor(ycc, cv2.COLOR_YCrCb2BGR))
    return len(list(out.glob("*.png")))


def by_fusionbench(pairs: list[tuple[Path, Path]], root: Path, out: Path, jobs: int) -> int:
    """Fuse the same pairs from folders of links."""
    for number, side in enumerate(("ir", "vi")):
        (root / side).mkdir(exist_ok=True)
        for pair in pairs:
            link = root / side / pair[number].name
            if not link.exists():
                link.symlink_to(pair[number].resolve())
    done = fuse_files(root / "ir", root / "vi", out, jobs=jobs, device="cpu")
    assert not done.problems, done.problems
    return len(done.outputs)


def seconds(work: Callable[[], int], expected: int) -> float:
    begun = time.perf_counter()
    made = work()
    assert made == expected, f"{made} of {expected} images"
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of RoadScene, with ir and vi")
    parser.add_argument("--limit", type=int, help="the first pairs only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    found = RoadScene(options.folder).files("all")
    pairs = [(a, b) for a, b in list(found.values())[: options.limit]]
    cv2.setNumThreads(options.jobs)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        by_opencv(pairs[:2], root / "warm-cv")  # imports, plans of transforms, the disk's cache
        by_fusionbench(pairs[:2], root, root / "warm", options.jobs)
        for turn in range(options.rounds):
            theirs.append(seconds(lambda turn=turn: by_opencv(pairs, root / f"cv{turn}"), len(pairs)))  # type: ignore[misc]
            ours.append(
                seconds(lambda turn=turn: by_fusionbench(pairs, root, root / f"out{turn}", options.jobs), len(pairs))  # type: ignore[misc]
            )
    print(f"{len(pairs)} pairs of RoadScene in colour, files to files, seconds on the clock, {options.rounds} rounds")
    print(f"fusionbench fuse, {DEFAULT_METHOD}, {options.jobs} jobs   " + " ".join(f"{value:.2f}" for value in ours))
    print(f"OpenCV, guided filter, {options.jobs} threads   " + " ".join(f"{value:.2f}" for value in theirs))
    print(f"ratio of the fastest, ours over OpenCV: {min(ours) / min(theirs):.2f}")


if __name__ == "__main__":
    main()
