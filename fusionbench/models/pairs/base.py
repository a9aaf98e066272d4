"""Common bases of the models of registered pairs: two grey views, one image at a time, one or two training phases."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionbench.core.allocator import release_kept_memory
from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.types import Batch, ImageSpec, LossTerms
from fusionbench.models.config import ModelConfig, Positive, check_choice
from fusionbench.models.denormals import flushed_denormals
from fusionbench.models.precision import at_least_float32


class PairConfig(ModelConfig, frozen=True, kw_only=True):
    """Base of the parameters of models of pairs; it has none of its own."""


class PhasesConfig(PairConfig, frozen=True, kw_only=True):
    """Parameters of the models of pairs that train in two phases.

    Attributes:
        phase_share: share of the planned steps for phase 1.
        phase_steps: number of steps of phase 1 instead of the share; None uses ``phase_share``.

    Raises:
        UsageError: a phase 1 outside training.
    """

    phase_share: float = 0.5
    phase_steps: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.phase_share <= 1:
            raise UsageError(f"{self.model}: phase_share={self.phase_share} is not between 0 and 1")
        if self.phase_steps is not None and self.phase_steps < 0:
            raise UsageError(f"{self.model}: phase_steps={self.phase_steps} is negative")


class TwoPhaseConfig(PhasesConfig, frozen=True, kw_only=True):
    """Parameters of the models of pairs that train in two phases, against discriminators.

    Attributes:
        critic_widths: channels of the discriminators' layers.
        critic_norm: their normalisation, ``"batch"`` as printed or ``"group"``.

    Raises:
        UsageError: as :class:`PhasesConfig`, or an unknown normalisation.
    """

    critic_widths: tuple[Positive, ...] = (32, 64, 128, 256)
    critic_norm: str = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.model, critic_norm=(self.critic_norm, ("batch", "group")))


class PairModel(nn.Module):
    """Base of the models that fuse two grey views.

    A subclass implements ``build()``, ``combine(a, b)``, ``loss_of_phase(a, b, group, phase, step)`` and, where it has
    more than one optimiser, ``parameter_groups()``; or ``fusion_loss(fused, a, b)`` in the place of the loss. A loss
    that is not of the fused image alone, but knows what clean pairs are for, is ``loss_of_degraded``.

    Args:
        spec: two grey views; the image size is free.
        **options: fields of ``Config``.

    Raises:
        UsageError: another number of views or channels, or an unknown parameter or value.
    """

    title: ClassVar[str]
    Config: ClassVar[type[PairConfig]]
    config: PairConfig

    def __init__(self, spec: ImageSpec, **options: Any) -> None:
        super().__init__()
        name = self.title
        if spec.views != 2:
            raise UsageError(f"{name} fuses pairs; this data set has {spec.views} view(s) per sample: use a pairs set")
        if spec.channels != 1:
            raise UsageError(f"{name} fuses grey images; this data set has {spec.channels} channels: use luminance")
        self.spec, self.config = spec, self.Config.of(options)
        self.planned_steps: int | None = None
        self._fused_size: torch.Size | None = None
        self.seed = 0
        self.build()

    def build(self) -> None:
        """Add the layers of a subclass."""
        raise NotImplementedError

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The fused image (N,1,H,W) of a and b (N,1,H,W), any H and W."""
        raise NotImplementedError

    def loss_of_phase(self, a: Tensor, b: Tensor, group: str, phase: int, step: int) -> LossTerms:
        """The loss of the parameters of ``group`` in ``phase`` on the images a and b (N,1,H,W)."""
        return self.fusion_loss(self.combine(a, b), a, b)

    def plan(self, steps: int, seed: int) -> None:
        """Called by the training loop with the number of steps for both phases and the seed of any noise."""
        self.planned_steps, self.seed = steps, seed

    def phase(self, step: int) -> int:
        """The training phase that ``step`` (counted from 0) belongs to, counted from 1: there is one."""
        return 1

    def loss(self, batch: Batch, group: str, step: int) -> LossTerms:
        """The loss of ``group`` at ``step``: a scalar and its parts.

        Raises:
            UsageError: the batch is not of complete pairs of grey images, or the group is not one of this model's.
        """
        if group not in self.parameter_groups():
            raise unknown_name(f"parameter group of {self.title}", group, self.parameter_groups())
        a, b = self.pair(batch)
        if batch.clean is not None and self.compares_with_the_truth:
            return self.loss_of_degraded(a, b, batch.clean[:, 0], batch.clean[:, 1], step)
        return self.loss_of_phase(a, b, group, self.phase(step), step)

    def loss_of_degraded(self, a: Tensor, b: Tensor, clean_a: Tensor, clean_b: Tensor, step: int) -> LossTerms:
        """The loss of what is made of a and b (N,1,H,W), compared with the clean images of the same places."""
        return self.fusion_loss(self.combine(a, b), clean_a, clean_b)

    def fusion_loss(self, fused: Tensor, a: Tensor, b: Tensor) -> LossTerms:
        """The loss of a fused image by what it is compared with, a and b (N,1,H,W).

        For models of one phase whose loss is about nothing else. Where a recipe degrades pairs, a and b are clean.
        """
        raise NotImplementedError

    @property
    def compares_with_the_truth(self) -> bool:
        """Whether the model learns from degraded pairs what the clean ones would have made."""
        mine = type(self)
        return (mine.fusion_loss, mine.loss_of_degraded) != (PairModel.fusion_loss, PairModel.loss_of_degraded)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps: all of them are ``main``."""
        return {"main": list(self.parameters())}

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        """(N,1,H,W) float32 in [0,1], computed in evaluation mode, one pair at a time.

        Convolution libraries choose their order of summation by the batch size, so that the last bits of an image
        would otherwise depend on the rest of its batch. At these image sizes a batch is no faster.

        Raises:
            UsageError: as :meth:`loss`.
        """
        a, b = self.pair(batch)
        was_training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            if a.shape[-2:] != self._fused_size:  # what was kept of another size falls into pieces that do not fit
                release_kept_memory()
                self._fused_size = a.shape[-2:]
            with flushed_denormals(a.device):
                fused = [self.combine(x, y) for x, y in zip(a.split(1), b.split(1), strict=True)]
        finally:
            for module in was_training:
                module.training = True
        return at_least_float32(torch.cat(fused)).clamp(0, 1)

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Views 0 and 1 of a batch, each (N,1,H,W).

        Raises:
            UsageError: a view is absent, or there are not two grey ones.
        """
        views, channels = batch.views.shape[1:3]
        if (views, channels) != (2, 1):
            raise UsageError(f"{self.title} fuses two grey views, not {views} view(s) of {channels} channel(s)")
        if batch.present_count != batch.present.numel():  # where the host knows, the device need not be asked
            complete = batch.present.all(1)
            if not bool(complete.all()):
                index = int(batch.ids[~complete][0])
                raise UsageError(f"{self.title} needs both images of a pair, and sample {index} lacks one")
        return batch.views[:, 0], batch.views[:, 1]


class TwoPhaseModel(PairModel):
    """Base of the models that train in two phases; it implements ``phase(step)``."""

    config: PhasesConfig

    def phase(self, step: int) -> int:
        """1 or 2: the training phase that ``step`` (counted from 0) belongs to; 1 while nothing is planned."""
        if self.config.phase_steps is not None:
            return 1 if step < self.config.phase_steps else 2
        if self.planned_steps is None:
            return 1
        return 1 if step < round(self.config.phase_share * self.planned_steps) else 2
