"""Labelled pairs to probe: frames of one split with their scenes, label maps and, where there is any, colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.interfaces import PairSource
from fusionbench.core.io import digest
from fusionbench.evaluation.pair_sets import VERSION, PairSet
from fusionbench.results.schema import DatasetIdentity
from fusionbench.sources import SOURCES
from fusionbench.sources.frame_names import scenes_of


class LabelledSource(PairSource, Protocol):
    """Registered pairs with a class for every pixel."""

    @property
    def classes(self) -> Mapping[int, str]: ...

    def label_map(self, split: str, index: int) -> np.ndarray: ...

    def colour_image(self, split: str, index: int) -> np.ndarray | None: ...


@dataclass(frozen=True)
class LabelledSet:
    """The frames of the first ``limit`` scenes of a split (all for None). A scene is what is scored."""

    source: LabelledSource
    split: str
    limit: int | None = None

    @cached_property
    def pairs(self) -> PairSet:
        """All frames of the split, as pairs."""
        return PairSet(self.source, self.split)

    @cached_property
    def frames(self) -> list[int]:
        """Places in the split of the frames that are scored."""
        every = scenes_of(self.pairs.stems)
        wanted = set(list(dict.fromkeys(every))[: self.limit])
        return [place for place, scene in enumerate(every) if scene in wanted]

    @cached_property
    def stems(self) -> list[str]:
        """Names of the frames that are scored."""
        return [self.pairs.stems[place] for place in self.frames]

    @cached_property
    def scenes(self) -> list[str]:
        """Scene of every frame that is scored."""
        every = scenes_of(self.pairs.stems)
        return [every[place] for place in self.frames]

    @cached_property
    def scene_names(self) -> list[str]:
        """Every scene once, in order."""
        return list(dict.fromkeys(self.scenes))

    @cached_property
    def identity(self) -> DatasetIdentity:
        """What a result says about its data; ``n`` counts scenes.

        Raises:
            DataError: files that cannot be used.
        """
        return DatasetIdentity(
            name=self.pairs.name,
            version=VERSION,
            split=self.split,
            id=self.source.fingerprint(self.split),
            n=len(self.scene_names),
            ids_sha256=digest(self.scene_names),
        )

    def __len__(self) -> int:
        return len(self.frames)

    def pair(self, frame: int) -> np.ndarray:
        """Both views of a frame: uint8 (2, h, w)."""
        return self.pairs.pair(self.frames[frame])

    def chroma(self, frame: int) -> np.ndarray | None:
        """Cb and Cr of the visible image, uint8 (2, h, w), in whole numbers; None where it is grey."""
        rgb = self.source.colour_image(self.split, self.frames[frame])
        return None if rgb is None else _chroma(rgb)

    def truth(self, frame: int, classes: Sequence[str], step: int) -> np.ndarray:
        """Whether every ``step``-th pixel of every ``step``-th row shows each class: bool (pixels, classes).

        Raises:
            UsageError: a class that the labels do not have.
        """
        numbers = {name: number for number, name in self.source.classes.items()}
        for name in classes:
            if name not in numbers:
                raise unknown_name("class", name, numbers)
        labels = self.source.label_map(self.split, self.frames[frame])[::step, ::step].ravel()
        return np.stack([labels == numbers[name] for name in classes], axis=1)


def open_labelled(
    what: str, split: str | None, root: Path | None, *, limit: int | None = None, strict: bool = False
) -> LabelledSet:
    """The labelled pairs that are meant by the name of a source (and the folder of its files), or by a folder.

    A folder has ``ir`` and ``vi`` (or infrared and visible, a and b) and ``labels`` or ``Segmentation_labels``.

    Raises:
        UsageError: an unknown name or split, or a source without label maps.
        DataError: files that are missing or not what they should be.

    Example:
        >>> from fusionbench.evaluation.labelled_set import open_labelled
        >>> data = open_labelled("probe-demo", None, None)
        >>> len(data), len(data.scene_names), data.truth(0, ["car", "person"], 1).sum(0).tolist()
        (24, 8, [200, 70])
    """
    known = [name for name in SOURCES.names() if hasattr(SOURCES.get(name), "label_map")]
    if what in SOURCES.names():
        if what not in known:
            raise UsageError(f"The source {what!r} has no label maps; sources with labels: {', '.join(known)}")
        kind = SOURCES.get(what)
        if root is None and Path(what).is_dir():
            root = Path(what)
    elif what and Path(what).is_dir():
        kind, root = SOURCES.get("labelled-pairs"), Path(what)
    else:
        raise unknown_name("folder or source of labelled pairs", what, known)
    make: Any = kind
    source = make(root, strict=strict)
    split = split or ("test" if "test" in source.splits else source.splits[0])
    source.stems(split)
    return LabelledSet(source, split, limit)


def _chroma(rgb: np.ndarray) -> np.ndarray:
    """uint8 (2, h, w) of uint8 (h, w, 3): JFIF's Cb and Cr in 65536ths, rounded."""
    wide = rgb.astype(np.int32)
    red, green, blue = wide[..., 0], wide[..., 1], wide[..., 2]
    half = (128 << 16) + (1 << 15) - 1
    cb = (-11059 * red - 21709 * green + 32768 * blue + half) >> 16
    cr = (32768 * red - 27439 * green - 5329 * blue + half) >> 16
    return np.stack((cb, cr)).astype(np.uint8)
