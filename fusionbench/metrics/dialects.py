"""Published definitions of the metrics: each evaluator as parameters of the one implementation.

A dialect reproduces the numbers of papers that used that evaluator. It is data: names of
metrics with the parameters (and unit) by which it differs from ``standard/1``. Only
``standard/1`` is ranked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.types import Metric

STANDARD = "standard/1"


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

    ``precision`` is the relative agreement of the float64 values here with the evaluator's own output.
    """

    name: str
    title: str
    used_by: str
    metrics: Mapping[str, Variant]
    precision: str

    @property
    def id(self) -> str:
        """Name with its version, as results carry it."""
        return f"{self.name}/1"


INFINITE = float("inf")
_SAME = Variant()
_ZERO_TIES = {"border": "zero", "ties": "fused"}
_BLACK = ("both sources are black",)  # zeros outside the image make an edge around any other flat source
_SUM = (-2.0, 2.0)
_NATS = Variant({"unit": "nats"}, "nats", (0.0, 11.1), note="natural logarithm: 0.693 of the value in bits")
_INNER = Variant({"counts": "inner"}, note="sum divided by (H-1)(W-1): 0.3 to 1 % more")
_WRONG_PEAK = Variant({"peak": "65025"}, note="peak 255 over an error on 0..1: 48.13 dB too much")
_UNIT_MSE = Variant({"scale": 1 / 255}, "1", (0.0, 1.0), note="on the 0..1 scale")
_STRETCHED = Variant({"stretch": True}, note="every image is stretched to 0..255 first", differentiable=False)
_STRETCHED_QCV = Variant(
    {"stretch": True, "slope": 0.144},
    note="every image is stretched to 0..255 first; 0.144 in the sensitivity",
    differentiable=False,
)
_MERGED = Variant({"top": 254}, note="levels 254 and 255 merge in the joint histogram: too high where 255 occurs")

