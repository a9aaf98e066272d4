"""Pairs of smooth texture on disk, and methods that are scored on them under ``pairs-robust``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.evaluation.evaluate import evaluate
from fusionbench.results.schema import Result
from tests.sources import folders

FEW: dict[str, Any] = {"families": ["shift/1", "gaussian-noise/1"], "severities": [2, 5]}
SHAPES = {"p1": (64, 80), "p2": (72, 60), "p3": (66, 66)}


def write_pairs(place: Path) -> Path:
    """Three pairs of different sizes, below ``a`` and ``b``."""
    rng = np.random.default_rng(3)
    for stem, shape in SHAPES.items():
        for side in ("a", "b"):
            rough = rng.integers(0, 256, shape).astype(np.float64)
            smooth = sum(np.roll(rough, (i, j), (0, 1)) for i in range(4) for j in range(4)) / 16
            smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
            folders.save(place / side / f"{stem}.png", smooth.astype(np.uint8))
    return place


def scored(method: Callable[..., Any], root: Path, **options: Any) -> Result:
    given: dict[str, Any] = {"protocol": "pairs-robust", "out": None, "device": "cpu"}
    return evaluate(method, "pairs", source_dir=root, **given, **{**FEW, **options})


def average(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.uint16) + b) // 2).astype(np.uint8)
