"""What a family of degradations is, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from fusionbench.synth.arrays import Array
from fusionbench.synth.degradations.draws import Draws

Level = tuple[int, ...]


@dataclass(frozen=True)
class Degraded:
    """Degraded pairs and the truth about them.

    Attributes:
        views: uint8 (n, V, h, w), as the clean views; view 0 is thermal (a), the others are visible (b).
        field: int32 (n, 2, h, w), rows and columns in 1/256 pixel by which what view 0 shows at a pixel was moved: it
            stood at the pixel's place minus the field. None: nothing moved.
        lost: uint8 (n, V, h, w), 1 where a view says nothing any more: outside after a move, occluded, dropped, dead.
            None: nothing is lost.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.zeros((1, 2, 16, 16), np.uint8)
        >>> made = degrade(clean, "shift/1", 1, dataset="demo", split="all", samples=np.array([0]))
        >>> made.views.shape, made.field.shape, made.lost.shape
        ((1, 2, 16, 16), (1, 2, 16, 16), (1, 2, 16, 16))
    """

    views: Array
    field: Array | None = None
    lost: Array | None = None


class Degradation(ABC):
    """A family of degradations: one object without state in the registry.

    Attributes:
        name: with its version; another version makes other bytes.
        title, about: a few words, and a sentence or two on what is computed.
        views: which views are harmed: ``a`` (view 0, thermal), ``b`` (the others, visible), or ``both``.
        fields: what the integers of a level are, one word each with their unit.
        levels: the integers of severities 1 to 5.
        scale: whether what is seen of it is as large as pixels or as the picture.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    views: ClassVar[Literal["a", "b", "both"]]
    fields: ClassVar[tuple[str, ...]]
    levels: ClassVar[tuple[Level, Level, Level, Level, Level]]
    scale: ClassVar[Literal["pixels", "picture"]] = "pixels"

    @abstractmethod
    def apply(self, views: Array, planes: Sequence[int], level: Level, draws: Draws) -> Degraded:
        """Degrade uint8 ``views`` (n, P, h, w), which are not changed; plane i belongs to view ``planes[i]``.

        Everything of a sample follows from its own pixels and ``draws``: never from other samples of the batch.
        """

    def reach(self, level: Level, height: int, width: int) -> int:
        """By how many pixels something is moved at most, rounded up; 0 where nothing is."""
        return 0

    def harms(self, view: int) -> bool:
        """Whether a view is changed at all."""
        return self.views == "both" or (self.views == "a") == (view == 0)
