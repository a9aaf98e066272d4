"""Learning rates, budgets and training parameters."""

from __future__ import annotations

import math

import pytest

from fusionbench.errors import UsageError
from fusionbench.schedule import Budget, create_training, learning_rate

PAPER = create_training({"lr": 1e-2, "lr_min": 1e-4, "warmup_epochs": 5, "epochs": 400, "batch": 1600})


def test_the_papers_schedule() -> None:
    """Linear over 5 epochs of 37 steps, then a cosine, one value per epoch, that ends at lr_min in the last epoch."""
    total = 400 * 37
    assert learning_rate(PAPER, 0, total) == 0
    assert learning_rate(PAPER, 37, total) == pytest.approx(2e-3)
    assert learning_rate(PAPER, 5 * 37, total) == pytest.approx(1e-2)
    assert learning_rate(PAPER, 6 * 37, total) == learning_rate(PAPER, 6 * 37 + 36, total) < 1e-2
    middle = 1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * 195 / 394)) / 2
    assert learning_rate(PAPER, 200 * 37, total) == pytest.approx(middle)
    assert learning_rate(PAPER, total - 1, total) == pytest.approx(1e-4)


def test_a_budget_compresses_the_whole_schedule() -> None:
    for share in (0.0, 0.1, 0.5, 0.99):
        assert learning_rate(PAPER, int(share * 800), 800) == pytest.approx(
            learning_rate(PAPER, int(share * 8000), 8000)
        )


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("60s", "seconds", 60),
        ("5m", "seconds", 300),
        ("1.5 h", "seconds", 5400),
        ("2000 steps", "steps", 2000),
        ("1 step", "steps", 1),
        ("5%", "share", 0.05),
    ],
)
def test_budgets(text: str, kind: str, value: float) -> None:
    assert Budget.parse(text) == Budget(kind, pytest.approx(value))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "5", "-5s", "0s", "five steps", "5 parsecs", "1e3s"])
def test_wrong_budgets(text: str) -> None:
    with pytest.raises(UsageError, match="Budget"):
        Budget.parse(text)


def test_steps_of_a_budget() -> None:
    assert Budget.parse("5%").steps(1000) == 50
    assert Budget.parse("0.001%").steps(1000) == 1
    assert Budget.parse("2000 steps").steps(1000) == 1000


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lrr": 1}, "Did you mean 'lr'"),
        ({"lr": "x"}, "lr"),
        ({"epochs": 0}, "positive"),
        ({"inputs": "some"}, "inputs"),
    ],
)
def test_wrong_training_parameters(params: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_training(params)
