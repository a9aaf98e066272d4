"""Which metrics there are for the images at hand, and their values: any number of sources, a known target, or both.

Two sources are the rule, and all metrics of pairs are defined for them. Those that are a sum or a mean over the
sources, or weigh them by their edges, are defined for any number; their records say so (``many``). A target is compared
with the fused image alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics._images import check_stacks, to_images
from fusionbench.metrics.dialects import STANDARD
from fusionbench.metrics.engine import TABLE, choose
from fusionbench.metrics.undefined import NotAvailable, measure, placed, too_small, why_undefined

if TYPE_CHECKING:
    import torch

SOURCES = "abcdef"  # what they are called in messages


def choose_for(
    metrics: Sequence[str | Metric] | None, dialect: str = STANDARD, sources: int = 2, target: bool = False
) -> list[Metric]:
    """Metric records for images with so many sources, and a target or none.

    Args:
        metrics: names or records, each once; None means those of the field's tables that are defined for the images,
            and all against the target where there is one; ``["all"]`` means all that are defined.
        sources: 0, or at least 2.

    Raises:
        UsageError: unknown names, a metric that needs other images, or a dialect where none is defined.

    Example:
        >>> from fusionbench.metrics.inputs import choose_for
        >>> [metric.name for metric in choose_for(None, sources=3)]
        ['en', 'sd', 'sf', 'mi', 'vif', 'qabf', 'ssim']
        >>> [metric.name for metric in choose_for(None, sources=0, target=True)]
        ['mse_target', 'psnr_target', 'ssim_target']
    """
    if sources == 2 and not target:
        return choose(metrics, dialect) if metrics is None else choose(_with_hint(metrics, dialect), dialect)
    if dialect.partition("/")[0] != "standard":
        what = "a target" if target else f"{sources} sources"
        raise UsageError(f"The dialect {dialect!r} is not defined for {what}: leave --dialect out")
    if metrics is None or list(metrics) == ["all"]:
        among = list_metrics() if metrics is not None else TABLE if sources else ()
        found = [metric for name in among if _why_not(metric := get_metric(name), sources, target) is None]
        if metrics is None:
            found += [get_metric(name) for name in list_metrics() if target and get_metric(name).needs == "target"]
        return found
    chosen: dict[str, Metric] = {}
    for item in metrics:
        metric = get_metric(item) if isinstance(item, str) else item
        if (reason := _why_not(metric, sources, target)) is not None:
            raise UsageError(reason)
        chosen[metric.name] = metric
    if not chosen:
        raise UsageError("No metric to score; name one, for example " + ("psnr_target" if target else "vif"))
    return [*chosen.values()]


def _with_hint(metrics: Sequence[str | Metric], dialect: str) -> Sequence[str | Metric]:
    """The same; metrics against a target are refused with what they need."""
    for item in metrics:
        if isinstance(item, str) and item in list_metrics() and get_metric(item).needs == "target":
            raise UsageError(f"The metric {item!r} compares with the known truth: add --target")
    return metrics


def _why_not(metric: Metric, sources: int, target: bool) -> str | None:
    """Why a metric is not defined for such images; None where it is."""
    if metric.needs == "fused" or (metric.needs == "target" and target):
        return None
    if metric.needs == "target":
        return f"The metric {metric.name!r} compares with the known truth: add --target"
    if metric.needs != "pair":
        return f"The metric {metric.name!r} needs {metric.needs}, not a fused image with its sources or its target"
    if not sources:
        return f"The metric {metric.name!r} compares with the sources: add --a and --b"
    if sources > 2 and not metric.many:
        able = [name for name in list_metrics() if get_metric(name).many]
        return (
            f"The metric {metric.name!r} is defined for two sources, not for {sources}; "
            f"for any number there are {', '.join(able)} and those of the fused image alone"
        )
    return None


def measure_row(
    fused: np.ndarray,
    sources: Sequence[np.ndarray],
    metrics: Sequence[Metric],
    name: object = 0,
    target: np.ndarray | None = None,
    device: torch.device | None = None,
) -> tuple[dict[str, float], dict[str, NotAvailable]]:
    """As :func:`fusionbench.metrics.undefined.measure`, for any number of sources and a target: (h, w) on 0..255 each.

    Raises:
        UsageError, DataError: images that no metric can score (sizes that differ, NaN, values outside 0..255).

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.inputs import choose_for, measure_row
        >>> a, b, c = (np.full((8, 8), level, np.uint8) for level in (10, 20, 60))
        >>> values, missing = measure_row(b, [a, b, c], choose_for(["mse", "cc"], sources=3))
        >>> round(values["mse"], 2), missing["cc"].reason  # (10² + 0 + 40²)/3
        (566.67, 'undefined where a source is constant')
    """
    if len(sources) == 2 and target is None:
        return measure(fused, sources[0], sources[1], metrics, name, device)
    stacks = {"fused": fused[None], **{SOURCES[i]: source[None] for i, source in enumerate(sources)}}
    if target is not None:
        stacks["target"] = target[None]
    check_stacks([*stacks.values()], [*stacks], [name])
    there = {side: placed(stack, device) for side, stack in stacks.items()}
    images = {side: to_images(stack)[0] for side, stack in there.items()}
    pair = ["fused", *SOURCES[: len(sources)]]
    sides = {"fused": ["fused"], "pair": pair, "target": ["fused", "target"]}
    missing = {metric.name: why for metric in metrics if (why := too_small(metric, *fused.shape)) is not None}
    values = dict.fromkeys((metric.name for metric in metrics), math.nan)
    for metric in metrics:
        if metric.name in missing:
            continue
        chosen = sides[metric.needs]
        try:
            values[metric.name] = _value(metric, chosen, images, there)
        except DataError as error:  # some plugin's, that refuses what its record does not tell
            missing[metric.name] = NotAvailable(" ".join(str(error).split()), "fused")
            continue
        if not math.isfinite(values[metric.name]):
            about = pair if metric.needs == "fused" and sources else chosen
            arrays = [stacks[side][0] for side in about]
            missing[metric.name] = why_undefined(metric, values[metric.name], arrays)
    return values, {metric.name: missing[metric.name] for metric in metrics if metric.name in missing}


def _value(metric: Metric, sides: Sequence[str], images: dict[str, Any], stacks: dict[str, Any]) -> float:
    if not hasattr(metric.function, "kernel"):
        return float(metric.function(*(stacks[side] for side in sides))[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(metric.function.kernel(*(images[side] for side in sides)))
