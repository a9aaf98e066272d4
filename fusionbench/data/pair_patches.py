"""Registered pairs as samples: whole, or as patches on a grid without those of hardly any contrast.

The grid and the test are those of CDDFuse's training script: corners at multiples of the stride, as far as patches fit;
a patch is left out when (P90 − P10)/P90 of *either* view is below the limit, percentiles interpolated linearly. Here
all of it is in integers, so that every machine keeps the same patches; and a view that is black at its 90th percentile
has no contrast, where the script's 0/0 kept such patches.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.interfaces import Source
from fusionbench.core.io import digest
from fusionbench.data.degrade_rules import CHOICE, CLEAN
from fusionbench.data.pair_recipes import PARTS, PairRecipe
from fusionbench.data.preprocessing import Trial, pixels_digest, select_indices
from fusionbench.data.source_files import need_pairs

_BLOCK = 16  # pairs that are decoded at once


def grid(height: int, width: int, patch: int, stride: int) -> np.ndarray:
    """Top and left of every patch of an image: int64 (n, 2), row by row; empty where it is smaller than a patch."""
    tops, lefts = (np.arange(0, max(side - patch + 1, 0), stride) for side in (height, width))
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2).astype(np.int64)


def tenths(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ten times the 10th and the 90th percentile of each of uint8 images (n, h, w), exactly: int64 (n,).

    The percentile q of m sorted values is at place q·(m-1), between two of them by linear interpolation, which is
    what ``numpy.percentile`` does in floating point. Values are counted, which is faster than sorting them.
    """
    import cv2

    # whole numbers in float32, which has them up to 2^24: a patch of 4096×4096
    counts = np.array([cv2.calcHist([image], [0], None, [256], [0, 256]).ravel() for image in images], np.int64)
    below = counts.reshape(-1, 256).cumsum(axis=1)
    last = images[0].size - 1 if len(images) else 0
    found = []
    for share in (1, 9):
        place, rest = divmod(share * last, 10)
        low, high = ((below <= at).sum(axis=1) for at in (place, min(place + 1, last)))
        found.append(10 * low + rest * (high - low))
    return found[0], found[1]


def has_contrast(patches: np.ndarray, limit: int) -> np.ndarray:
    """Whether uint8 patches (..., h, w) reach ``limit`` thousandths of contrast, (P90 − P10)/P90: bool (...)."""
    if limit == 0:
        return np.ones(patches.shape[:-2], bool)
    low, high = tenths(patches.reshape(-1, *patches.shape[-2:]))
    result: np.ndarray = ((high > 0) & ((high - low) * PARTS >= limit * high)).reshape(patches.shape[:-2])
    return result


def cut_patches(pair: np.ndarray, corners: np.ndarray, patch: int) -> np.ndarray:
    """Patches of a pair (2, h, w) at ``corners`` (n, 2): uint8 (n, 2, patch, patch)."""
    out = np.empty((len(corners), len(pair), patch, patch), np.uint8)
    for made, (top, left) in zip(out, corners.tolist(), strict=True):
        made[:] = pair[:, top : top + patch, left : left + patch]
    return out


