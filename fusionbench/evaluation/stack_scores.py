"""Stacks -> model -> one fused luma a stack -> its scores against the truth, where one is known, and the sources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusionbench.core.errors import CannotMeasure, DataError, UsageError
from fusionbench.core.interfaces import Model, can_fuse
from fusionbench.core.progress import progress
from fusionbench.core.types import Batch, Metric
from fusionbench.core.unit_range import to_unit
from fusionbench.evaluation.fused_values import problem_of_fused
from fusionbench.evaluation.partial_scores import partial_scores
from fusionbench.evaluation.stack_sets import Stack, StackSet
from fusionbench.metrics import get_metric
from fusionbench.metrics.undefined import NotAvailable, grouped, too_small, why_undefined
from fusionbench.results.schema import Score, summarise

if TYPE_CHECKING:
    import torch

    from fusionbench.evaluation.kept_rows import KeptRows

NO_TRUTH = NotAvailable("needs the truth, which these stacks do not have", "sources")
TWO_ONLY = NotAvailable("is defined for two sources", "sources")


class ScoredStack(NamedTuple):
    """The value of every metric for one fused image, NaN where there is none, and why there is none."""

    values: dict[str, float]
    missing: dict[str, NotAvailable]


def score_stack(fused: np.ndarray, stack: Stack, metrics: Sequence[str]) -> ScoredStack:
    """One fused uint8 (h, w) and its stack: the value of every metric, NaN where there is none, and why there is none.

    Raises:
        DataError: an image of another size than its stack.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.stack_scores import score_stack
        >>> from fusionbench.evaluation.stack_sets import Stack
        >>> views = np.random.default_rng(0).integers(0, 256, (3, 24, 24), np.uint8)
        >>> values, missing = score_stack(views[0], Stack("x", views, views[1]), ["psnr_target", "qabf", "qg"])
        >>> sorted(values), missing["qg"].reason
        (['psnr_target', 'qabf', 'qg'], 'is defined for two sources')
    """
    if fused.shape != stack.views.shape[1:]:
        (h, w), (k, m) = fused.shape, stack.views.shape[1:]
        raise DataError(f"{stack.name}: the fused image is {h}×{w} and its sources are {k}×{m} pixels")
    values, missing = {}, {}
    for name in metrics:
        metric = get_metric(name)
        others, why = _compared_with(metric, stack), lacks(name, stack) or too_small(metric, *fused.shape)
        value = math.nan
        if why is None:
            with np.errstate(divide="ignore", invalid="ignore"):
                value = float(metric.function(fused[None], *(image[None] for image in others))[0])
            if not math.isfinite(value):
                why, value = why_undefined(metric, value, (fused, *others)), math.nan
        values[name] = value
        if why is not None:
            missing[name] = why
    return ScoredStack(values, missing)


def lacks(name: str, stack: Stack) -> NotAvailable | None:
    """Why a metric can have no value on such stacks, whatever is fused; None where it can."""
    metric = get_metric(name)
    if metric.needs == "target":
        return NO_TRUTH if stack.truth is None else None
    return TWO_ONLY if metric.needs == "pair" and len(stack.views) > 2 and not metric.many else None


def _compared_with(metric: Metric, stack: Stack) -> tuple[np.ndarray, ...]:
    if metric.needs == "target":
        return () if stack.truth is None else (stack.truth,)
    return () if metric.needs == "fused" else tuple(stack.views)


def fused_luma(model: Model, stack: Stack, index: int, device: torch.device | str) -> np.ndarray:
    """What a model makes of one stack as it is scored: uint8 (h, w).

    Raises:
        UsageError: a model that fuses nothing.
        CannotMeasure: values that are not finite, or far from [0,1].
    """
    import torch

    if not can_fuse(model):
        raise UsageError(f"{getattr(model, 'title', 'the model')} has no fuse: it makes no image of a stack")
    views = to_unit(torch.from_numpy(np.ascontiguousarray(stack.views)).to(device))[None, :, None]
    present = torch.ones(1, views.shape[1], dtype=torch.bool, device=device)
    batch = Batch(None, views, present, torch.tensor([index], device=device)).with_present(present, views.shape[1])
    with torch.no_grad():
        image = model.fuse(batch)
    if (problem := problem_of_fused(image)) is not None:
        raise CannotMeasure(f"the fused image {problem}")
    found: np.ndarray = (image[0, 0].detach().double().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return found


def measure_stacks(
    model: Model, stacks: StackSet, metrics: Sequence[str]
) -> tuple[dict[str, Score], Mapping[str, Sequence[Any]]]:
    """Scores of a model over all stacks, and their values stack by stack.

    Raises:
        UsageError: a model that makes no image of a stack, or not of so many views.
        DataError: pictures that cannot be read.
    """
    from fusionbench.models.fusing_memory import device_of

    device = device_of(model)  # type: ignore[arg-type]  # it looks at parameters alone
    kept: KeptRows[ScoredStack] = partial_scores().rows("stacks", stacks.names, ScoredStack)
    with progress(f"score {model.title}", len(stacks), "stacks", len(kept.rows)) as bar:
        for index in range(len(kept.rows), len(stacks)):
            kept.stop_in_time(f"{model.title} on {stacks.identity.name}")
            stack = stacks.stack(index)
            kept.add([score_stack(fused_luma(model, stack, index, device), stack, metrics)])
            bar.advance()
    scores: dict[str, Score] = {}
    table: dict[str, Sequence[Any]] = {"id": stacks.names}
    for name in metrics:
        record = get_metric(name)
        table[name] = [row.values[name] for row in kept.rows]
        why = grouped((stem, row.missing.get(name)) for stem, row in zip(stacks.names, kept.rows, strict=True))
        scores[name] = summarise(np.array(table[name]), record.better, record.unit, why)
    return scores, table
