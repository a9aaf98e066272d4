"""The sheet of a row under degraded sources: one pair, a line a family, what the method makes of each severity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusionbench.core.figures import pair_sheet
from fusionbench.results.robustness import CLEAN

if TYPE_CHECKING:
    from fusionbench.evaluation.robustness import PairConditions

SHEET, KEPT = "robustness.png", "the first pair at every condition"  # the file, and what pages call it
_SIDE = 128  # pixels of the longer side of a picture


def condition_sheet(made: PairConditions, title: str) -> bytes:
    """A PNG: a line a family; in it the degraded source at the highest severity (of two the one that is changed more),
    what is made of the clean pair, and what is made of each severity.
    """
    from fusionbench.evaluation.robustness import family_title

    severities = sorted({condition.severity for condition in made.degraded})
    lines, labels = [], []
    for family in dict.fromkeys(condition.family for condition in made.degraded):
        here = {condition.severity: images for condition, images in made.degraded.items() if condition.family == family}
        worst = here[max(here)][0]
        harmed = int(np.argmax([np.count_nonzero(worst[view] != made.pair[view]) for view in (0, 1)]))
        lines.append([worst[harmed], made.clean, *(here[one][1] for one in severities)])
        labels.append(family_title(family))
    names = [f"source, {severities[-1]}", f"fused, {CLEAN}", *(f"fused, {severity}" for severity in severities)]
    return pair_sheet(lines, names, title=title, side=_SIDE, labels=labels)
