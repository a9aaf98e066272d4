"""Metrics, one per file. A new metric is its file plus one line here."""

from __future__ import annotations

from fusionbench.contracts import Metric
from fusionbench.registry import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    "fusionbench.metrics",
    {
        "mse_min": "fusionbench.metrics.mse_min:METRIC",
        "nll": "fusionbench.metrics.nll:METRIC",
    },
    see="fusionbench list metrics",
)
register_metric = METRICS.register
list_metrics = METRICS.names


def get_metric(name: str) -> Metric:
    """The metric called ``name``.

    Raises:
        UsageError: unknown name, with a suggestion.
    """
    return METRICS.get(name)
