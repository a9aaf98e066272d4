"""Tiers: which rows are ranked against each other, like with like.

Whoever sends predictions had the images of a public test set, and for masked views anybody can make the targets, so the
predictions can be the targets. Rows of weights that the harness scored itself are another kind of evidence: they are
ranked by themselves, and submitted predictions by themselves, unless a reader asks for one table.

Fused images that were stretched image by image to the full range have contrast that no fusion made. They are ranked
among themselves, always (:mod:`fusionbench.results.full_range`).

Example:
    >>> from fusionbench.results.tiers import HEADINGS, ranked_groups, tier_of
    >>> tier_of("scored", "masked"), tier_of("verified", "masked"), tier_of("scored", "pairs", stretched=True)
    ('predictions', 'weights', 'stretched')
    >>> ranked_groups("together")
    [('weights', 'predictions'), ('stretched',)]
    >>> HEADINGS["predictions"][:21]
    'Submitted predictions'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fusionbench.results.tracks import has_public_targets

Tier = Literal["weights", "stretched", "predictions"]
Tiers = Literal["apart", "together"]
APART: Tiers = "apart"
TOGETHER: Tiers = "together"
TIERS: tuple[Tier, ...] = ("weights", "stretched", "predictions")
HEADINGS: dict[Tier, str] = {
    "weights": "Scored here from models and weights",
    "stretched": "Stretched: every fused image spread to the full range, which raises EN, SD and SF; ranked apart",
    "predictions": "Submitted predictions: ranked apart, as their authors had the test images, or their targets",
}
PLAIN_HEADING = "Fused images as they are"  # of the first tier, where stretched rows stand below it
TOGETHER_NOTE = (
    "Submitted predictions, whose authors had the test images, are ranked together with rows that were scored here "
    "from weights, as was asked for."
)


def tier_of(status: str, protocol: str, stretched: bool = False) -> Tier:
    """The tier of a result: ``predictions`` for what was scored as submitted where the targets are public.

    Args:
        stretched: its fused images were stretched image by image.

    Registered pairs have no targets: fused images of any program are ranked with methods that ran here, as in papers.
    Of a protocol that is not known here the careful answer is given.

    Example:
        >>> from fusionbench.results.tiers import tier_of
        >>> tier_of("verified", "masked"), tier_of("scored", "pairs")
        ('weights', 'weights')
    """
    if status == "scored" and has_public_targets(protocol):
        return "predictions"
    return "stretched" if stretched else "weights"


def ranked_groups(tiers: Tiers) -> list[tuple[Tier, ...]]:
    """Tiers that are ranked against each other, in the order of tables. What is stretched is never joined.

    Example:
        >>> from fusionbench.results.tiers import ranked_groups
        >>> ranked_groups("apart")
        [('weights',), ('stretched',), ('predictions',)]
    """
    return [("weights", "predictions"), ("stretched",)] if tiers == TOGETHER else [(tier,) for tier in TIERS]


def heading_of(group: Sequence[Tier], present: Sequence[Tier]) -> str:
    """The heading of a ranked group below which there are others: those of the tiers ``present``.

    Example:
        >>> from fusionbench.results.tiers import heading_of
        >>> heading_of(("weights",), ("weights", "stretched"))
        'Fused images as they are'
    """
    if group[0] != TIERS[0]:
        return HEADINGS[group[0]]
    return PLAIN_HEADING if "stretched" in present else HEADINGS[group[0]]
