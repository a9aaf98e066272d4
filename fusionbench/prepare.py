"""From source images to targets: the recipe's choice of images, crop, grey, resize and padding, all in 8-bit integers.

Only 8-bit AREA and LINEAR resizing is offered: these gave the same bits in every OpenCV release and configuration
that was compared, which cubic, Lanczos and all floating-point resizing did not.
"""

from __future__ import annotations

import numpy as np

from fusionbench.contracts import Source
from fusionbench.errors import DataError, UsageError
from fusionbench.recipes import ImageRule, Recipe, SplitRule


def chosen(rule: SplitRule, source: Source) -> np.ndarray:
    """Indices into the source's split that make up a split of the data set: int64 (n,), ascending.

    Raises:
        UsageError: the source lacks the split, or the labels that the rule needs.
        DataError: nothing is left.
    """
    if rule.source not in source.splits:
        have = ", ".join(source.splits)
        raise UsageError(f"The source {source.name!r} has no split {rule.source!r}; it has: {have}")
    indices = np.arange(source.length(rule.source))
    labels = source.labels(rule.source)
    if labels is None and (rule.per_class or rule.classes):
        raise UsageError(f"The source {source.name!r} has no classes; remove per_class and classes from the recipe")
    if rule.classes:
        indices = indices[np.isin(labels[indices], rule.classes)]  # type: ignore[index]
    if rule.every:
        if rule.per_class:
            rank = np.empty(len(indices), np.int64)
            for label in np.unique(labels[indices]):  # type: ignore[index]
                members = labels[indices] == label  # type: ignore[index]
                rank[members] = np.arange(np.count_nonzero(members))
        else:
            rank = np.arange(len(indices))
        held_out = rank % rule.every == rule.every - 1
        indices = indices[held_out if rule.part == "held-out" else ~held_out]
    indices = indices[: rule.first]
    if not len(indices):
        raise DataError(f"The source {source.name!r} has no image for a split made from {rule.source!r}")
    return indices.astype(np.int64)


def prepare(rule: ImageRule, images: np.ndarray) -> np.ndarray:
    """Targets of source ``images`` uint8 (n, h, w, c): uint8 (n, H, W) for one channel, else (n, H, W, 3).

    Raises:
        DataError: the images do not have the size that the recipe's crop and resize need.
    """
    import cv2

    if rule.crop is not None:
        top, left, height, width = rule.crop
        if top + height > images.shape[1] or left + width > images.shape[2]:
            raise DataError(
                f"source images of {images.shape[1]}×{images.shape[2]} are smaller than the recipe's image.crop needs"
            )
        images = images[:, top : top + height, left : left + width]
    channels = images.shape[3]
    if rule.channels == 1:
        images = grey(images)[..., None] if channels == 3 else images
    elif channels == 1:
        images = np.repeat(images, 3, axis=3)
    height, width = rule.height - 2 * rule.pad, rule.width - 2 * rule.pad
    if images.shape[1:3] != (height, width):
        if rule.resize is None:
            raise DataError(
                f"source images are {images.shape[1]}×{images.shape[2]}, the recipe wants {height}×{width} and has no "
                "image.resize"
            )
        how = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}[rule.resize]
        resized = [cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how) for image in images]
        images = np.stack(resized).reshape(len(images), height, width, -1)
    if rule.pad:
        images = np.pad(images, ((0, 0), (rule.pad, rule.pad), (rule.pad, rule.pad), (0, 0)))
    images = np.ascontiguousarray(images)
    return images[..., 0] if rule.channels == 1 else images


def grey(images: np.ndarray) -> np.ndarray:
    """Grey levels (77R + 150G + 29B + 128) >> 8 of uint8 (..., 3): uint8 (...)."""
    red, green, blue = (images[..., i].astype(np.uint16) for i in range(3))
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)


def targets_of(recipe: Recipe, source: Source, split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and source images of source ``indices`` of a split: uint8 (n, H, W[, 3]) and (n, h, w, c)."""
    raw = source.read(recipe.splits[split].source, indices)
    return prepare(recipe.image, raw), raw