_LIST = (
    Dialect(
        "cddfuse",
        "CDDFuse evaluator (Python)",
        "CDDFuse, DAE-Fuse and papers that say they use its evaluator",
        {
            "en": _SAME,
            "sd": _SAME,
            "sf": _SAME,
            "ag": _SAME,
            "mi": _NATS,
            "mse": _SAME,
            "psnr": Variant(
                {"peak": "max of fused"},
                note="the peak is the fused image's brightest value",
                undefined=("the fused image is black", "the fused image equals both sources"),
            ),
            "cc": _SAME,
            "scd": _SAME,
            "vif": Variant(note="printed as VIFF, but it is VIF-p, summed"),
            "qabf": Variant(
                _ZERO_TIES, undefined=_BLACK, note="zeros outside the image; equal gradients score the gradient itself"
            ),
            "ssim": Variant(
                {"window": "uniform", "size": 7, "data_range": 2.0, "sample": True, "over": "sum"},
                range=_SUM,
                note="7×7 box, range 2 on images of 0..255 (what scikit-image before 0.20 assumed for floats), summed",
                min_side=7,
                min_reason="its windows are 7×7",
            ),
        },
        "1e-9 with float64 input, 2e-5 as shipped (float32)",
    ),
    Dialect(
        "vifb",
        "VIFB benchmark (MATLAB)",
        "VIFB and papers on its 21 pairs",
        {
            "en": Variant({"rounding": "floor"}),
            "sd": Variant(note="printed as Variance"),
            "sf": Variant({"counts": "pixels"}, note="both sums divided by H·W: 0.1 to 0.2 % less"),
            "ag": _INNER,
            "mi": _NATS,
            "psnr": Variant({"peak": "root of sums"}, note="sqrt(Σd²)/(H·W) stands for the squared error"),
            "qabf": Variant(_ZERO_TIES, undefined=_BLACK),
            "ssim": Variant({"over": "sum"}, range=_SUM, note="summed"),
            "qcv": _STRETCHED_QCV,
            "qcb": _STRETCHED,
        },
        "1e-7",
    ),
    Dialect(
        "liu-2012",
        "imageFusionMetrics (MATLAB)",
        "papers that score Q_MI, Q_Y, Q_CV, Q_CB, Q_P after Liu, Blasch, Xue, Laganière, Wu 2012",
        {
            "nmi": _SAME,
            "viff": _SAME,
            "qy": _SAME,
            "qcv": _STRETCHED_QCV,
            "qcb": _STRETCHED,
            "qp": Variant({"low_pass": "off by one"}, note="the filters' low-pass is one bin off at odd sizes"),
        },
        "1e-7; Q_Y 1e-4 where windows are nearly flat, and NaN there in the original where one is",
    ),
    Dialect(
        "linfeng",
        "Evaluation-for-Image-Fusion (MATLAB, since March 2023)",
        "papers that use the current version of that repository",
        {
            "en": _SAME,
            "sd": _SAME,
            "sf": _SAME,
            "ag": _INNER,
            "mi": _MERGED,
            "mse": _UNIT_MSE,
            "psnr": _WRONG_PEAK,
            "cc": _SAME,
            "scd": _SAME,
            "vif": _SAME,
            "qabf": Variant(_ZERO_TIES, undefined=_BLACK),
            "ssim": Variant(
                {"data_range": 1.0, "border": "replicate"},
                note="range 1 on images of 0..255; border replicated; mean",
                min_side=1,
                min_reason="",
            ),
            "nabf": Variant(swap=(1, 2, 0), note="called with the infrared image in place of the fused one"),
        },
        "1e-7; SSIM after a port",
    ),
    Dialect(
        "linfeng-2022",
        "Evaluation-for-Image-Fusion (MATLAB, before March 2023)",
        "SeAFusion, PIAFusion, SwinFusion-era tables",
        {
            "en": _SAME,
            "sd": Variant(
                {"arithmetic": "uint8"},
                range=(0.0, 15.97),
                note="saturating 8-bit arithmetic: 6 to 12",
                differentiable=False,
            ),
            "sf": Variant({"scale": 1 / 255}, "1", (0.0, 1.42), note="on the 0..1 scale"),
            "ag": _INNER,
            "mi": _MERGED,
            "mse": _UNIT_MSE,
            "psnr": _WRONG_PEAK,
            "cc": _SAME,
            "scd": _SAME,
            "vif": Variant(
                {"arithmetic": "uint8"},
                note="products saturate at 255, so the finest scale drops out",
                differentiable=False,
            ),
            "qabf": Variant(
                {**_ZERO_TIES, "unit": True},
                undefined=_BLACK,
                note="on the 0..1 scale, where equal gradients score far below 1",
                differentiable=False,
            ),
        },
        "1e-7; Qabf 5e-4 (the original is not stable)",
    ),
    Dialect(
        "rfn-nest",
        "RFN-Nest analysis (MATLAB)",
        "DenseFuse, NestFuse and RFN-Nest tables",
        {
            "en": _SAME,
            "sd": Variant(
                {"pooling": "sum/255"}, range=(0.0, INFINITE), note="not divided by H·W: grows with the image"
            ),
            "mi": Variant({"joint": "ignored"}, note="exactly twice the entropy of F: no mutual information in it"),
            "scd": _SAME,
            "nabf": Variant({"unit": True}, note="on the 0..1 scale all weights are equal", differentiable=False),
        },
        "1e-7; Nabf 1e-2 (the original is not stable)",
    ),
    Dialect(
        "gtf",
        "GTF evaluation (MATLAB)",
        "GTF, FusionGAN and DDcGAN-era tables",
        {
            "en": _SAME,
            "sd": _SAME,
            "sf": _SAME,
            "mi": _SAME,
            "qabf": Variant(
                {"border": "zero", "angle": "atan swapped"},
                undefined=_BLACK,
                note="edge_association: its angle is taken the other way",
            ),
            "fmi": Variant({"feature": "pixel"}, note="pixel values are the feature"),
        },
        "1e-7",
    ),
    Dialect(
        "gtf-qg",
        "GTF evaluation (MATLAB), its second edge measure",
        "tables with Q_G beside GTF",
        {"qabf": Variant({"border": "symmetric", "angle": "atan2"}, note="Qp_ABF: angles over the whole circle")},
        "1e-7",
    ),
    Dialect(
        "ivif-zoo",
        "IVIF_ZOO (PyTorch)",
        "the infrared and visible image fusion survey of 2024",
        {
            "en": Variant({"inside_log": 1e-7}, note="1e-7 inside the logarithm"),
            "sd": _SAME,
            "sf": _SAME,
            "ag": _SAME,
            "mi": _SAME,
            "nmi": Variant(
                {"by": "sources"},
                note="sum divided by the sources' entropies",
                undefined=("both sources are constant",),
            ),
            "mse": _UNIT_MSE,
            "psnr": _WRONG_PEAK,
            "cc": _SAME,
            "scd": _SAME,
            "vif": Variant(
                {"window": "off-centre", "border": "zero"},
                note="zero padding, window off centre: 2 to 30 % more",
                min_side=9,
                min_reason="its largest window reaches 8 pixels beyond the border",
            ),
            "qabf": Variant(_ZERO_TIES, undefined=_BLACK),
            "ssim": Variant(
                {"data_range": 1.0, "over": "sum"}, range=_SUM, note="images times 255 once too often, summed"
            ),
            "ms_ssim": Variant(
                {"data_range": 1.0, "over": "sum", "odd": "zero"},
                range=_SUM,
                note="images times 255 once too often, odd sides padded with zeros, summed",
            ),
            "nabf": Variant(
                {"floor": 0.0},
                note="weak edges weigh nothing instead of 0.001",
                undefined=("no source has an edge of two grey levels",),
            ),
        },
        "1e-4; VIF, SSIM and MS-SSIM 1e-3 (the original's single precision)",
    ),
)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _LIST}