class PairBuilder:
    """Pairs; the index has the number of the pair in the source's split, and for patches also top and left."""

    def __init__(self, recipe: PairRecipe, source: Source) -> None:
        self.recipe, self.source = recipe, need_pairs(source)
        self._found: dict[str, list[np.ndarray]] = {}  # of patches: rows of the first so many blocks

    @property
    def noun(self) -> str:
        return "pairs"

    def sample_index(self, split: str) -> np.ndarray:
        if self.recipe.whole:
            return self._pairs(split)
        blocks, found = self.blocks(split), self._found.setdefault(split, [])
        found += [self.scan(split, block) for block in blocks[len(found) :]]
        rows = np.concatenate(found)
        if not len(rows):
            count, where = sum(map(len, blocks)), self.recipe.splits[split].source
            raise DataError(f"The {count} pairs of {where!r} have no patch that the recipe keeps")
        return rows

    def blocks(self, split: str) -> list[np.ndarray]:
        if self.recipe.whole:
            return []
        pairs = self._pairs(split)
        return [pairs[at : at + _BLOCK] for at in range(0, len(pairs), _BLOCK)]

    def merge(self, split: str, block: np.ndarray, rows: np.ndarray | None) -> None:
        self._found.setdefault(split, []).append(self.scan(split, block) if rows is None else rows)

    def scan(self, split: str, block: np.ndarray) -> np.ndarray:
        """The patches of the pairs ``block`` that are kept: int64 (n, 3), pair, top and left."""
        patch, stride = self._patch
        kept = [np.empty((0, 3), np.int64)]
        for number, pair in zip(block.tolist(), self._read(split, block), strict=True):
            height, width = pair.shape[1:]
            corners = grid(height, width, patch, stride)
            corners = corners[has_contrast(cut_patches(pair, corners, patch), self.recipe.contrast).all(axis=1)]
            kept.append(np.concatenate([np.full((len(corners), 1), number, np.int64), corners], axis=1))
        return np.concatenate(kept)

    def arrays(
        self, split: str, samples: np.ndarray, rows: np.ndarray, bank: np.ndarray | None = None
    ) -> tuple[dict[str, Any], str]:
        arrays: dict[str, Any] = {"index": np.asarray(samples, np.int64)}
        degrader = self.recipe.stored_degrader(split)
        if degrader is not None:
            arrays[CHOICE] = degrader.choice(arrays["index"])
        if self.recipe.whole:
            pairs = self._read(split, rows)
            arrays["shape"] = np.array([pair.shape[1:] for pair in pairs], np.int64)
            source_sha256 = digest(self._digests(split, rows, pairs))
            if degrader is not None:
                arrays[CLEAN] = pairs
                pairs = degrader.apply_each(pairs, arrays["index"], self._stems(split, rows))
            return arrays | {"views": pairs}, source_sha256
        patch, _ = self._patch
        numbers = np.unique(rows[:, 0])
        views = np.empty((len(rows), 2, patch, patch), np.uint8)
        digests: list[list[str]] = []
        for at in range(0, len(numbers), _BLOCK):
            block = numbers[at : at + _BLOCK]
            pairs = self._read(split, block)
            digests += self._digests(split, block, pairs)
            for number, pair in zip(block.tolist(), pairs, strict=True):
                mine = np.flatnonzero(rows[:, 0] == number)
                views[mine] = cut_patches(pair, rows[mine, 1:], patch)
        if degrader is not None:
            arrays[CLEAN], views = views, degrader.apply(views, arrays["index"])
        arrays |= {"views": views, "pair": rows[:, 0].copy(), "corner": rows[:, 1:].copy()}
        return arrays, digest(digests)

    def source_digest(self, split: str, rows: np.ndarray) -> str:
        numbers, found = rows if self.recipe.whole else np.unique(rows[:, 0]), []
        for at in range(0, len(numbers), _BLOCK):
            block = numbers[at : at + _BLOCK]
            found += self._digests(split, block, self._read(split, block))
        return digest(found)

    def cutouts(self, split: str) -> None:
        return None

    def occluders(self, split: str) -> NoReturn:
        raise ValueError(f"the split {split!r} has no occluders")

    def trials(self, split: str) -> list[Trial]:
        rule = self.recipe.splits[split]
        return [Trial(rule.source, self._pairs(split), partial(self.read, rule.source))]

    def read(self, source_split: str, numbers: np.ndarray) -> list[np.ndarray]:
        return list(self.source.read_pairs(source_split, numbers))

    def covered(self, split: str, arrays: dict[str, Any], bank: np.ndarray | None) -> list[int]:
        return []

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        return np.unique(rows[:, 0] if rows.ndim == 2 else rows)

    def facts(self, split: str, rows: np.ndarray) -> dict[str, Any]:
        """``stems``: names of the shard's pairs, in their order; of patches every pair once."""
        return {"stems": self._stems(split, self.numbers(rows) if rows.ndim == 2 else rows)}

    @property
    def _patch(self) -> tuple[int, int]:
        rule = self.recipe.pairs
        assert rule.patch is not None and rule.stride is not None  # checked when the recipe was read
        return rule.patch, rule.stride

    def _pairs(self, split: str) -> np.ndarray:
        rule = self.recipe.source
        return select_indices(self.recipe.splits[split], self.source, rule.leave_out, rule.group_by)

    def _read(self, split: str, pairs: np.ndarray) -> list[np.ndarray]:
        return self.read(self.recipe.splits[split].source, pairs)

    def _stems(self, split: str, pairs: np.ndarray) -> list[str]:
        stems = self.source.stems(self.recipe.splits[split].source)
        return [stems[number] for number in pairs.tolist()]

    def _digests(self, split: str, numbers: np.ndarray, pairs: list[np.ndarray]) -> list[list[str]]:
        """Name and digest of each pair."""
        return [[stem, pixels_digest([pair])] for stem, pair in zip(self._stems(split, numbers), pairs, strict=True)]
