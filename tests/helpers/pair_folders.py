"""Small folders of registered pairs of several sizes, and recipes for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.data.recipes import PairRecipe, parse_recipe

SIZES = ((40, 56), (64, 48), (33, 70), (48, 48), (40, 41))

TEXT = """
format = "fusionbench.recipe/1"
name = "small-pairs"
version = "1.0.0"
title = "small pairs"
shard_size = 2
[source]
name = "pairs"
[splits.train]
source = "all"
[pairs]
luma = "bt601/1"
[live]
algorithm = "crop-flip/1"
crop = [24, 32]
horizontal = true
vertical = true
"""
PATCHES = (
    TEXT.replace("shard_size = 2", "shard_size = 16")
    .replace('luma = "bt601/1"', 'luma = "bt601/1"\npatch = 16\nstride = 9\ncontrast = 0.1')
    .replace("crop = [24, 32]\n", "")
)


def recipe(text: str = TEXT) -> PairRecipe:
    found = parse_recipe(text.encode(), "small.toml")
    assert isinstance(found, PairRecipe)
    return found


def write(root: Path, sizes: tuple[tuple[int, int], ...] = SIZES, seed: int = 3) -> Path:
    """Pairs with smooth shades, noise and a flat corner; view b is in colour."""
    generator = np.random.default_rng(seed)
    for number, (height, width) in enumerate(sizes):
        shade = np.linspace(60, 250, width)[None] * np.linspace(0.5, 1, height)[:, None]
        a = np.clip(shade + generator.normal(0, 12, (height, width)), 0, 255).astype(np.uint8)
        b = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        a[:20, :20], b[-20:, -20:] = 128, 200
        for folder, picture in (("a", a), ("b", b)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / folder / f"scene {number}.png")
    return root
