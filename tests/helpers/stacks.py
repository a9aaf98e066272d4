"""Small data sets of stacks, as the shipped recipes for pictures of one's own make them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import Recipe, load_recipe

TASKS = ("multi-focus", "multi-exposure")
SIDE = 48


def write_pictures(folder: Path, count: int = 4) -> Path:
    """Noisy colour pictures of 48×48 pixels, brighter to the right."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.Philox(5))
    for number in range(count):
        ramp = np.arange(SIDE)[None, :, None] * 4 + rng.integers(0, 60, (SIDE, SIDE, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def small_recipe(task: str) -> Recipe:
    """The shipped recipe for a folder, with small images and every second picture for testing."""
    recipe = load_recipe(task)
    assert isinstance(recipe, Recipe)
    replace = msgspec.structs.replace
    splits = {name: replace(rule, every=2) for name, rule in recipe.splits.items()}
    image = replace(recipe.image, height=SIDE, width=SIDE)
    return replace(recipe, splits=splits, image=image, name=f"{task}-small")


def small_stacks(task: str, root: Path, count: int = 6) -> Path:
    """The folder of a data set of three stacks to train on and three to test on."""
    return build_dataset(small_recipe(task), write_pictures(root / "pictures", count), root / "data", jobs=1)
