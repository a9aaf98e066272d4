"""Made images for metric tests, and the published evaluators' values on real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (61, 74)


def scene(seed: int = 0, shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fused, a, b), uint8 (H,W): waves, squares, a dark flat corner and noise; the fused one is a rough average."""
    rng = np.random.default_rng(seed)
    height, width = shape
    y, x = np.mgrid[:height, :width]
    a = 120 + 70 * np.sin(x / (4 + seed % 3)) + 30 * ((x // 9 + y // 7) % 2) + rng.normal(0, 9, shape)
    disc = np.hypot(x - width / 2, y - height / 2) < 15
    b = 90 + 60 * np.cos((x + 2 * y) / 11) + 60 * disc + rng.normal(0, 4, shape)
    b[-12:, -15:] = 20
    fused = 0.6 * a + 0.5 * b + rng.normal(0, 2, shape) - 10
    fused[-12:, -15:] = 30
    return tuple(np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in (fused, a, b))  # type: ignore[return-value]


def stacks(count: int = 3, shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fused, a, b), uint8 (count,H,W)."""
    return tuple(np.stack(images) for images in zip(*(scene(seed, shape) for seed in range(count)), strict=True))  # type: ignore[return-value]


def floats(*images: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same as float64."""
    return tuple(image.astype(np.float64) for image in images)


class Golden:
    """Published evaluators' values on six real triples, and the arrays that they scored."""

    def __init__(self, data: Path) -> None:
        self.folder = data.parent / "golden"
        self.rows = json.loads((self.folder / "golden.json").read_text())["rows"]

    def values(self, implementation: str, metric: str) -> dict[str, float]:
        """Case -> value of the implementation and metric whose names start like this."""
        return {
            row["case"]: row["value"]
            for row in self.rows
            if row["implementation"].startswith(implementation)
            and (row["metric"] == metric or row["metric"].startswith((f"{metric}(", f"{metric}[", f"{metric} [")))
            and row["value"] is not None
        }

    def images(self, case: str) -> list[np.ndarray]:
        """(fused, a, b), uint8 (1,H,W)."""
        return [np.asarray(Image.open(self.folder / case / f"{name}_gray.png"))[None] for name in "fab"]


def centre(image: np.ndarray, side: int = 64) -> np.ndarray:
    """The centre crop."""
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return image[..., top : top + side, left : left + side]
