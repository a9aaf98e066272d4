"""Small pairs for tests of fusing: in memory, and as folders of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

THERMAL = np.random.default_rng(0).integers(0, 256, (12, 17), dtype=np.uint8)
VISIBLE = np.random.default_rng(1).integers(0, 256, (12, 17, 3), dtype=np.uint8)
OWN = """
import torch

class Mine(torch.nn.Module):
    def __init__(self, spec, gain=1.0):
        super().__init__()
        self.gain = gain

    def fuse(self, batch):
        return (batch.views[:, 0] * self.gain).clamp(0, 1)

class Faulty(Mine):
    def fuse(self, batch):
        if batch.views.shape[-1] == 20:
            raise RuntimeError("no images of 20 pixels")
        return batch.views[:, 0] * (float("nan") if batch.views.shape[-1] == 21 else 1)

class Learner(Mine):
    def __init__(self, spec):
        super().__init__(spec)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def loss(self, batch, group, step):
        raise NotImplementedError

    def fuse(self, batch):
        return batch.views[:, 0] * 0 + self.weight
"""


def folders(root: Path, stems: tuple[str, ...] = ("one", "two", "wide"), kind: str = "png") -> tuple[Path, Path]:
    """``ir`` (grey) and ``vis`` (RGB) below ``root``; "wide" is of another size than the others."""
    rng = np.random.default_rng(2)
    for stem in stems:
        size = (9, 30) if stem == "wide" else (12, 17)
        for side, shape in (("ir", size), ("vis", (*size, 3))):
            (root / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / side / f"{stem}.{kind}")
    return root / "ir", root / "vis"


def pixels(path: Path) -> np.ndarray:
    """An image as Pillow reads it."""
    with Image.open(path) as image:
        return np.asarray(image)
