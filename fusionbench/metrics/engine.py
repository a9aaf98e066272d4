"""Many metrics on the same images, computing what they share once.

    pair = SourcePair(a, b, ["vif", "qabf"])        # one pair, or N pairs as stacks
    values = pair.score(fused)                      # {"vif": (N,), "qabf": (N,)}

Intermediates of the sources (histograms, gradients, local moments) are cached in the pair, so that a
second fused image of the same sources costs only its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics._gradients import recorded, wants_gradient
from fusionbench.metrics._images import (
    Image,
    check_stack,
    check_stacks,
    recorded_pixels,
    score_recorded,
    stack_like,
    to_images,
)
from fusionbench.metrics.dialects import STANDARD, get_dialect

TABLE = ("en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim")  # the eight columns of the field's tables


class SourcePair:
    """The sources that fused images are scored against: ``a`` and ``b`` are (N,H,W), uint8 or float on 0..255.

    They are copied, since what is cached of them would not follow arrays that are changed in place later;
    ``copy=False`` saves the memory where nobody does that.
    ``metrics`` are names or records that need ``"pair"`` or ``"fused"``; ``None`` takes the eight of the field's
    tables. ``ids`` name the images in messages.

    Raises:
        UsageError: unknown metric or dialect, or a metric that needs something else.
        DataError: images that cannot be scored, with their id.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.engine import SourcePair
        >>> a = np.tile(np.arange(16, dtype=np.uint8) * 7, (2, 16, 1))  # two pairs
        >>> b = a.transpose(0, 2, 1)
        >>> pair = SourcePair(a, b, ["sd", "scd"])
        >>> {name: values.round(2).tolist() for name, values in pair.score(a + b).items()}
        {'sd': [45.63, 45.63], 'scd': [2.0, 2.0]}
        >>> {name: values.round(2).tolist() for name, values in pair.score(a // 2 + b // 2).items()}
        {'sd': [22.78, 22.78], 'scd': [1.41, 1.41]}
    """

    def __init__(
        self,
        a: Any,
        b: Any,
        metrics: Sequence[str | Metric] | None = None,
        dialect: str = STANDARD,
        ids: Sequence[object] | None = None,
        persistent: bool = True,
        copy: bool = True,
    ) -> None:
        check_stacks((a, b), ("a", "b"), ids)
        self.metrics, self.ids = choose(metrics, dialect), ids
        if persistent and copy:
            a, b = _own(a), _own(b)
        self.a, self.b = a, b
        self._recorded: list[Image] | None = None
        self._sources = [*zip(to_images(a, persistent), to_images(b, persistent), strict=True)] if len(a) else []

    def with_source(self, place: int, images: Any) -> SourcePair:
        """The same pairs with source a (``place`` 0) or b (1) exchanged for ``images``, (N,H,W): what is cached of the
        other source serves both.

        Raises:
            UsageError, DataError: as for the pair itself.

        Example:
            >>> import numpy as np
            >>> from fusionbench.metrics.engine import SourcePair
            >>> a, b = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32), np.uint8)
            >>> other = SourcePair(a, b, ["cc"]).with_source(1, b // 2)
            >>> bool(other.score(a)["cc"] == SourcePair(a, b // 2, ["cc"]).score(a)["cc"])
            True
        """
        a, b = (images, self.b) if place == 0 else (self.a, images)
        other = SourcePair(a, b, self.metrics, ids=self.ids, persistent=False)
        made = zip(other._sources, self._sources, strict=True)
        other._sources = [(new[0], old[1]) if place == 0 else (old[0], new[1]) for new, old in made]
        return other

    def score(self, fused: Any) -> dict[str, Any]:
        """Values of every metric, (N,) float64 of the kind of ``fused``, which is (N,H,W) like the sources.

        Where an image requires grad, they have their graph; a metric without a gradient is refused (UsageError).
        """
        self._check(fused)
        if wants_gradient(fused, self.a, self.b):
            return self._score_recorded(fused)
        rows: dict[str, list[Any]] = {metric.name: [] for metric in self.metrics}
        if self._sources:
            with np.errstate(divide="ignore", invalid="ignore"):
                for image, (a, b) in zip(to_images(fused), self._sources, strict=True):
                    self._score_one(image, a, b, rows)
        values = {name: stack_like(row, fused) for name, row in rows.items()}
        for metric in self.metrics:
            if not hasattr(metric.function, "kernel"):
                images = (fused,) if metric.needs == "fused" else (fused, self.a, self.b)
                values[metric.name] = metric.function(*images)
        return values

    def _score_recorded(self, fused: Any) -> dict[str, Any]:
        """Values with their graph. What depends on the sources alone is cached, unless they require grad themselves:
        the graph of one step would be taken for the next."""
        if self._recorded is None and not recorded(self.a, self.b):
            self._recorded = [Image(recorded_pixels(stack), persistent=True) for stack in (self.a, self.b)]
        values = {}
        for metric in self.metrics:
            stacks = (fused,) if metric.needs == "fused" else (fused, self.a, self.b)
            if not hasattr(metric.function, "kernel"):
                values[metric.name] = metric.function(*stacks)
                continue
            # each metric has a fused image of its own: where it has no value, only its own gradient is 0
            images = [Image(recorded_pixels(fused))]
            if metric.needs != "fused":
                images += self._recorded or [Image(recorded_pixels(stack)) for stack in (self.a, self.b)]
            values[metric.name] = score_recorded(metric.name, metric.function.kernel, images, fused)
        return values

    def _check(self, fused: Any) -> None:
        """As :func:`check_stacks`, without reading the sources' pixels again."""
        same_form = all(
            getattr(fused, name, None) == getattr(self.a, name, None) for name in ("shape", "device")
        ) and isinstance(fused, type(self.a))
        if same_form and recorded(fused) and not recorded(self.a):
            check_stack(fused, "fused", self.ids, on_scale=True)
        elif same_form:
            check_stacks((fused,), ("fused",), self.ids)
        else:
            check_stacks((fused, self.a), ("fused", "a"), self.ids)

    def _score_one(self, fused: Image, a: Image, b: Image, rows: dict[str, list[Any]]) -> None:
        for metric in self.metrics:
            if hasattr(metric.function, "kernel"):
                images = (fused,) if metric.needs == "fused" else (fused, a, b)
                rows[metric.name].append(metric.function.kernel(*images))


def _own(stack: Any) -> Any:
    """A copy, but of tensors that require grad, of which nothing is cached."""
    if isinstance(stack, np.ndarray):
        return stack.copy()
    return stack if recorded(stack) else stack.clone()


def score_images(
    fused: Any, a: Any, b: Any, metrics: Sequence[str | Metric] | None = None, dialect: str = STANDARD
) -> dict[str, Any]:
    """Metric name to (N,) float64 for (N,H,W) stacks on 0..255; ``None`` takes the eight of the field's tables.

    Image by image, so memory does not grow with N; a batch on a device, or one that requires grad, at once.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.engine import score_images
        >>> a = np.tile(np.arange(16, dtype=np.uint8) * 7, (2, 16, 1))
        >>> b = a.transpose(0, 2, 1)
        >>> values = score_images(a + b, a, b, ["en", "scd"])
        >>> {name: per_image.round(2).tolist() for name, per_image in values.items()}
        {'en': [4.72, 4.72], 'scd': [2.0, 2.0]}
    """
    chosen = choose(metrics, dialect)
    on_device = not isinstance(a, np.ndarray) and hasattr(a, "device") and a.device.type not in ("cpu", "mps")
    if on_device or wants_gradient(fused, a, b):
        return SourcePair(a, b, chosen, copy=False).score(fused)
    check_stacks((fused, a, b), ("fused", "a", "b"))
    rows = [
        SourcePair(a[i : i + 1], b[i : i + 1], chosen, persistent=False).score(fused[i : i + 1])
        for i in range(len(fused))
    ]
    if not rows:
        return {metric.name: stack_like([], fused) for metric in chosen}
    join = np.concatenate if isinstance(fused, np.ndarray) else _join
    return {name: join([row[name] for row in rows]) for name in rows[0]}


def _join(parts: Sequence[Any]) -> Any:
    import torch

    return torch.cat(list(parts))


def choose(metrics: Sequence[str | Metric] | None, dialect: str = STANDARD) -> list[Metric]:
    """Metric records by name, each once; ``None`` means the table metrics, ``["all"]`` all that the dialect has.

    Raises:
        UsageError: unknown names, or a metric that scores something else than fused images.

    Example:
        >>> from fusionbench.metrics.engine import choose
        >>> [metric.name for metric in choose(None)]
        ['en', 'sd', 'sf', 'mi', 'scd', 'vif', 'qabf', 'ssim']
        >>> [metric.dialect for metric in choose(["mi", "vif"], "cddfuse")]
        ['cddfuse/1', 'cddfuse/1']
    """
    if metrics is None:
        metrics = available(dialect, TABLE)
    elif list(metrics) == ["all"]:
        metrics = available(dialect)
    chosen = {}
    for item in metrics:
        metric = get_metric(item, dialect) if isinstance(item, str) else item
        if metric.needs not in ("pair", "fused"):
            raise UsageError(f"The metric {metric.name!r} needs {metric.needs}, not a fused image and its two sources")
        chosen[metric.name] = metric
    if not chosen:
        raise UsageError("No metric to score; name one, for example vif")
    return [*chosen.values()]


def available(dialect: str = STANDARD, among: Sequence[str] | None = None) -> list[str]:
    """Names of the metrics of fused images and their sources that a dialect has, in the order of ``among``.

    Example:
        >>> from fusionbench.metrics.engine import available
        >>> available("liu-2012")
        ['nmi', 'qc', 'qcb', 'qcv', 'qe', 'qg', 'qm', 'qncie', 'qp', 'qs', 'qsf', 'qte', 'qw', 'qy', 'viff']
        >>> available("liu-2012", among=["vif", "viff"])
        ['viff']
    """
    found = get_dialect(dialect)
    names = list_metrics() if among is None else among
    if found is not None:
        names = [name for name in names if name in found.metrics]
    return [name for name in names if get_metric(name).needs in ("pair", "fused")]
