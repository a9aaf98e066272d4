"""Scores by the number of inputs fit a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusionbench.results.input_tables import by_inputs
from fusionbench.results.schema import load
from tests.helpers.results import made_up


@pytest.mark.parametrize(
    ("views", "heads"),
    [
        (2, ["N = 0", "N = 1", "N = 2", "mean"]),
        (11, [*(f"N = {n}" for n in (0, 2, 4, 6, 8, 11)), "mean"]),
        (64, [*(f"N = {n}" for n in (0, 12, 25, 38, 51, 64)), "mean"]),
    ],
)
def test_a_table_by_inputs_fits_a_terminal(tmp_path: Path, views: int, heads: list[str]) -> None:
    made = load(made_up(tmp_path, views=views))
    table = by_inputs([made], "mse_min")
    assert [column.header for column in table.columns] == ["model", *heads]
    shown = [made.scores[f"mse_min@{head.removeprefix('N = ')}"].mean for head in heads]
    cells = [re.sub(r"\[[^]]*\]", "", next(iter(column.cells))) for column in table.columns[1:]]
    assert cells == [f"{mean:.4f}" for mean in shown]
