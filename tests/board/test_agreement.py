"""What several metrics say together, against SciPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from fusionbench.board.agreement import add_mean_ranks, agreement
from fusionbench.board.rows import Benchmark, benchmarks
from tests.helpers.results import made_up


@pytest.fixture(scope="module")
def benchmark_of_six(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    root = tmp_path_factory.mktemp("results")
    for number in range(6):  # close enough for the metrics to disagree
        made_up(root, f"m{number}", shift=0.001 * number, seed=number, dataset={"name": "fusionmnist"})
    made_up(root, "mean-image", family="trivial", shift=0.5, metrics={"mse_min": "1"}, dataset={"name": "fusionmnist"})
    return benchmarks(root, 100)[0]


def test_mean_ranks(benchmark_of_six: Benchmark) -> None:
    assert add_mean_ranks(benchmark_of_six, 400)
    rows = [row for row in benchmark_of_six.kind("ranked") if row.family == "model"]
    values = np.array([[row.cells[f"{m}@mean"].value for row in rows] for m in ("nll_bpd", "mse_min")], float)
    expected = rankdata(values, axis=1).mean(axis=0)
    for row, mean in zip(rows, expected, strict=True):
        assert row.mean_rank is not None and row.mean_rank.value == mean
        low, high = map(float, row.mean_rank.text.partition("(")[2].rstrip(")").split("–"))
        assert 1 <= low <= mean <= high <= 6 and low < high, "differences of a thousandth are within the noise"
    trivial = next(row for row in benchmark_of_six.rows if row.family == "trivial")
    assert trivial.mean_rank is None, "it lacks a metric"


def test_one_metric_has_no_mean_rank(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_up(tmp_path, name, metrics={"mse_min": "1"})
    assert not add_mean_ranks(benchmarks(tmp_path, 100)[0], 100)


def test_agreement_is_spearmans(benchmark_of_six: Benchmark) -> None:
    columns, matrix = agreement(benchmark_of_six)
    assert [column.metric for column in columns] == ["nll_bpd", "mse_min"]
    rows = [row for row in benchmark_of_six.kind("ranked") if row.cells["nll_bpd@mean"].value is not None]
    values = [[row.cells[column.key].value for row in rows] for column in columns]
    assert matrix[0][1].value == pytest.approx(spearmanr(*values).statistic, abs=1e-12) and matrix[0][1].rows == 6
    assert matrix[1][0] == matrix[0][1] and matrix[0][0].value == pytest.approx(1.0)


def test_agreement_of_too_few_rows_is_unknown(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        made_up(tmp_path, name)
    assert agreement(benchmarks(tmp_path, 100)[0])[1][0][1].value is None
