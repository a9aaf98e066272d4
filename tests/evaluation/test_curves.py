"""Curves over the number of draws agree with evaluations at that number."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.curves import draw_curves, save_curves, steps_to
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.training.loop import train
from tests.helpers.learning import MemoryDataset

DATA = MemoryDataset(train=16, test=6)


def test_each_point_is_an_evaluation(tmp_path: Path) -> None:
    train("cvae", DATA, out=tmp_path / "run", preset="tiny", training={"batch": 8, "epochs": 1})
    rows = draw_curves(tmp_path / "run", DATA, draws=5, device="cpu")
    assert [(n, k) for n, k, _, _ in rows] == [(n, k) for n in range(4) for k in (1, 2, 4, 5)]
    for draws in (2, 5):
        result = evaluate(tmp_path / "run", DATA, protocol=Protocol(draws=draws), out=None, device="cpu")
        for inputs, count, nats, error in rows:
            if count == draws:
                assert nats == pytest.approx(result.scores[f"nll@{inputs}"].mean, abs=2e-3)
                assert error == pytest.approx(result.scores[f"mse_min@{inputs}"].mean, abs=1e-6)
    best = [error for inputs, _, _, error in rows if inputs == 0]
    assert best == sorted(best, reverse=True)
    save_curves(rows, tmp_path / "curves.csv")
    with open(tmp_path / "curves.csv", newline="") as stream:
        assert [float(row["nll"]) for row in csv.DictReader(stream)] == [nats for _, _, nats, _ in rows]


def test_models_without_latents_have_no_curve(tmp_path: Path) -> None:
    train("mean-image", DATA, out=tmp_path)
    with pytest.raises(UsageError, match="nothing to draw"):
        draw_curves(tmp_path, DATA, draws=3, device="cpu")


def test_steps() -> None:
    assert [steps_to(1), steps_to(8), steps_to(20)] == [[1], [1, 2, 4, 8], [1, 2, 4, 8, 16, 20]]
