"""What the registered metrics say about a score key: its direction, its unit and its tolerance.

A file states direction and unit beside every number. Where the metric is registered here they are known, and a file
that states others would turn a ranking upside down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionbench.results.bootstrap import Better

if TYPE_CHECKING:
    from fusionbench.core.types import Metric

BITS = "bits/dim"  # the unit of ``metric_bpd``, whatever the metric's own


def metric_of(key: str) -> str:
    """The name of the metric behind a score key: ``nll`` for bounds and other units of it.

    Example:
        >>> from fusionbench.results.registered import metric_of
        >>> metric_of("nll_bpd@mean"), metric_of("elbo@0"), metric_of("mi@cddfuse")
        ('nll', 'nll', 'mi')
    """
    metric = key.partition("@")[0].removesuffix("_bpd")
    return "nll" if metric == "elbo" else metric


def registered_direction(key: str) -> Better | None:
    """The direction of a score key by its metric; None where the metric is not registered here.

    Example:
        >>> from fusionbench.results.registered import registered_direction
        >>> registered_direction("nll_bpd@mean"), registered_direction("vif"), registered_direction("loss")
        ('lower', 'higher', None)
    """
    metric = _registered(key)
    return None if metric is None else metric.better


def registered_unit(key: str) -> str | None:
    """The unit of a score key by its metric, in the dialect that its column names; None where it is not registered.

    Example:
        >>> from fusionbench.results.registered import registered_unit
        >>> registered_unit("mi"), registered_unit("mi@cddfuse"), registered_unit("nll_bpd@2"), registered_unit("loss")
        ('bits', 'nats', 'bits/dim', None)
    """
    from fusionbench.metrics.dialects import DIALECTS

    metric = _registered(key)
    if metric is None:
        return None
    name, _, column = key.partition("@")
    if name.endswith("_bpd"):
        return BITS
    dialect = DIALECTS.get(column)  # other columns are numbers of inputs, conditions and classes
    variant = None if dialect is None else dialect.metrics.get(name)
    return variant.unit if variant is not None and variant.unit else metric.unit


def registered_version(key: str) -> str | None:
    """The version of the metric behind a score key; None where the metric is not registered here.

    Example:
        >>> from fusionbench.results.registered import registered_version
        >>> registered_version("elbo@mean"), registered_version("loss")
        ('1', None)
    """
    metric = _registered(key)
    return None if metric is None else metric.version


def registered_tolerance(key: str, mean: float) -> float | None:
    """The tolerance of a score key by its metric, at most; None where the metric is not registered here.

    Bits per dimension count as nats, of which they are a part.

    Example:
        >>> from fusionbench.results.registered import registered_tolerance
        >>> registered_tolerance("nll_bpd@2", 500.0), registered_tolerance("loss", 500.0)
        (0.05, None)
    """
    metric = _registered(key)
    return None if metric is None else metric.tolerance.atol + metric.tolerance.rtol * abs(mean)


def _registered(key: str) -> Metric | None:
    from fusionbench.metrics import METRICS

    name = metric_of(key)
    return METRICS.get(name) if name in METRICS.names() else None
