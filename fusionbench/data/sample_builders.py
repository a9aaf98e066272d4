"""Builds samples from a recipe and a source: the only place where stored data come from.

Every kind of recipe has one class with the same interface, so that building, planning, verifying and showing single
samples do not depend on the kind: :class:`ViewBuilder` for targets with views,
:class:`fusionbench.data.pair_patches.PairBuilder` for registered pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from fusionbench.core.interfaces import Source, has_files
from fusionbench.core.io import digest
from fusionbench.data.pair_patches import PairBuilder
from fusionbench.data.preprocessing import (
    Cutouts,
    Trial,
    build_cutouts,
    build_source_views,
    build_targets,
    cut_out,
    pixels_digest,
    prepare,
    read_images,
    select_indices,
    select_occluders,
)
from fusionbench.data.recipes import AnyRecipe, Recipe


class SampleBuilder(Protocol):
    """Builds the samples of one recipe from one source."""

    @property
    def source(self) -> Source: ...

    @property
    def noun(self) -> str:
        """What the source has, for messages: ``files``, ``images`` or ``pairs``."""
        ...

    def sample_index(self, split: str) -> np.ndarray:
        """Index of the source images of each sample of a split: int64 (n,) or (n, k). May read every image.

        Raises:
            UsageError, DataError: the source lacks the split, or nothing is left of it.
        """
        ...

    def blocks(self, split: str) -> list[np.ndarray]:
        """Parts of the source that :meth:`sample_index` has to read; none where it need not read any."""
        ...

    def scan(self, split: str, block: np.ndarray) -> np.ndarray:
        """The rows of one block. A pure function of recipe and source."""
        ...

    def merge(self, split: str, block: np.ndarray, rows: np.ndarray | None) -> None:
        """Merge the index that a worker computed for the next block of a split; None: compute it here."""
        ...

    def arrays(
        self, split: str, samples: np.ndarray, rows: np.ndarray, bank: np.ndarray | None = None
    ) -> tuple[dict[str, Any], str]:
        """The arrays of ``samples`` (n,) of a split, and the sha256 of the source images of these samples.

        Args:
            rows: those of the samples.
            bank: the split's cut-outs where views have overlays.

        Images of different sizes are a list where others are an array; see
        :func:`fusionbench.data.shards.ragged.pack_arrays`.
        """
        ...

    def source_digest(self, split: str, rows: np.ndarray) -> str:
        """The sha256 of the source images of rows, as :meth:`arrays` gives it; nothing is made of them."""
        ...

    def cutouts(self, split: str) -> Cutouts | None:
        """The bank of cut-outs of a split, see :func:`fusionbench.data.preprocessing.build_cutouts`; None without one.

        Raises:
            UsageError, DataError: nothing can be cut.
        """
        ...

    def occluders(self, split: str) -> tuple[str, np.ndarray]:
        """The split of the source, and the images in it, that the split's cut-outs are taken from.

        Raises:
            ValueError: a split without cut-outs.
        """
        ...

    def trials(self, split: str) -> list[Trial]:
        """What of the source a split is made from, each with the attempt to make it."""
        ...

    def read(self, source_split: str, numbers: np.ndarray) -> object:
        """Decode these images or pairs of a split of the source; nothing is made of them.

        Raises:
            DataError: an unreadable file.
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


