"""Builds samples from a recipe and a source: the only place where stored data come from.

Every kind of recipe has one class with the same interface, so that building, planning, verifying and showing single
samples do not depend on the kind: :class:`ViewsMaker` for targets with views,
:class:`fusionbench.data.pair_patches.PairMaker` for registered pairs.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fusionbench.core.io import digest
from fusionbench.core.types import Source
from fusionbench.data.pair_patches import PairMaker
from fusionbench.data.pair_recipes import PairRecipe
from fusionbench.data.preprocessing import chosen, cutouts_of, targets_of, views_of
from fusionbench.data.recipes import AnyRecipe, Recipe


class Maker(Protocol):
    """Builds the samples of one recipe from one source."""

    @property
    def source(self) -> Source: ...

    def rows(self, split: str) -> np.ndarray:
        """Index of the source images of each sample of a split: int64 (n,) or (n, k). May read every image.

        Raises:
            UsageError, DataError: the source lacks the split, or nothing is left of it.
        """
        ...

    def blocks(self, split: str) -> list[np.ndarray]:
        """Parts of the source that :meth:`rows` has to read; none where it need not read any."""
        ...

    def look(self, split: str, block: np.ndarray) -> np.ndarray:
        """The rows of one block. A pure function of recipe and source."""
        ...

    def learn(self, split: str, block: np.ndarray, rows: np.ndarray | None) -> None:
        """Merge the index that a worker computed for the next block of a split; None: compute it here."""
        ...

    def arrays(
        self, split: str, samples: np.ndarray, rows: np.ndarray, bank: np.ndarray | None = None
    ) -> tuple[dict[str, Any], str]:
        """The arrays of ``samples`` (n,) of a split, and the sha256 of the source images of these samples.

        Args:
            rows: those of the samples.
            bank: the split's cut-outs where views have overlays.

        Images of different sizes are a list where others are an array (:func:`fusionbench.data.shards.ragged.pack`).
        """
        ...

    def covered(self, split: str, arrays: dict[str, Any], bank: np.ndarray | None) -> list[int]:
        """How many pixels of the targets are seen in the first 1, 2, … views; empty where views are not made."""
        ...

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """The images or pairs of the source that rows need: int64, each once, ascending."""
        ...

    def facts(self, split: str, rows: np.ndarray) -> dict[str, Any]:
        """Entries of a shard's header for these rows, beyond those of every header."""
        ...


class ViewsMaker:
    """Targets with views; a row is the number of the target's image in the source's split."""

    def __init__(self, recipe: Recipe, source: Source) -> None:
        self.recipe, self.source = recipe, source

    def rows(self, split: str) -> np.ndarray:
        rule = self.recipe.source
        return chosen(self.recipe.splits[split], self.source, rule.leave_out, rule.group_by)

    def blocks(self, split: str) -> list[np.ndarray]:
        return []

    def look(self, split: str, block: np.ndarray) -> np.ndarray:
        return block

    def learn(self, split: str, block: np.ndarray, rows: np.ndarray | None) -> None:
        raise NotImplementedError("there are no blocks to learn of")

    def arrays(
        self, split: str, samples: np.ndarray, rows: np.ndarray, bank: np.ndarray | None = None
    ) -> tuple[dict[str, Any], str]:
        rule = self.recipe.splits[split]
        targets, source_sha256 = targets_of(self.recipe, self.source, split, rows)
        arrays = {"index": np.asarray(samples, np.int64), "targets": targets}
        if rule.views == "source":
            arrays["views"], views_sha256 = views_of(self.recipe, self.source, split, rows)
            source_sha256 = digest([source_sha256, views_sha256])
        else:
            maker = self.recipe.view_maker(split, bank)
            arrays["params"] = maker.params(samples)
            arrays["views"] = maker.views_of(targets, samples, params=arrays["params"])
        labels = self.source.labels(rule.source)
        if labels is not None:
            arrays["label"] = labels[rows]
        return arrays, source_sha256

    def covered(self, split: str, arrays: dict[str, Any], bank: np.ndarray | None) -> list[int]:
        return self.recipe.view_maker(split, bank).covered(arrays["params"]) if "params" in arrays else []

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        return np.unique(rows)

    def facts(self, split: str, rows: np.ndarray) -> dict[str, Any]:
        return {}


def maker_of(recipe: AnyRecipe, source: Source) -> Maker:
    """The maker of a recipe's kind.

    Raises:
        UsageError: a source that has not what the recipe needs.
    """
    return PairMaker(recipe, source) if isinstance(recipe, PairRecipe) else ViewsMaker(recipe, source)


def bank_of(recipe: AnyRecipe, source: Source, split: str) -> np.ndarray | None:
    """The cut-outs of a split, where the recipe has some."""
    if not isinstance(recipe, Recipe) or split not in recipe.banks:
        return None
    return cutouts_of(recipe, source, split)[0]["cutouts"]
