"""Pairs with boxes to train detectors on and to test them: images of both parts, in the colour of the visible image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.images import FULL, read_image
from fusionbench.core.interfaces import PairSource
from fusionbench.core.io import digest
from fusionbench.evaluation.pair_sets import VERSION, PairSet
from fusionbench.results.schema import DatasetIdentity
from fusionbench.sources import SOURCES
from fusionbench.sources.boxes import Boxes, boxes_of_map
from fusionbench.sources.frame_names import are_near, scenes_of

MAP_CLASSES = ("person", "car")  # that are looked for where boxes come from label maps


@dataclass(frozen=True)
class BoxSet:
    """The pairs of a split with boxes, and which of them are trained on and tested; ``limit``: the first tested ones.

    Of a source with the splits ``train`` and ``test`` these; else scenes are dealt to training, validation (which
    nobody looks at) and test in the shares ``parts``, in the order of the digests of their names. A frame near a tested
    one by its name is not trained on.
    """

    source: PairSource
    split: str
    parts: tuple[int, int, int]
    limit: int | None = None

    @property
    def _own(self) -> Any:
        """The source with what it may have beside pairs: boxes, label maps, colours."""
        return self.source

    @cached_property
    def pairs(self) -> PairSet:
        """All pairs of the tested split."""
        return PairSet(self.source, self.split)

    @cached_property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""
        if hasattr(self.source, "class_names"):
            found: Sequence[str] = self._own.class_names
            return found
        return [name for name in MAP_CLASSES if name in self._own.classes.values()]

    @cached_property
    def tested(self) -> list[tuple[str, int]]:
        """Split and place of every tested pair."""
        return self._dealt[1][: self.limit]

    @cached_property
    def trained(self) -> list[tuple[str, int]]:
        """Split and place of every pair that is trained on; the same with any limit."""
        return self._dealt[0]

    @cached_property
    def _dealt(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        if self.split == "test" and "train" in self.source.splits:
            return tuple([(s, i) for i in range(self.source.length(s))] for s in ("train", "test"))  # type: ignore[return-value]
        stems = self.pairs.stems
        scenes = scenes_of(stems)
        order = sorted(dict.fromkeys(scenes), key=digest)
        total = sum(self.parts)
        # at least one scene is tested, and at least one trained on
        tested = set(order[: max(1, round(len(order) * self.parts[2] / total))])
        unseen = max(0, round(len(order) * self.parts[1] / total))
        trained = set(order[len(tested) + unseen :])
        test = [place for place, scene in enumerate(scenes) if scene in tested]
        train = [
            place
            for place, scene in enumerate(scenes)
            if scene in trained and not any(are_near(stems[place], stems[other]) for other in test)
        ]
        if not train:
            raise DataError(
                f"{self.pairs.name}: {len(order)} scenes by the names of the pairs; there is none to train on"
            )
        return [(self.split, place) for place in train], [(self.split, place) for place in test]

    @cached_property
    def identity(self) -> DatasetIdentity:
        """What a result says about its data; ``n`` counts tested pairs, ``id`` is over all pairs and boxes."""
        splits = sorted({split for split, _ in self._dealt[0] + self._dealt[1]})
        prints = [self.source.fingerprint(split) for split in splits]
        return DatasetIdentity(
            name=self.pairs.name,
            version=VERSION,
            split=self.split,
            id=prints[0] if len(prints) == 1 else digest(prints),
            n=len(self.tested),
            ids_sha256=digest(self.stems),
        )

    @property
    def stems(self) -> list[str]:
        """Names of the tested pairs."""
        return [self.source.stems(split)[place] for split, place in self.tested]

    def pair(self, where: tuple[str, int]) -> np.ndarray:
        """Both views of a pair: uint8 (2, h, w)."""
        found: np.ndarray = self.source.read_pairs(where[0], np.array([where[1]]))[0]
        return found

    def colour(self, where: tuple[str, int]) -> np.ndarray | None:
        """The visible image, uint8 RGB (h, w, 3); None where it is grey."""
        if hasattr(self.source, "colour_image"):
            found: np.ndarray | None = self._own.colour_image(*where)
            return found
        pixels = read_image(self._own.paths(*where)[1], FULL).pixels
        return pixels if pixels.ndim == 3 else None

    def boxes(self, where: tuple[str, int]) -> Boxes:
        """Boxes of a pair; of a source with label maps those of their connected parts."""
        if hasattr(self.source, "boxes"):
            found: Boxes = self._own.boxes(*where)
            return found
        places = {name: place for place, name in enumerate(self.classes)}
        numbers = {number: places[name] for number, name in self._own.classes.items() if name in places}
        return boxes_of_map(self._own.label_map(*where), numbers)


def open_boxes(
    what: str,
    split: str | None,
    root: Path | None,
    *,
    parts: tuple[int, int, int] = (8, 1, 1),
    limit: int | None = None,
    strict: bool = False,
) -> BoxSet:
    """The pairs with boxes, or with label maps, that are meant by the name of a source (and the folder of its files).

    Raises:
        UsageError: an unknown name or split, or a source with neither.
        DataError: files that are missing or not what they should be.

    Example:
        >>> from fusionbench.evaluation.box_set import open_boxes
        >>> data = open_boxes("probe-demo", None, None)
        >>> data.classes, len(data.trained), len(data.tested), len(data.boxes(data.tested[0]))
        (['person', 'car'], 18, 3, 2)
    """
    known = [name for name in SOURCES.names() if {"label_map", "boxes"} & set(dir(SOURCES.get(name)))]
    if what not in SOURCES.names():
        raise unknown_name("source of pairs with boxes", what, known)
    if what not in known:
        raise UsageError(f"The source {what!r} has neither boxes nor label maps; sources that have: {', '.join(known)}")
    if root is None and Path(what).is_dir():
        root = Path(what)
    make: Any = SOURCES.get(what)
    source = make(root, strict=strict)
    split = split or ("test" if "test" in source.splits else source.splits[0])
    source.stems(split)
    return BoxSet(source, split, parts, limit)
