"""Which rows are ranked against each other."""

from __future__ import annotations

from typing import get_args

import pytest

from fusionbench.results.schema import Status
from fusionbench.results.tiers import HEADINGS, TIERS, Tier, tier_of


@pytest.mark.parametrize(
    ("status", "protocol", "tier"),
    [
        ("scored", "masked", "predictions"),
        ("verified", "masked", "weights"),
        ("scored", "pairs", "weights"),  # no targets that predictions could be
        ("scored", "of-another-package", "predictions"),
    ],
)
def test_only_what_was_scored_as_submitted_is_apart_where_targets_are_public(
    status: str, protocol: str, tier: str
) -> None:
    assert status in get_args(Status) and tier_of(status, protocol) == tier


def test_every_tier_has_a_heading() -> None:
    assert set(HEADINGS) == set(TIERS) == set(get_args(Tier))
