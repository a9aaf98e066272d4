"""Sources and fused images of the first pairs side by side, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.core.colour import to_levels
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import FULL, read_full_depth
from fusionbench.core.io import write_bytes

SHOWN = 4  # pairs


def write_sheet(
    path: Path,
    lines: Sequence[tuple[Path, Path, Path]],
    ranges: Ranges,
    method: str,
    sources: tuple[str, str] = ("a", "b"),
) -> None:
    """Draw the first :data:`SHOWN` lines, each the files of a, b and the fused image, in 8 bits.

    Args:
        ranges: by which a and b were read.
        method, sources: what the columns of fused images, of a and of b are called.

    Raises:
        DataError: an image that cannot be read any more, or a folder that cannot be written.
    """
    from fusionbench.core.figures import pair_sheet

    drawn = []
    for a, b, fused in lines[:SHOWN]:
        sides = zip((a, b, fused), (ranges.a, ranges.b, FULL), ("--range-a", "--range-b", ""), strict=True)
        drawn.append([_eight_bits(file, wanted, option) for file, wanted, option in sides])
    write_bytes(path, pair_sheet(drawn, [_short(name) for name in (*sources, method)]))


def _short(method: str) -> str:
    """The name of a model, or the end of a path."""
    return Path(method).name[:32] or "fused"


def _eight_bits(file: Path, wanted: Range | None, option: str) -> np.ndarray:
    return to_levels(read_full_depth(file, wanted, option=option).pixels, 8)


__all__ = ["SHOWN", "write_sheet"]
