"""Records that every room knows: batches, shapes of samples, presets, losses and metrics.

What a source, data set, stream or model must offer is in :mod:`fusionbench.core.interfaces`; its names can be imported
from here, too. Contract tests (``tests/contracts``) run over everything that is registered, so a new source, model or
metric is tested from the moment it is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from fusionbench.core.interfaces import DatasetLike, Model, Source, StreamLike

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "Batch",
    "DatasetLike",
    "ImageSpec",
    "LossTerms",
    "Metric",
    "Model",
    "Preset",
    "Source",
    "StreamLike",
    "Tolerance",
]


@dataclass(frozen=True)
class ImageSpec:
    """Shape of one sample: ``channels``, ``height``, ``width`` of every image and the number of ``views``.

    ``crop`` is the height and width of the centre part that likelihoods count (28×28 of 32×32 for FusionMNIST).

    Example:
        >>> from fusionbench.core.types import ImageSpec
        >>> ImageSpec(channels=1, height=32, width=32, views=3, crop=(28, 28)).likelihood_dims  # FusionMNIST
        784
    """

    channels: int
    height: int
    width: int
    views: int
    crop: tuple[int, int] | None = None

    @property
    def likelihood_dims(self) -> int:
        """Number of values that a likelihood sums over: the divisor of bits per dimension."""
        height, width = self.crop or (self.height, self.width)
        return self.channels * height * width


@dataclass(frozen=True)
class Batch:
    """Samples for a model.

    Attributes:
        target: (N,C,H,W) float32 in [0,1], or None where a set has no target (infrared/visible pairs).
        views: (N,V,C,H,W) float32 in [0,1].
        present: (N,V) bool; an absent view must not influence anything.
        ids: (N,) int64, the sample's index in its split; scores and draws are keyed by it.
        clean: (N,V,C,H,W) float32, the views before ``[degrade]`` of their recipe; None where nothing degrades them.
        present_count: how many of ``present`` are true, where the host knows it; :meth:`with_present` sets it.

    Example:
        >>> import torch
        >>> from fusionbench import Batch
        >>> views = torch.rand(2, 3, 1, 8, 8)  # two samples with three views each
        >>> batch = Batch(None, views, torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
        >>> len(batch), batch.with_inputs(1).present.tolist()
        (2, [[True, False, False], [True, False, False]])
    """

    target: Tensor | None
    views: Tensor
    present: Tensor
    ids: Tensor
    clean: Tensor | None = None
    # no argument, so that a copy with another ``present`` does not keep the number of the old one
    present_count: int | None = field(default=None, init=False, compare=False)

    def __len__(self) -> int:
        return self.views.shape[0]

    def with_inputs(self, count: int) -> Batch:
        """The same samples with only the first ``count`` views present."""
        import torch

        present = torch.zeros_like(self.present)
        present[:, :count] = True
        return self.with_present(present, len(self) * len(range(present.shape[1])[:count]))

    def with_present(self, present: Tensor, count: int | None) -> Batch:
        """The same samples with other views present: (N,V) bool, of which ``count`` are true.

        A model on a GPU that is told the count need not wait for the device to count; None where the host does not
        know it.
        """
        batch = replace(self, present=present)
        object.__setattr__(batch, "present_count", count)
        return batch

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        target = None if self.target is None else self.target.to(device)
        clean = None if self.clean is None else self.clean.to(device)
        batch = Batch(target, self.views.to(device), self.present.to(device), self.ids.to(device), clean)
        return batch.with_present(batch.present, self.present_count)


@dataclass(frozen=True)
class Preset:
    """A named configuration: constructor parameters and training parameters of a model, with where they come from."""

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class LossTerms:
    """``total``: scalar to minimise; ``log``: named scalars worth a curve (reconstruction, KL, beta, …)."""

    total: Tensor
    log: Mapping[str, Tensor | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tolerance:
    """How far a mean may move before it counts as a change: ``atol + rtol·|base|``, and why that much."""

    atol: float
    rtol: float
    reason: str


@dataclass(frozen=True)
class Metric:
    """One number per image.

    Attributes:
        name: what users type; the file ``metrics/<name>.py`` has the formula.
        version: raised with any change that moves a value.
        function: returns (N,) float64, one number per image; means are taken once, elsewhere. Arguments by ``needs``:
            ``"pair"``: ``function(fused, a, b)`` of (N,H,W) images on 0..255, and of further sources with ``many``;
            ``"fused"``: ``function(fused)``;
            ``"target"``: ``function(fused, target)``;
            ``"samples"``: ``function(samples, target)`` of (n,N,C,H,W) and (N,C,H,W) in [0,1];
            ``"log_weights"``: ``function(log_weights)`` of (n,N) nats.
        better: which direction is an improvement.
        label: its short name in the heads of tables; by default ``name``.
        unit, range, reference: for tables, checks and cards.
        tolerance: for the gate.
        exploits: known ways to score well without fusing well.
        dialect: whose definition this is; only ``standard/1`` is ranked.
        choices: what the definition leaves open, how it is decided here, and what the decision moves.
        edge_cases: what flat, saturated and tiny images give.
        invariances: changes of the input that leave the value alone.
        min_side: shortest side in pixels that can be scored; below it the metric is not available.
        min_pixels: fewest pixels of an image that can be scored.
        min_reason: why smaller images have no value.
        undefined: names of the conditions of :mod:`fusionbench.metrics.undefined` under which there is no finite value.
        oracle: the independent implementations that the tests hold it to.
        many: whether a metric of pairs is defined for any number of sources.
        differentiable: whether values of tensors that require grad have their graph; otherwise these are refused.
        gradient: where the definition has no slope, and what is given there.

    A record is called like its function: ``metric(fused, a, b)``.

    Example:
        >>> import numpy as np
        >>> from fusionbench import Metric
        >>> from fusionbench.core.types import Tolerance
        >>> brightness = Metric(
        ...     name="brightness", version="1", title="Mean brightness", function=lambda fused: fused.mean(axis=(1, 2)),
        ...     needs="fused", better="higher", unit="grey levels", range=(0.0, 255.0),
        ...     tolerance=Tolerance(0.01, 0.0, "the last digit shown"), reference="nobody", exploits="a white image",
        ... )
        >>> brightness(np.full((2, 4, 4), 90.0)).tolist()
        [90.0, 90.0]
    """

    name: str
    version: str
    title: str
    function: Callable[..., Any]
    needs: Literal["pair", "fused", "target", "samples", "log_weights"]
    better: Literal["higher", "lower"]
    unit: str
    range: tuple[float, float]
    tolerance: Tolerance
    reference: str
    formula: str = ""
    exploits: str = ""
    dialect: str = "standard/1"
    choices: tuple[str, ...] = ()
    edge_cases: str = ""
    invariances: tuple[str, ...] = ()
    min_side: int = 1
    oracle: str = ""
    min_pixels: int = 1
    min_reason: str = ""
    undefined: tuple[str, ...] = ()
    label: str = ""
    many: bool = False
    differentiable: bool = False
    gradient: str = ""

    def __call__(self, *images: Any, **parameters: Any) -> Any:
        """Values (N,) of stacks, one number per image."""
        return self.function(*images, **parameters)