class ViewBuilder:
    """Targets with views; the index has the number of the target's image in the source's split."""

    def __init__(self, recipe: Recipe, source: Source) -> None:
        self.recipe, self.source = recipe, source

    @property
    def noun(self) -> str:
        return "files" if has_files(self.source) else "images"

    def sample_index(self, split: str) -> np.ndarray:
        rule = self.recipe.source
        return select_indices(self.recipe.splits[split], self.source, rule.leave_out, rule.group_by)

    def blocks(self, split: str) -> list[np.ndarray]:
        return []

    def scan(self, split: str, block: np.ndarray) -> np.ndarray:
        return block

    def merge(self, split: str, block: np.ndarray, rows: np.ndarray | None) -> None:
        raise NotImplementedError("there are no blocks to merge")

    def arrays(
        self, split: str, samples: np.ndarray, rows: np.ndarray, bank: np.ndarray | None = None
    ) -> tuple[dict[str, Any], str]:
        rule = self.recipe.splits[split]
        targets, source_sha256 = build_targets(self.recipe, self.source, split, rows)
        arrays = {"index": np.asarray(samples, np.int64), "targets": targets}
        if rule.views == "source":
            arrays["views"], views_sha256 = build_source_views(self.recipe, self.source, split, rows)
            source_sha256 = digest([source_sha256, views_sha256])
        else:
            maker = self.recipe.view_maker(split, bank)
            arrays["params"] = maker.params(samples)
            arrays["views"] = maker.make_views(targets, samples, params=arrays["params"])
        labels = self.source.labels(rule.source)
        if labels is not None:
            arrays["label"] = labels[rows]
        return arrays, source_sha256

    def source_digest(self, split: str, rows: np.ndarray) -> str:
        rule = self.recipe.splits[split]
        found = pixels_digest(read_images(self.source, rule.source, rows))
        if rule.views != "source":
            return found
        return digest([found, pixels_digest(self.source.views(rule.source, rows))])  # type: ignore[attr-defined]

    def cutouts(self, split: str) -> Cutouts | None:
        return build_cutouts(self.recipe, self.source, split) if split in self.recipe.banks else None

    def occluders(self, split: str) -> tuple[str, np.ndarray]:
        indices = select_occluders(self.recipe, self.source, split)
        return self.recipe.splits[split].sources[-1], indices

    def trials(self, split: str) -> list[Trial]:
        rule = self.recipe.splits[split]
        found = [Trial(rule.source, self.sample_index(split), self._make_targets(split))]
        if rule.occluders is not None:
            found.append(Trial(*self.occluders(split), self._cut(split)))
        return found

    def read(self, source_split: str, numbers: np.ndarray) -> object:
        return read_images(self.source, source_split, numbers)

    def _make_targets(self, split: str) -> Callable[[np.ndarray], object]:
        rule = self.recipe.splits[split]
        labels = self.source.labels(rule.source)

        def attempt(numbers: np.ndarray) -> None:
            images = read_images(self.source, rule.source, numbers)
            prepare(self.recipe.image, images, None if labels is None else labels[numbers])
            if rule.views == "source":
                build_source_views(self.recipe, self.source, split, numbers)

        return attempt

    def _cut(self, split: str) -> Callable[[np.ndarray], object]:
        labels = self.source.labels(self.recipe.splits[split].sources[-1])

        def attempt(numbers: np.ndarray) -> None:
            for number in numbers.tolist():
                cut_out(self.recipe, self.source, split, number, None if labels is None else int(labels[number]))

        return attempt

    def covered(self, split: str, arrays: dict[str, Any], bank: np.ndarray | None) -> list[int]:
        return self.recipe.view_maker(split, bank).covered(arrays["params"]) if "params" in arrays else []

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        return np.unique(rows)

    def facts(self, split: str, rows: np.ndarray) -> dict[str, Any]:
        return {}


_BUILDERS: Mapping[str, Callable[[Any, Source], SampleBuilder]] = {"views": ViewBuilder, "pairs": PairBuilder}


def sample_builder(recipe: AnyRecipe, source: Source) -> SampleBuilder:
    """The builder of a recipe's kind.

    Raises:
        UsageError: a source that has not what the recipe needs.
    """
    return _BUILDERS[recipe.kind](recipe, source)


def build_bank(builder: SampleBuilder, split: str) -> np.ndarray | None:
    """The cut-outs of a split, uint8 (m, size, size, C+1), where the recipe has some.

    Raises:
        UsageError, DataError: nothing can be cut.
    """
    found = builder.cutouts(split)
    return None if found is None else found[0]["cutouts"]
