"""The order of outcomes, which decides the exit code."""

from __future__ import annotations

from itertools import permutations

import pytest

from fusionbench.evaluation.reproduction.outcome import EXIT_CODES, NotReproducibleError, Reproduction, worst_outcome


def one(outcome: str, **about: object) -> Reproduction:
    return Reproduction(file="a", outcome=outcome, **about)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["same", "same"], 0),
        (["same", "could not", "different"], 1),
        (["same", "damaged", "could not", "other protocol"], 2),
        (["other protocol", "could not"], 4),
        (["same", "could not"], 3),
        ([], 0),
    ],
)
def test_the_worst_outcome_decides_in_any_order(outcomes: list[str], code: int) -> None:
    for order in permutations(outcomes):
        assert EXIT_CODES[worst_outcome([one(outcome) for outcome in order])] == code


def test_partial_and_missing() -> None:
    assert one("same", images=2, of=3).partial and not one("same", images=3, of=3).partial
    assert not one("could not", of=3).partial
    assert one("could not", cause="weights").missing and not one("could not", cause="metric").missing
    assert NotReproducibleError("data", "text").exit_code == 3
