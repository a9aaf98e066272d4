"""Whether fused images were stretched image by image to the full range: counted, judged by one rule, kept in results.

Stretching adds contrast that no fusion made: EN, SD and SF rise with it. Stretched rows are therefore ranked among
themselves (:mod:`fusionbench.results.tiers`).

Example:
    >>> import numpy as np
    >>> from fusionbench.results.full_range import FullRange, count_full_range, spans_full_range, stretch_levels
    >>> image = np.array([[20, 90], [120, 150]], np.uint8)
    >>> stretch_levels(image).tolist()
    [[0, 137], [196, 255]]
    >>> spans_full_range(image), spans_full_range(stretch_levels(image))
    (False, True)
    >>> count_full_range([(stretch_levels(image), [image, image])] * 5)
    FullRange(images=5, full=5, sources=0)
    >>> FullRange(images=25, full=25, sources=19).stretched, FullRange(images=25, full=19, sources=19).stretched
    (True, False)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np

from fusionbench.core.errors import DataError

MARGIN = 5  # grey levels from black and from white within which an image counts as full
SLACK = 0.1  # share of all images by which full images may outnumber those with a full source
LEAST = 3  # images by which they do so at least: fewer are chance
FUSED, SOURCES = "full_range@fused", "full_range@sources"  # columns of the per-image table, 0 or 1
_Count = Annotated[int, msgspec.Meta(ge=0)]


class FullRange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """How many fused images reach from black to white, and how many pairs have a source that does so by itself.

    Since fusionbench.result/1.2, in ``full_range`` of results of pairs. What is counted stands image by image in the
    per-image table, in the columns :data:`FUSED` and :data:`SOURCES`.

    Attributes:
        images: number of fused images.
        full: those that reach from black to white.
        sources: pairs of which at least one source does.
    """

    images: _Count
    full: _Count
    sources: _Count

    def __post_init__(self) -> None:
        if max(self.full, self.sources) > self.images:
            raise ValueError(f"full_range counts {self.full} and {self.sources} of {self.images} images")

    @property
    def stretched(self) -> bool:
        """Whether more images are full than their sources explain: by ``LEAST``, and by the share ``SLACK`` of all."""
        excess = self.full - self.sources
        return excess >= LEAST and excess > SLACK * self.images

    @property
    def text(self) -> str:
        """The counts in words."""
        return f"{self.full} of {self.images} fused images reach from black to white, a source does in {self.sources}"


def spans_full_range(image: np.ndarray) -> bool:
    """Whether a grey image (h, w) uint8 reaches from black to white, both within ``MARGIN`` levels."""
    return image.size > 0 and int(image.min()) <= MARGIN and int(image.max()) >= 255 - MARGIN


def count_full_range(images: Iterable[tuple[np.ndarray, Sequence[np.ndarray]]]) -> FullRange:
    """Count over fused images (h, w) uint8, each with its sources of the same size."""
    found = [(spans_full_range(fused), any(map(spans_full_range, sources))) for fused, sources in images]
    return FullRange(
        images=len(found), full=sum(fused for fused, _ in found), sources=sum(source for _, source in found)
    )


def full_range_columns(full: Sequence[tuple[bool, bool]]) -> dict[str, list[int]]:
    """The columns of a per-image table: of every image, whether it, and whether a source of it, is full.

    Example:
        >>> from fusionbench.results.full_range import full_range_columns
        >>> full_range_columns([(True, False), (False, False)])
        {'full_range@fused': [1, 0], 'full_range@sources': [0, 0]}
    """
    return {FUSED: [int(fused) for fused, _ in full], SOURCES: [int(source) for _, source in full]}


def full_range_of(table: Mapping[str, np.ndarray]) -> FullRange | None:
    """The counts of a per-image table; None where it has neither column, as those of earlier versions.

    Raises:
        DataError: one column without the other, or a value that is neither 0 nor 1.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.full_range import full_range_of
        >>> full_range_of({"full_range@fused": np.array([1.0, 0.0]), "full_range@sources": np.array([0.0, 0.0])})
        FullRange(images=2, full=1, sources=0)
    """
    held = [name for name in (FUSED, SOURCES) if name in table]
    if not held:
        return None
    if len(held) == 1:
        other = SOURCES if held == [FUSED] else FUSED
        raise DataError(f"its per-image table has the column {held[0]} and not {other}; score again")
    for name in held:
        if not np.isin(table[name], (0, 1)).all():
            raise DataError(f"its per-image table has values in {name} that are neither 0 nor 1; score again")
    full, sources = (int(table[name].sum()) for name in (FUSED, SOURCES))
    return FullRange(images=len(table[FUSED]), full=full, sources=sources)


def stretch_levels(image: np.ndarray) -> np.ndarray:
    """A grey image (h, w) uint8 stretched to 0..255, rounded with halves to even; a flat one as it is.

    Stretching a second time changes nothing.
    """
    low, high = int(image.min()), int(image.max())
    if low == high:
        return image
    result: np.ndarray = np.rint((image.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)
    return result
