"""Sets of stacks to score: a split of a data set that was made with a known truth, or of pictures in folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np

from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.images import to_grey
from fusionbench.core.io import digest
from fusionbench.core.types import ImageSpec
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.recipes import Recipe
from fusionbench.evaluation.pair_sets import DATA
from fusionbench.evaluation.stored_pairs import holds_dataset
from fusionbench.results.schema import DatasetIdentity
from fusionbench.sources import SOURCES, is_stack_source

VERSION = "1.0.0"  # of the way from picture files to uint8 luma
Views = Literal["focus", "exposure"]  # the rule of a recipe's views that a task is made by


@dataclass(frozen=True)
class Stack:
    """One stack as it is scored: uint8 luma ``views`` (V, h, w), and ``truth`` (h, w) or None."""

    name: str
    views: np.ndarray
    truth: np.ndarray | None


class StackSource(Protocol):
    """Stacks of pictures with their truth where one is known, each of its own size."""

    @property
    def name(self) -> str: ...

    @property
    def splits(self) -> Sequence[str]: ...

    def stems(self, split: str) -> list[str]:
        """The name of every stack of a split, in order."""
        ...

    def read_stack(self, split: str, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """One stack, uint8 (V, h, w, 3), and its truth, uint8 (h, w, 3) or None."""
        ...

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over names and pixels of a split."""
        ...


class StackSet:
    """The first ``limit`` stacks of a split (all for None), of a :class:`Dataset` or of a source of stacks."""

    def __init__(self, origin: Dataset | StackSource, split: str, limit: int | None = None) -> None:
        self.origin, self.split, self.limit = origin, split, limit

    @cached_property
    def names(self) -> list[str]:
        """The names of the stacks; numbers where they have none."""
        if isinstance(self.origin, Dataset):
            found: Sequence[object] = range(self.origin.size(self.split))
        else:
            found = self.origin.stems(self.split)
        return [str(name) for name in found][: self.limit]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def identity(self) -> DatasetIdentity:
        """What a result says about its data; ``id`` is over the whole split, or data set."""
        origin = self.origin
        if isinstance(origin, Dataset):
            name, version, found = origin.name, origin.version, origin.id
        else:
            name = f"{origin.name}-{self.split}" if len(origin.splits) > 1 else origin.name
            version, found = VERSION, origin.fingerprint(self.split)
        of: dict[str, Any] = {"n": len(self), "ids_sha256": digest(self.names)}
        return DatasetIdentity(name=name, version=version, split=self.split, id=found, **of)

    def stack(self, index: int) -> Stack:
        """One stack.

        Raises:
            DataError: pictures that cannot be read, or of different sizes.
        """
        truth: np.ndarray | None
        if isinstance(self.origin, Dataset):
            arrays = self.origin.arrays(self.split)
            views, truth = np.asarray(arrays.views[index]), np.asarray(arrays.targets[index])
        else:
            views, truth = self.origin.read_stack(self.split, index)
        if views.ndim == 4:
            views = np.stack([to_grey(view) for view in views])
        if truth is not None and truth.ndim == 3:
            truth = to_grey(truth)
        return Stack(self.names[index], views, truth)

    @property
    def spec(self) -> ImageSpec:
        """The shape that models are built for: that of the first stack, in grey."""
        if isinstance(self.origin, Dataset) and self.origin.spec.channels == 1:
            return self.origin.spec
        count, height, width = self.stack(0).views.shape
        return ImageSpec(1, height, width, count)


def stored_stacks(what: str, views: Views) -> Path | None:
    """The folder of the data set that is called so, here or in ``data/``, if its views were made by this rule."""
    for place in (Path(what), DATA / what):
        if what and holds_dataset(place):
            recipe = open_dataset(place).recipe
            return place if isinstance(recipe, Recipe) and getattr(recipe.views, views) is not None else None
    return None


def open_stacks(
    what: str,
    views: Views,
    split: str | None = None,
    root: Path | None = None,
    *,
    limit: int | None = None,
    strict: bool = False,
) -> StackSet:
    """The stacks that are meant by a data set, a source of stacks, or a folder of pictures.

    Args:
        what: a data set, by its folder or its name below ``data/``; a source of stacks; or a folder, which is of the
            source called like it where there is one, else read as ``stacks``.
        views: the rule by which a data set's views have to be made.
        split: without it ``test``, else the first one that is there.
        root: the folder of the files of the source ``what``.
        limit: only the first so many stacks.
        strict: refuse scenes that lack a picture.

    Raises:
        UsageError: an unknown name or split, or no folder named.
        DataError: no stacks there, or a data set whose views are of another kind.
    """
    origin = (_stored(what, views) if root is None else None) or _registered(what, root, strict)
    chosen = split or ("test" if "test" in origin.splits else origin.splits[0])
    if chosen not in origin.splits:
        raise UsageError(f"{what} has no split {chosen!r}; it has: {', '.join(origin.splits)}")
    return StackSet(origin, chosen, limit)


def _stored(what: str, views: Views) -> Dataset | None:
    """The data set that is called so; None where there is none.

    Raises:
        DataError: its views are of another kind.
    """
    place = next((place for place in (Path(what), DATA / what) if what and holds_dataset(place)), None)
    if place is None:
        return None
    found = open_dataset(place)
    rules = found.recipe.views if isinstance(found.recipe, Recipe) else None
    if rules is None or getattr(rules, views) is None:
        raise DataError(f"{place}: a data set without stacks of this task: its recipe has no views.{views}")
    return found


def _registered(what: str, root: Path | None, strict: bool) -> StackSource:
    """The source of stacks that is meant, with the files in ``root`` or in the folder ``what``."""
    name, folder = what, Path(what)
    if not is_stack_source(what):
        if not (what and folder.is_dir()) or root is not None:
            known = [source for source in SOURCES.names() if is_stack_source(source)]
            raise unknown_name("data set, folder or source of stacks", what, known)
        own = folder.resolve().name.lower()
        name, root = (own if is_stack_source(own) else "stacks"), folder
    elif root is None and folder.is_dir():
        root = folder
    make: Callable[..., StackSource] = cast("Callable[..., StackSource]", SOURCES.get(name))
    return make(root, strict=strict)
