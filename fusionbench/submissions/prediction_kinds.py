"""The kinds of predictions: what a record's ``kind`` means for its files, their check and their scoring.

A kind is called like the protocol under which it is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fusionbench.submissions.prediction_scores import score_images, score_samples
from fusionbench.submissions.predictions import (
    IMAGES,
    SAMPLES,
    Findings,
    Predictions,
    examine_images,
    examine_samples,
)


@dataclass(frozen=True)
class Kind:
    """One kind of predictions.

    Attributes:
        file: what the predictions lie in, for messages.
        needs_suite: whether a suite has to say how they are scored.
        examine: looks at unpacked predictions, beside the data where they are given.
        score: scores unpacked predictions on the data as the suite says, into a folder of results.
    """

    file: str
    needs_suite: bool
    examine: Callable[[Path, Predictions, Path | None, Findings], None]
    score: Callable[[Path, Predictions, Path, str, Path], None]


KINDS = {
    "masked": Kind(SAMPLES, True, examine_samples, score_samples),
    "pairs": Kind(IMAGES, False, examine_images, score_images),
}
