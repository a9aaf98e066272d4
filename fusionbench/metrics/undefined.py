"""Where a metric has no value, and why: images that are too small for it, and images that leave it undefined.

    values, missing = measure(fused, a, b, metrics)      # one fused image and its sources
    missing["vif"].reason                                # "needs images of at least 41×41 pixels: …"

Missing values are distinguished by cause. The size and the sources are the same for every method, so a mean may leave
such images out for all of them alike. What the fused image brings about is its method's doing: no mean may leave that
out, or a method could drop the images on which it does badly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.types import Metric

if TYPE_CHECKING:
    import torch

Cause = Literal["size", "sources", "fused"]


@dataclass(frozen=True)
class NotAvailable:
    """Why a metric has no value for an image, as text without the image's name or size, and its cause."""

    reason: str
    cause: Cause

    @property
    def fair(self) -> bool:
        """Whether it is so for every method's fused image."""
        return self.cause != "fused"


@dataclass(frozen=True)
class Condition:
    """``holds(fused, a, b, …)`` of grey (h, w) images on 0..255; for metrics with a target, of (fused, target)."""

    cause: Cause
    holds: Callable[..., bool]


def _constant(image: np.ndarray) -> bool:
    return bool((image == image.flat[0]).all())


def _black(image: np.ndarray) -> bool:
    return not image.any()


def _shifted(fused: np.ndarray, source: np.ndarray) -> bool:
    """Whether two images differ by the same value everywhere."""
    return _constant(fused.astype(np.float64) - source)


def _no_feature(fused: np.ndarray, *sources: np.ndarray) -> bool:
    from fusionbench.metrics._images import to_images
    from fusionbench.metrics.qp import has_features

    return not any(has_features(to_images(source[None])[0]) for source in sources)


def _no_strong_edge(fused: np.ndarray, *sources: np.ndarray) -> bool:
    from fusionbench.metrics import nabf
    from fusionbench.metrics._images import to_images

    with np.errstate(divide="ignore", invalid="ignore"):  # a vertical edge has no quotient; the metric knows
        edges = [nabf.normalised_gradients(to_images(source[None])[0], False)[0] for source in sources]
    return all(float(strength.max()) < nabf.STRONG for strength in edges)


def _constant_blocks(fused: np.ndarray, *sources: np.ndarray) -> bool:
    from fusionbench.metrics._images import to_images
    from fusionbench.metrics.qm import haar_details

    scales = [scale for source in sources for scale in haar_details(to_images(source[None])[0])]
    return not any(band.any() for details in scales for band in details)


CONDITIONS: Mapping[str, Condition] = {
    "a source is constant": Condition("sources", lambda f, *s: any(map(_constant, s))),
    "both sources are constant": Condition("sources", lambda f, *s: all(map(_constant, s))),
    "both sources are black": Condition("sources", lambda f, *s: all(map(_black, s))),
    "no source has a feature": Condition("sources", _no_feature),
    "no source has an edge of two grey levels": Condition("sources", _no_strong_edge),
    "both sources are constant in every 4×4 block": Condition("sources", _constant_blocks),
    "the fused image is constant": Condition("fused", lambda f, *s: _constant(f)),
    "the fused image is black": Condition("fused", lambda f, *s: _black(f)),
    "the fused image minus a source is constant": Condition("fused", lambda f, a, b: _shifted(f, a) or _shifted(f, b)),
    "the fused image and a source are constant": Condition(
        "fused", lambda f, *s: _constant(f) and any(map(_constant, s))
    ),
    "the fused image equals both sources": Condition("fused", lambda f, *s: all(np.array_equal(f, x) for x in s)),
    "the fused image equals the target": Condition("fused", lambda f, target: np.array_equal(f, target)),
}


def too_small(metric: Metric, height: int, width: int) -> NotAvailable | None:
    """Why images of this size have no value of a metric; None where they may have one."""
    why = f": {metric.min_reason}" if metric.min_reason else ""
    if min(height, width) < metric.min_side:
        return NotAvailable(f"needs images of at least {metric.min_side}×{metric.min_side} pixels{why}", "size")
    if height * width < metric.min_pixels:
        return NotAvailable(f"needs images of at least {metric.min_pixels} pixels{why}", "size")
    return None


def why_undefined(metric: Metric, value: float, images: Sequence[np.ndarray]) -> NotAvailable:
    """Why a value is not finite. ``images``: (fused, a, b, …) or (fused, target), each (h, w) on 0..255.

    What the record does not explain counts as the fused image's doing.
    """
    what = "infinite" if math.isinf(value) else "undefined"
    # causes in the sources come first: they hold for every fused image
    known = [(name, CONDITIONS[name]) for name in metric.undefined if name in CONDITIONS]
    for name, condition in sorted(known, key=lambda item: item[1].cause == "fused"):
        if condition.holds(*images):
            return NotAvailable(f"{what} where {_for_sources(name, len(images) - 1)}", condition.cause)
    return NotAvailable(f"{what}, for a reason that the metric's record does not name", "fused")


def _for_sources(condition: str, count: int) -> str:
    return condition.replace("both sources", f"all {count} sources") if count > 2 else condition


def placed(stack: np.ndarray, device: torch.device | None) -> Any:
    """The stack as a tensor there; itself without a device, or on the CPU."""
    if device is None or device.type == "cpu":
        return stack
    import torch

    return torch.from_numpy(np.ascontiguousarray(stack)).to(device)


def measure(
    fused: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    metrics: Sequence[Metric],
    name: object = 0,
    device: torch.device | None = None,
) -> tuple[dict[str, float], dict[str, NotAvailable]]:
    """Every metric of one fused image and its sources, three (h, w) on 0..255: values, and why the others have none.

    A metric without a value is NaN in the values. ``name`` is the image's in messages. On a ``device`` that is no CPU
    the images are scored as tensors, to 1e-9 of the CPU's values.

    Raises:
        UsageError, DataError: images that no metric can score (sizes that differ, NaN, values outside 0..255).
    """
    from fusionbench.metrics._images import check_stacks
    from fusionbench.metrics.engine import SourcePair

    stacks = fused[None], a[None], b[None]
    check_stacks(stacks, ("fused", "a", "b"), [name])
    there = [placed(stack, device) for stack in stacks]
    missing = {metric.name: why for metric in metrics if (why := too_small(metric, *fused.shape)) is not None}
    able = [metric for metric in metrics if metric.name not in missing]
    values = dict.fromkeys((metric.name for metric in metrics), math.nan)

    def score(some: Sequence[Metric]) -> dict[str, float]:
        found = SourcePair(there[1], there[2], some, ids=[name], persistent=False).score(there[0])
        return {key: float(value[0]) for key, value in found.items()}

    try:
        values |= score(able) if able else {}
    except DataError:  # some plugin's, that refuses what its record does not tell: the others still have values
        for metric in able:
            try:
                values |= score([metric])
            except DataError as error:
                missing[metric.name] = NotAvailable(" ".join(str(error).split()), "fused")
    for metric in able:
        if metric.name not in missing and not math.isfinite(values[metric.name]):
            missing[metric.name] = why_undefined(metric, values[metric.name], (fused, a, b))
    return values, {metric.name: missing[metric.name] for metric in metrics if metric.name in missing}


def grouped(missing: Iterable[tuple[str, NotAvailable | None]]) -> dict[NotAvailable, list[str]]:
    """Names of images by why they have no value, from (name, why) of every image."""
    found: dict[NotAvailable, list[str]] = {}
    for name, why in missing:
        if why is not None:
            found.setdefault(why, []).append(name)
    return found