def list_dialects() -> list[str]:
    """Names of all dialects, ``standard/1`` first.

    Example:
        >>> from fusionbench.metrics.dialects import list_dialects
        >>> list_dialects()[:3]
        ['standard/1', 'cddfuse', 'vifb']
    """
    return [STANDARD, *DIALECTS]


def get_dialect(name: str) -> Dialect | None:
    """The dialect called ``name`` (``cddfuse`` or ``cddfuse/1``); None for ``standard/1`` and ``standard``.

    Raises:
        UsageError: unknown name or version, with a suggestion.

    Example:
        >>> from fusionbench.metrics.dialects import get_dialect
        >>> dialect = get_dialect("cddfuse")
        >>> dialect.id, dialect.title
        ('cddfuse/1', 'CDDFuse evaluator (Python)')
        >>> dialect.metrics["mi"].note
        'natural logarithm: 0.693 of the value in bits'
    """
    base = name.removesuffix("/1")
    if base == "standard":
        return None
    if base not in DIALECTS:
        raise unknown_name("dialect", name, list_dialects())
    return DIALECTS[base]


def in_dialect(metric: Metric, name: str) -> Metric:
    """``metric`` as the dialect computes it.

    Raises:
        UsageError: unknown dialect, or one that does not have this metric.

    Example:
        >>> import numpy as np
        >>> from fusionbench import get_metric
        >>> from fusionbench.metrics.dialects import in_dialect
        >>> a = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 8  # 3 bits
        >>> mi = get_metric("mi")
        >>> mi.function(a, a, a).round(4).tolist(), in_dialect(mi, "cddfuse").function(a, a, a).round(4).tolist()
        ([6.0], [4.1589])
    """
    dialect = get_dialect(name)
    if dialect is None:
        return metric
    if metric.name not in dialect.metrics:
        have = ", ".join(sorted(dialect.metrics))
        raise UsageError(f"The dialect {dialect.name!r} has no {metric.name!r}; it has {have}")
    variant = dialect.metrics[metric.name]
    return dataclasses.replace(
        metric,
        function=_adapted(metric.function, variant),
        unit=variant.unit or metric.unit,
        range=variant.range or metric.range,
        min_side=metric.min_side if variant.min_side is None else variant.min_side,
        min_reason=metric.min_reason if variant.min_reason is None else variant.min_reason,
        undefined=metric.undefined if variant.undefined is None else variant.undefined,
        dialect=dialect.id,
        differentiable=metric.differentiable and variant.differentiable,
        gradient=metric.gradient if variant.differentiable else variant.note,
        choices=(*((variant.note,) if variant.note else ()), *metric.choices),
    )


def _adapted(function: Any, variant: Variant) -> Any:
    if not variant.parameters and variant.swap == (0, 1, 2):
        return function
    return _Adapted(function, variant)


@dataclass(frozen=True)
class _Adapted:
    """A metric's function with a dialect's parameters and order of arguments; picklable."""

    function: Any
    variant: Variant

    def __call__(self, *images: Any) -> Any:
        return self.function(*self._ordered(images), **self.variant.parameters)

    def kernel(self, *images: Any) -> Any:
        """The formula, for :class:`Image` objects."""
        return self.function.kernel(*self._ordered(images), **self.variant.parameters)

    def _ordered(self, images: Sequence[Any]) -> Sequence[Any]:
        return images if self.variant.swap == (0, 1, 2) else [images[place] for place in self.variant.swap]
