"""What a dialect is made of, and the variants that several evaluators share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fusionbench.core.images import GreyRule


@dataclass(frozen=True)
class Variant:
    """One metric in a dialect.

    Attributes:
        parameters: keyword arguments of the metric's function that differ from its defaults.
        unit, range: where they differ from the metric's.
        swap: the order in which the evaluator passes (fused, a, b) to its own function.
        min_side, min_reason, undefined: what sizes and images it needs, where they differ from the metric's.
        note: the effect on the value.
        differentiable: false where the evaluator's arithmetic has no gradient although the metric has one.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    unit: str | None = None
    range: tuple[float, float] | None = None
    swap: tuple[int, int, int] = (0, 1, 2)
    note: str = ""
    min_side: int | None = None
    min_reason: str | None = None
    undefined: tuple[str, ...] | None = None
    differentiable: bool = True


@dataclass(frozen=True)
class Dialect:
    """A published evaluator: which metrics it has and how each is computed.

    ``precision`` is the relative agreement of the float64 values here with the evaluator's own output. ``version`` is
    raised when a value of the dialect changes. ``grey`` is how the evaluator makes colour files grey before its metrics
    see them; functions of arrays take grey ones.
    """

    name: str
    title: str
    used_by: str
    metrics: Mapping[str, Variant]
    precision: str
    version: str = "1"
    grey: GreyRule = "bt601"

    @property
    def id(self) -> str:
        """Name with its version, as results carry it."""
        return f"{self.name}/{self.version}"


INFINITE = float("inf")
SAME = Variant()
ZERO_TIES = {"border": "zero", "ties": "fused"}
BLACK = ("both sources are black",)  # zeros outside the image make an edge around any other flat source
SUM = (-2.0, 2.0)
NATS = Variant({"unit": "nats"}, "nats", (0.0, 11.1), note="natural logarithm: 0.693 of the value in bits")
INNER = Variant({"counts": "inner"}, note="sum divided by (H-1)(W-1): 0.3 to 1 % more")
WRONG_PEAK = Variant({"peak": "65025"}, note="peak 255 over an error on 0..1: 48.13 dB too much")
UNIT_MSE = Variant({"scale": 1 / 255}, "1", (0.0, 1.0), note="on the 0..1 scale")
STRETCHED_QCB = Variant(
    {"stretch": True, "dark": 0.0},
    note="every image is stretched to 0..255 first; black backgrounds have contrasts, in part of rounding errors",
    differentiable=False,
)
STRETCHED_QCV = Variant(
    {"stretch": True, "slope": 0.144},
    note="every image is stretched to 0..255 first; 0.144 in the sensitivity",
    differentiable=False,
)
MERGED = Variant({"top": 254}, note="levels 254 and 255 merge in the joint histogram: too high where 255 occurs")
GAUSSIAN: dict[str, Any] = {"min_side": 11, "min_reason": "its windows are 11×11"}
