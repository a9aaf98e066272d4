"""What making a result again came to: one of five outcomes, with the difference of every score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from fusionbench.core.errors import MeasurementError
from fusionbench.core.text import Digest

Outcome = Literal["same", "different", "damaged", "other protocol", "could not"]
Cause = Literal[
    "", "data", "weights", "metric", "model", "not deterministic", "published", "training", "table", "failed"
]
EXIT_CODES: dict[str, int] = {"same": 0, "different": 1, "damaged": 2, "could not": 3, "other protocol": 4}
_WORST: tuple[Outcome, ...] = ("different", "damaged", "other protocol", "could not")
MISSING = ("data", "weights", "published")  # causes that say nothing about the result itself


class NotReproducibleError(MeasurementError):
    """A result cannot be made again here (exit code 3); ``cause`` says in a word why not."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause: Cause = cause


class ScoreDifference(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One score, as it is in the result (``then``) and as it was measured now.

    ``same``: mean and every image within ``atol + rtol·|then|``. ``identical``: the same bits. ``largest`` is the
    largest difference of an image, of ``image``, or of the mean where there are no images; None where one side has a
    value and the other has none. Means are None where only some images were scored.
    """

    same: bool
    identical: bool
    values: int
    largest: float | None
    image: str = ""
    then: float | None = None
    now: float | None = None
    atol: float = 0.0
    rtol: float = 0.0


class Reproduction(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What became of one result. ``file`` begins with the name of the folder that was given.

    ``result_sha256``: of the bytes of ``result.json``. ``table_sha256``: of its per-image table, unpacked.
    ``images``: how many were scored, ``of`` all of the result. ``environment``: what differs, then and now.
    """

    file: str
    outcome: Outcome
    id: str = ""
    title: str = ""
    result_sha256: Digest | None = None
    table_sha256: Digest | None = None
    cause: Cause = ""
    reason: str = ""
    images: int = 0
    of: int = 0
    identical: bool = False
    retrained: bool = False
    scores: dict[str, ScoreDifference] = {}
    environment: dict[str, tuple[str, str]] = {}
    remarks: list[str] = []

    @property
    def partial(self) -> bool:
        """Whether only the first images were scored."""
        return 0 < self.images < self.of

    @property
    def missing(self) -> bool:
        """Whether nothing is wrong but that data or weights are not here, or that a paper printed the numbers."""
        return self.outcome == "could not" and self.cause in MISSING


def worst_outcome(found: Iterable[Reproduction]) -> Outcome:
    """The outcome that decides the exit code: different, damaged, other protocol, could not, same.

    Example:
        >>> from fusionbench.evaluation.reproduction.outcome import EXIT_CODES, Reproduction, worst_outcome
        >>> found = [Reproduction(file="a", outcome="same"), Reproduction(file="b", outcome="could not")]
        >>> worst_outcome(found), EXIT_CODES[worst_outcome(found)]
        ('could not', 3)
    """
    outcomes: Sequence[Outcome] = [one.outcome for one in found]
    return next((outcome for outcome in _WORST if outcome in outcomes), "same")
