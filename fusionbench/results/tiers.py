"""Tiers: which rows are ranked against each other.

Whoever sends predictions had the images of a public test set, and for masked views anybody can make the targets, so the
predictions can be the targets. Rows of weights that the harness scored itself are another kind of evidence: they are
ranked by themselves, and submitted predictions by themselves, unless a reader asks for one table.

Example:
    >>> from fusionbench.results.tiers import HEADINGS, tier_of
    >>> tier_of("scored", "masked"), tier_of("verified", "masked")
    ('predictions', 'weights')
    >>> HEADINGS["predictions"][:21]
    'Submitted predictions'
"""

from __future__ import annotations

from typing import Literal

from fusionbench.results.tracks import TRACKS

Tier = Literal["weights", "predictions"]
Tiers = Literal["apart", "together"]
APART: Tiers = "apart"
TOGETHER: Tiers = "together"
TIERS: tuple[Tier, ...] = ("weights", "predictions")
HEADINGS: dict[Tier, str] = {
    "weights": "Scored here from models and weights",
    "predictions": "Submitted predictions: ranked apart, as their authors had the test images, or their targets",
}
TOGETHER_NOTE = (
    "Submitted predictions, whose authors had the test images, are ranked together with rows that were scored here "
    "from weights, as was asked for."
)


def tier_of(status: str, protocol: str) -> Tier:
    """The tier of a result: ``predictions`` for what was scored as submitted where the targets are public.

    Registered pairs have no targets: fused images of any program are ranked with methods that ran here, as in papers.
    Of a protocol that is not known here the careful answer is given.

    Example:
        >>> from fusionbench.results.tiers import tier_of
        >>> tier_of("verified", "masked"), tier_of("scored", "pairs")
        ('weights', 'weights')
    """
    apart = protocol not in TRACKS.names() or TRACKS.get(protocol).public_targets
    return "predictions" if status == "scored" and apart else "weights"
