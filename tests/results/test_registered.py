"""What is known of a score by its metric, and what is not."""

from __future__ import annotations

import pytest

from fusionbench.metrics import METRICS, get_metric
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.results.registered import (
    metric_of,
    registered_direction,
    registered_tolerance,
    registered_unit,
    registered_version,
)


def test_a_key_without_a_column_is_the_metric() -> None:
    for name in METRICS.names():
        metric = METRICS.get(name)
        found = metric_of(name), registered_direction(name), registered_unit(name), registered_version(name)
        assert found == (name, metric.better, metric.unit, metric.version)
        assert registered_tolerance(name, -2.0) == metric.tolerance.atol + 2 * metric.tolerance.rtol


def test_units_of_dialects() -> None:
    for dialect in DIALECTS.values():
        for name in dialect.metrics:
            assert registered_unit(f"{name}@{dialect.name}") == get_metric(name, dialect.name).unit


@pytest.mark.parametrize(
    ("key", "unit"),
    [("nll@3", "nats"), ("elbo@mean", "nats"), ("elbo_bpd@mean", "bits/dim"), ("psnr@shift/1:1", "dB")],
)
def test_other_columns_have_the_unit_of_the_metric(key: str, unit: str) -> None:
    assert registered_unit(key) == unit


@pytest.mark.parametrize("key", ["loss", "ap@car", "psnr_own@all", "robustness@vif", "@0", ""])
def test_what_no_metric_here_knows(key: str) -> None:
    known = registered_direction(key), registered_unit(key), registered_version(key), registered_tolerance(key, 1.0)
    assert known == (None, None, None, None)
