"""Learning rates, budgets and training parameters."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.training.schedule import (
    Budget,
    Training,
    check_groups,
    create_optimizer,
    create_training,
    learning_rate,
)

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


STAIRS = create_training({"schedule": "step", "lr": 1e-4, "lr_min": 1e-5, "epochs": 120})


def test_the_rate_is_halved_every_20_epochs() -> None:
    """As CDDFuse trains: 120 epochs of 50 steps, halved every 20, with a floor."""
    rates = [learning_rate(STAIRS, step, 120 * 50) for step in range(120 * 50)]
    assert rates[0] == rates[20 * 50 - 1] == 1e-4
    assert rates[20 * 50] == rates[40 * 50 - 1] == 5e-5
    assert rates[60 * 50] == pytest.approx(1.25e-5)
    assert rates[80 * 50] == rates[-1] == 1e-5  # 6.25e-6 is below the floor
    steep = msgspec.structs.replace(STAIRS, step_epochs=30, step_factor=0.1, lr_min=0.0, warmup_epochs=2)
    assert learning_rate(steep, 50, 120 * 50) == pytest.approx(5e-5)
    assert learning_rate(steep, 90 * 50, 120 * 50) == pytest.approx(1e-7)


@pytest.mark.parametrize("total", [6, 18, 66, 6000, 6666])
def test_a_budget_compresses_the_stairs(total: int) -> None:
    rates = [learning_rate(STAIRS, step, total) for step in range(total)]
    assert [rates.count(rate) * 6 // total for rate in (1e-4, 5e-5, 2.5e-5, 1.25e-5)] == [1, 1, 1, 1]
    assert rates.count(1e-5) * 6 // total == 2


def test_groups_inherit_what_they_do_not_set() -> None:
    body = {"lr": 1e-3, "lr_min": 1e-5, "clip": 2.0, "per_group": {"critic": {"lr": 1e-4, "betas": [0.5, 0.999]}}}
    training = create_training(body)
    assert training.of_group("generator") is training
    critic = training.of_group("critic")
    assert (critic.lr, critic.betas, critic.clip, critic.lr_min) == (1e-4, (0.5, 0.999), 2.0, 1e-5)
    optimizer = create_optimizer([torch.nn.Parameter(torch.zeros(1))], critic)
    assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (1e-4, (0.5, 0.999))
    check_groups(training, "dae-fuse", ["critic", "generator"])
    with pytest.raises(UsageError, match=r"Unknown group of parameters of mfeif 'critic'.*critics"):
        check_groups(training, "mfeif", ["critics", "main"])


def test_a_smooth_cosine_falls_with_every_step_of_a_short_training() -> None:
    training = create_training(
        {"lr": 1e-2, "lr_min": 1e-4, "epochs": 2, "warmup_epochs": 0.1, "schedule": "smooth-cosine"}
    )
    rates = [learning_rate(training, step, 2000) for step in range(2001)]
    assert rates[:101] == pytest.approx([1e-2 * step / 100 for step in range(101)])
    for step in (100, 575, 1050, 2000):
        turn = (step - 100) / 1900
        assert rates[step] == pytest.approx(1e-4 + 0.5 * 9.9e-3 * (1 + np.cos(np.pi * turn)), rel=1e-9)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[100:]))


def test_the_identity_leaves_later_parameters_out_until_they_are_used() -> None:
    """Results from before these parameters existed keep their identities."""
    earlier = set(Training.__struct_fields__) - {"schedule", "step_epochs", "step_factor", "per_group"}
    assert set(PAPER.identity()) == earlier
    assert set(STAIRS.identity()) == earlier | {"schedule"}
    used = create_training({"per_group": {"critic": {"clip": 1.0}}}).identity()
    assert used["per_group"] == {"critic": {"clip": 1.0}}


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
        ({"schedule": "stairs"}, "schedule"),
        ({"schedule": "step", "lr": 1e-3, "lr_min": 1e-2}, "lr_min 0.01 is above lr 0.001"),
        ({"step_epochs": 0}, "step_epochs"),
        ({"step_factor": 2}, "step_factor"),
        ({"per_group": {"critic": {"lrr": 1}}}, "of the group 'critic'.*Did you mean 'lr'"),
        ({"per_group": {"critic": {"lr": -1}}}, "of the group 'critic': .*positive"),
        ({"per_group": {"critic": {"clip": "much"}}}, "clip"),
        ({"per_group": {"critic": 3}}, "per_group"),
        ({"per_group": 3}, "per_group"),
    ],
)
def test_wrong_training_parameters(params: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_training(params)
