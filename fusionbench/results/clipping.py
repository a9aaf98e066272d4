"""How much of the fused images is clipped: measured for each image, kept in the per-image table, marked on tables.

Clipping the darkest and brightest pixels before an image is stretched raises SD, SF, SCD and VIF without fusing better.
Unlike a wide range it leaves a trace: many pixels share the darkest or the brightest level of the image where no source
does. Some published methods do so, so a row above :data:`LIMIT` is marked, and neither refused nor ranked apart.

Example:
    >>> import numpy as np
    >>> from fusionbench.results.clipping import clipped_share
    >>> ramp = np.arange(10_000, dtype=np.float64).reshape(100, 100)
    >>> source = np.rint(ramp * (255 / 9999)).astype(np.uint8)
    >>> clipped = np.rint(np.clip((ramp - 500) / 8999, 0, 1) * 255).astype(np.uint8)  # at percentiles 5 and 95
    >>> clipped_share(source, [source]), round(clipped_share(clipped, [source]), 2)
    (0.0, 0.1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusionbench.core.errors import DataError

COLUMN = "clipped"  # of the per-image table: the share of each image, no score
LIMIT = 0.01  # mean share above which a row is marked; docs/results.md has the distribution that it is chosen from
_OUTSIDE = 0.001  # share of pixels beyond the darkest and brightest level, so that a few pixels cannot move these


def _ends(image: np.ndarray) -> tuple[int, int]:
    """Darkest and brightest level of uint8 (h, w): at most a thousandth of the pixels lies beyond each."""
    below = np.cumsum(np.bincount(image.ravel(), minlength=256))
    beyond = int(_OUTSIDE * image.size)
    return int(np.searchsorted(below, beyond, "right")), int(np.searchsorted(below, image.size - beyond))


def clipped_share(fused: np.ndarray, sources: Sequence[np.ndarray]) -> float:
    """Share in [0,1] of pixels at the darkest or brightest level of a fused image where no source is at its own.

    Pixels beyond these levels count as well. The levels are those of each image, not 0 and 255; a thousandth of its
    pixels may lie beyond each. An image with the same level at both ends has the share 0.

    Args:
        fused: uint8 (h, w); ``sources``: of the same shape.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.clipping import clipped_share
        >>> source = np.arange(100, dtype=np.uint8).reshape(10, 10)
        >>> clipped_share(source.clip(10, 89), [source, source])  # the darkest and brightest pixel are so in the source
        0.2
    """
    low, high = _ends(fused)
    if low >= high:
        return 0.0
    dark, bright = fused <= low, fused >= high
    for source in sources:
        darkest, brightest = _ends(source)
        dark &= source > darkest
        bright &= source < brightest
    return (int(np.count_nonzero(dark)) + int(np.count_nonzero(bright))) / fused.size


def clipped_mean(table: Mapping[str, np.ndarray]) -> float | None:
    """Mean share over the images of a per-image table; None where it has no such column (earlier releases).

    Raises:
        DataError: a value that is no share.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.clipping import clipped_mean
        >>> clipped_mean({"clipped": np.array([0.01, 0.03])}), clipped_mean({"sd": np.array([40.0])})
        (0.02, None)
    """
    values = table.get(COLUMN)
    if values is None:
        return None
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"column {COLUMN} has a value that is no share between 0 and 1; score again")
    return float(np.mean(values))


def clipped_mark(share: float | None) -> str:
    """What stands beside the title of a row: "clipped 1.6 %" above :data:`LIMIT`, else "".

    Example:
        >>> from fusionbench.results.clipping import clipped_mark
        >>> clipped_mark(0.0164), clipped_mark(0.0089), clipped_mark(None)
        ('clipped 1.6 %', '', '')
    """
    return f"clipped {100 * share:.1f} %" if share is not None and share > LIMIT else ""


def clipped_remark(share: float | None) -> str:
    """The mark in a sentence, "" where there is none.

    Example:
        >>> from fusionbench.results.clipping import clipped_remark
        >>> clipped_remark(0.0164)[:50], clipped_remark(0.0089)
        ('1.6 % of the pixels of its fused images are clippe', '')
    """
    if not clipped_mark(share):
        return ""
    assert share is not None
    return (
        f"{100 * share:.1f} % of the pixels of its fused images are clipped: at the darkest or brightest level of "
        f"their image where no source is; above {100 * LIMIT:g} % SD, SF, SCD and VIF rise with it"
    )
