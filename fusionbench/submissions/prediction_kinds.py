"""The kinds of predictions: what a record's ``kind`` means for its files, their check and their scoring.

A kind is called like the protocol under which it is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.suites import Suite
from fusionbench.submissions.prediction_drafts import Draft, draft_images, draft_samples
from fusionbench.submissions.prediction_scores import score_pair_images, score_samples
from fusionbench.submissions.prediction_suites import SuiteImages, SuitePredictions, SuiteSamples
from fusionbench.submissions.predictions import (
    IMAGES,
    SAMPLES,
    PredictionFindings,
    Predictions,
    examine_images,
    examine_samples,
)

MAX_SAMPLES = (2 << 30) - (1 << 20)  # bytes of the file of samples


@dataclass(frozen=True)
class PredictionKind:
    """One kind of predictions.

    Attributes:
        file: what the predictions lie in, for messages.
        limits: file beside the record -> most bytes; all are in the archive.
        images: whether images are in the archive.
        needs_suite: whether a suite has to say how they are scored.
        drafts: whether predictions that somebody wants to pack are of this kind.
        draft: the record and the files of predictions for data; files may be made in a temporary folder.
        examine: looks at unpacked predictions, beside the data where they are given.
        score: scores unpacked predictions on the data as the suite says, into a folder of results.
        in_suite: the scores, data and uploads of a suite under whose protocol they are scored.
    """

    file: str
    limits: Mapping[str, int]
    images: bool
    needs_suite: bool
    drafts: Callable[[Path], bool]
    draft: Callable[[Path, Path, Path, Mapping[str, str | None]], Draft]
    examine: Callable[[Path, Predictions, Path | None, PredictionFindings], None]
    score: Callable[[Path, Predictions, Path, str, Path], None]
    in_suite: SuitePredictions

    def is_in(self, names: Sequence[str]) -> bool:
        """Whether an archive of files with these names has predictions of this kind."""
        return any(name in self.limits or (self.images and name.startswith(f"{IMAGES}/")) for name in names)


PREDICTION_KINDS = {
    "masked": PredictionKind(
        file=SAMPLES,
        limits={SAMPLES: MAX_SAMPLES},
        images=False,
        needs_suite=True,
        drafts=lambda path: not path.is_dir(),
        draft=draft_samples,
        examine=examine_samples,
        score=score_samples,
        in_suite=SuiteSamples(),
    ),
    "pairs": PredictionKind(
        file=IMAGES,
        limits={},
        images=True,
        needs_suite=False,
        drafts=Path.is_dir,
        draft=draft_images,
        examine=examine_images,
        score=score_pair_images,
        in_suite=SuiteImages(),
    ),
}


def predictions_under(suite: Suite) -> PredictionKind:
    """The kind of predictions that are scored under a suite's protocol.

    Raises:
        UsageError: predictions cannot be scored under it.

    Example:
        >>> from fusionbench.evaluation.suites import load_suite
        >>> from fusionbench.submissions.prediction_kinds import predictions_under
        >>> predictions_under(load_suite("pairs-demo")).file, predictions_under(load_suite("quickstart")).needs_suite
        ('images', True)
    """
    kind = PREDICTION_KINDS.get(suite.protocol.name.rpartition("/")[0])
    if kind is None:
        raise UsageError(f"{suite.name}: predictions cannot be scored under the protocol {suite.protocol.name}")
    return kind


def needs_suite(protocol: str) -> bool:
    """Whether submissions under a protocol, named without its version, are scored as a suite says; images of pairs
    and weights for pairs are scored without one.

    Example:
        >>> from fusionbench.submissions.prediction_kinds import needs_suite
        >>> needs_suite("masked"), needs_suite("pairs"), needs_suite("multi-focus")
        (True, False, True)
    """
    kind = PREDICTION_KINDS.get(protocol)
    return kind is None or kind.needs_suite
