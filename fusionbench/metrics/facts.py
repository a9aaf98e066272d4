"""Facts of single fused images that a reader of their scores should know: copies of a source, constant and black ones.

Such an image is scored as it is. What it scores, it scores for that reason and not because it was fused well or badly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fusionbench.core.errors import some

# fact -> what it is, what follows; "copy 0" is a copy of the first source, and so on
_FACTS = {
    "same sources": ("both sources are the same image", "there is nothing to fuse; are these the right files?"),
    "black": ("the fused image is black", "EN, SD, SF, AG and MI are 0 and CC has no value"),
    "constant": ("the fused image is constant", "EN, SD, SF, AG and MI are 0 and CC has no value"),
}
_COPY = (
    "without any fusing MI, Qabf and SSIM get the most that this source can give and VIF's share of it is 1; SCD has "
    "no value"
)


def facts(fused: np.ndarray, sources: Sequence[np.ndarray]) -> list[str]:
    """What a reader of the scores of one image should know, as words for :func:`fact_lines`.

    Args:
        fused: (H,W) or (H,W,3); ``sources``: of the same shape.
    """
    found = []
    if len(sources) == 2 and np.array_equal(sources[0], sources[1]):
        found.append("same sources")
    if fused.size and (fused == fused.flat[0]).all():
        found.append("constant" if fused.flat[0] else "black")
    # two sources that are one are one fact; a copy of both is named after the first
    found += [f"copy {place}" for place, source in enumerate(sources) if np.array_equal(fused, source)][:1]
    return found


def fact_lines(
    found: Iterable[tuple[str, Sequence[str]]], count: int, names: Sequence[str], of_pairs: bool = True
) -> list[str]:
    """One line a fact, with the number of images, the names of the first and what follows for the metrics of pairs.

    Args:
        found: name and facts of every image.
        count: how many images there are.
        names: what the sources are called.
        of_pairs: say what follows; samples of masked sets are scored by their error alone.
    """
    images: dict[str, list[str]] = {}
    for image, its in found:
        for fact in its:
            images.setdefault(fact, []).append(image)
    lines = []
    for fact in sorted(images, key=_order):
        if fact in _FACTS:
            text, follows = _FACTS[fact]
        else:
            text, follows = f"the fused image is identical to {names[int(fact.removeprefix('copy '))]}", _COPY
        line = f"{text} in {len(images[fact])} of {count} images ({some(images[fact])})"
        lines.append(f"{line}: {follows}" if of_pairs else line)
    return lines


def _order(fact: str) -> tuple[bool, str]:
    return fact.startswith("copy"), fact
