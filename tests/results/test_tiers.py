"""Which rows are ranked against each other."""

from __future__ import annotations

from typing import get_args

import pytest

from fusionbench.results.schema import Status
from fusionbench.results.tiers import HEADINGS, TIERS, Tier, tier_of


@pytest.mark.parametrize(("status", "tier"), [("scored", "predictions"), ("verified", "weights")])
def test_only_what_was_scored_as_submitted_is_apart(status: str, tier: str) -> None:
    assert status in get_args(Status) and tier_of(status) == tier


def test_every_tier_has_a_heading() -> None:
    assert set(HEADINGS) == set(TIERS) == set(get_args(Tier))
