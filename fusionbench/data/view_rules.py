"""What a recipe may say about its views: masks, noise, cut-outs with their gate, overlays, planes of focus, exposures,
and live augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fusionbench.core.text import Natural
from fusionbench.data.recipe_base import RecipeTable
from fusionbench.synth import CannyCut, cutout_gate
from fusionbench.synth.cutout_gate import GatedCut
from fusionbench.synth.exposure import QUARTERS


class MaskRule(RecipeTable, kw_only=True, frozen=True):
    """``ellipse/1``, ``ellipse/2``: unions of ellipses; see :mod:`fusionbench.synth.ellipses`."""

    algorithm: Literal["ellipse/1", "ellipse/2"]
    ellipses: Annotated[int, msgspec.Meta(ge=1, le=64)]
    radius: tuple[Natural, Natural]
    margin: tuple[Natural, Natural] = (1, 2)
    ellipticity: tuple[float, float] = (0.5, 1.5)


class NoiseRule(RecipeTable, kw_only=True, frozen=True):
    """``noise/1``: Gaussian noise on every pixel; ``sigma`` as a fraction of full scale."""

    algorithm: Literal["noise/1"]
    sigma: Annotated[float, msgspec.Meta(gt=0, le=1)]


class CutRule(RecipeTable, kw_only=True, frozen=True):
    """``canny-cut/1``; see :mod:`fusionbench.synth.cutouts`. ``canny-cut/2`` is that with a gate, whose limits are
    ``agreement``, ``closed`` and ``spread``; see :mod:`fusionbench.synth.cutout_gate`."""

    algorithm: Literal["canny-cut/1", "canny-cut/2"]
    low: Annotated[int, msgspec.Meta(ge=1, le=1020)]
    high: Annotated[int, msgspec.Meta(ge=1, le=1020)]
    close: Annotated[int, msgspec.Meta(ge=1, le=63)]
    agreement: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.8
    closed: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.6
    spread: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 1.5

    @property
    def gate(self) -> GatedCut | None:
        """The gate of ``canny-cut/2``."""
        if self.algorithm != cutout_gate.ID:
            return None
        limits = (round(1000 * value) for value in (self.agreement, self.closed, self.spread))
        return GatedCut(CannyCut(self.low, self.high, self.close), *limits)


class OverlayRule(RecipeTable, kw_only=True, frozen=True):
    """``overlay/1``: cut-outs of ``size`` pixels pasted over the target; see :mod:`fusionbench.synth.overlay`.

    Without ``cut`` the source's own masks are taken. A split's ``occluders`` may have another ``size``."""

    algorithm: Literal["overlay/1"]
    count: tuple[Natural, Annotated[int, msgspec.Meta(ge=1, le=64)]]
    size: Annotated[int, msgspec.Meta(ge=4, le=512)]
    cut: CutRule | None = None
    via: Annotated[int, msgspec.Meta(ge=4, le=4096)] | None = None
    scale: Natural = 0
    rotate: bool = True
    flip: bool = True


class FocusRule(RecipeTable, kw_only=True, frozen=True):
    """``defocus/1``: each view in focus at another depth; see :mod:`fusionbench.synth.defocus`.

    ``blur`` is the smallest and largest radius of what is farthest out of focus, in pixels. What lies nearer has the
    shapes of ``views.masks`` or of the cut-outs of ``views.overlay``, where the recipe has one of them; else the depth
    is smooth, from ``grid`` × ``grid`` random points.
    """

    algorithm: Literal["defocus/1"]
    blur: tuple[Annotated[int, msgspec.Meta(ge=1, le=32)], Annotated[int, msgspec.Meta(ge=1, le=32)]]
    grid: Annotated[int, msgspec.Meta(ge=2, le=16)] | None = None


class ExposureRule(RecipeTable, kw_only=True, frozen=True):
    """``exposure/1``: each view another exposure, ``stops`` EV apart; see :mod:`fusionbench.synth.exposure`."""

    algorithm: Literal["exposure/1"]
    stops: Annotated[float, msgspec.Meta(ge=0.5, le=8)]

    @property
    def step(self) -> int:
        """The distance in quarters of a stop."""
        return round(self.stops * QUARTERS)


class ViewRule(RecipeTable, kw_only=True, frozen=True):
    """How the views of a target are made: by ``masks`` (and ``noise``), by ``overlay``, by ``focus`` at several depths,
    whose shapes ``masks`` or ``overlay`` may say, or by ``exposure``."""

    count: Annotated[int, msgspec.Meta(ge=1, le=64)]
    masks: MaskRule | None = None
    noise: NoiseRule | None = None
    overlay: OverlayRule | None = None
    focus: FocusRule | None = None
    exposure: ExposureRule | None = None


class LiveRule(RecipeTable, kw_only=True, frozen=True):
    """``augment/1``: augmentation of the targets from the first live epoch on; stored data have none."""

    algorithm: Literal["augment/1"]
    flip: bool = False
    rotate: bool = False
    scale: Natural = 0
    shift: Natural = 0
