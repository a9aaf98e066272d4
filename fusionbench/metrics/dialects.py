"""Published definitions of the metrics: each evaluator as parameters of the one implementation.

A dialect reproduces the numbers of papers that used that evaluator. It is data: names of
metrics with the parameters (and unit) by which it differs from ``standard/1``. Only
``standard/1`` is ranked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.images import GreyRule
from fusionbench.core.types import Metric
from fusionbench.metrics._toolkits import TOOLKITS
from fusionbench.metrics._variants import (
    BLACK,
    GAUSSIAN,
    INFINITE,
    INNER,
    MERGED,
    NATS,
    SAME,
    STRETCHED_QCB,
    STRETCHED_QCV,
    SUM,
    UNIT_MSE,
    WRONG_PEAK,
    ZERO_TIES,
)
from fusionbench.metrics._variants import Dialect as Dialect
from fusionbench.metrics._variants import Variant as Variant

STANDARD = "standard/1"

_LIST = (
    Dialect(
        "cddfuse",
        "CDDFuse evaluator (Python)",
        "CDDFuse, DAE-Fuse and papers that say they use its evaluator",
        {
            "en": SAME,
            "sd": SAME,
            "sf": SAME,
            "ag": SAME,
            "mi": NATS,
            "mse": SAME,
            "psnr": Variant(
                {"peak": "max of fused"},
                note="the peak is the fused image's brightest value",
                undefined=("the fused image is black", "the fused image equals both sources"),
            ),
            "cc": SAME,
            "scd": SAME,
            "vif": Variant(note="printed as VIFF, but it is VIF-p, summed"),
            "qabf": Variant(
                ZERO_TIES, undefined=BLACK, note="zeros outside the image; equal gradients score the gradient itself"
            ),
            "ssim": Variant(
                {"window": "uniform", "size": 7, "data_range": 2.0, "sample": True, "over": "sum"},
                range=SUM,
                note="7×7 box, range 2 on images of 0..255 (what scikit-image before 0.20 assumed for floats), summed",
                min_side=7,
                min_reason="its windows are 7×7",
            ),
        },
        "1e-9 with float64 input, colour files included; 2e-5 as shipped (float32)",
        grey="opencv-float32",
    ),
    Dialect(
        "vifb",
        "VIFB benchmark (MATLAB)",
        "VIFB and papers on its 21 pairs",
        {
            "en": Variant({"rounding": "floor"}),
            "sd": Variant(note="printed as Variance"),
            "sf": Variant({"counts": "pixels"}, note="both sums divided by H·W: 0.1 to 0.2 % less"),
            "ag": INNER,
            "mi": NATS,
            "psnr": Variant({"peak": "root of sums"}, note="sqrt(Σd²)/(H·W) stands for the squared error"),
            "qabf": Variant(ZERO_TIES, undefined=BLACK),
            "ssim": Variant({"over": "sum"}, range=SUM, note="summed"),
            "qcv": STRETCHED_QCV,
            "qcb": STRETCHED_QCB,
            "ce": SAME,
            "ei": SAME,
            "rmse": Variant(
                {"root": "of the sum"},
                "grey levels/pixel",
                note="sqrt(Σd²)/(H·W): sqrt(H·W) times less, so that it depends on the size",
            ),
        },
        "1e-7; Q_CB 5e-4 on PET and SPECT slices: far from every edge the original divides rounding errors",
    ),
    Dialect(
        "liu-2012",
        "imageFusionMetrics (MATLAB)",
        "papers that score Q_MI, Q_Y, Q_CV, Q_CB, Q_P after Liu, Blasch, Xue, Laganière, Wu 2012",
        {
            "nmi": SAME,
            "viff": SAME,
            "qy": SAME,
            "qcv": STRETCHED_QCV,
            "qcb": STRETCHED_QCB,
            "qte": Variant(
                {"form": "liu-2012"},
                note="marginals exchanged, I_q(A;B) added, Shannon's entropies to the power q",
            ),
            "qncie": SAME,
            "qs": Variant({"index": "ssim"}, **GAUSSIAN, note="SSIM with its constants"),
            "qw": Variant({"index": "ssim"}, **GAUSSIAN, undefined=(), note="SSIM with its constants"),
            "qe": Variant(
                {"index": "ssim", "border": "zero", "factors": "edges"},
                **GAUSSIAN,
                undefined=(),
                note="as repaired in circulation: the square of Q_W of the edge images, zeros outside",
            ),
            "qc": Variant(
                {"index": "unguarded", "limits": "value"},
                min_side=7,
                min_reason="its windows are 7×7",
                note="7×7 Gaussian; windows whose share leaves 0..1 are set to 0 or 1",
            ),
            "qm": Variant({"bands": "sum"}, range=(0.0, 3.0), note="the three bands are summed"),
            "qg": Variant({"border": "zero"}, note="zeros outside the image"),
            "qsf": Variant({"signed": True}, range=(-1.0, INFINITE), note="with its sign: below 0 for lost detail"),
            "qp": Variant({"low_pass": "off by one"}, note="the filters' low-pass is one bin off at odd sizes"),
        },
        "1e-7; Q_Y 1e-4 and Q_C 2e-2 where windows are nearly flat, and NaN there in the original where one is; Q_CB "
        "5e-4 on PET and SPECT slices: far from every edge the original divides rounding errors",
    ),
    Dialect(
        "linfeng",
        "Evaluation-for-Image-Fusion (MATLAB, since March 2023)",
        "papers that use the current version of that repository",
        {
            "en": SAME,
            "sd": SAME,
            "sf": SAME,
            "ag": INNER,
            "mi": MERGED,
            "mse": UNIT_MSE,
            "psnr": WRONG_PEAK,
            "cc": SAME,
            "scd": SAME,
            "vif": SAME,
            "qabf": Variant(ZERO_TIES, undefined=BLACK),
            "ssim": Variant(
                {"data_range": 1.0, "border": "replicate"},
                note="range 1 on images of 0..255; border replicated; mean",
                min_side=1,
                min_reason="",
            ),
            "nabf": Variant(swap=(1, 2, 0), note="called with the infrared image in place of the fused one"),
            "fmi_edge": Variant(note="printed as FMI_pixel"),
            "fmi_dct": SAME,
            "fmi_wavelet": Variant(note="its filter has 20 taps more at each side, close to 0"),
        },
        "1e-7; SSIM after a port; FMI by reading alone",
    ),
    Dialect(
        "linfeng-2022",
        "Evaluation-for-Image-Fusion (MATLAB, before March 2023)",
        "SeAFusion, PIAFusion, SwinFusion-era tables",
        {
            "en": SAME,
            "sd": Variant(
                {"arithmetic": "uint8"},
                range=(0.0, 15.97),
                note="saturating 8-bit arithmetic: 6 to 12",
                differentiable=False,
            ),
            "sf": Variant({"scale": 1 / 255}, "1", (0.0, 1.42), note="on the 0..1 scale"),
            "ag": INNER,
            "mi": MERGED,
            "mse": UNIT_MSE,
            "psnr": WRONG_PEAK,
            "cc": SAME,
            "scd": SAME,
            "vif": Variant(
                {"arithmetic": "uint8"},
                note="products saturate at 255, so the finest scale drops out",
                differentiable=False,
            ),
            "qabf": Variant(
                {**ZERO_TIES, "unit": True},
                undefined=BLACK,
                note="on the 0..1 scale, where equal gradients score far below 1; added in the order of MATLAB's conv2",
                differentiable=False,
            ),
        },
        "1e-11 to 2,475 cells of its authors' MATLAB; VIF 5e-8 where dark areas saturate and leave rounding errors",
        "2",
    ),
    Dialect(
        "rfn-nest",
        "RFN-Nest analysis (MATLAB)",
        "DenseFuse, NestFuse and RFN-Nest tables",
        {
            "en": SAME,
            "sd": Variant(
                {"pooling": "sum/255"}, range=(0.0, INFINITE), note="not divided by H·W: grows with the image"
            ),
            "mi": Variant({"joint": "ignored"}, note="exactly twice the entropy of F: no mutual information in it"),
            "scd": SAME,
            "nabf": Variant({"unit": True}, note="on the 0..1 scale all weights are equal", differentiable=False),
        },
        "1e-7; Nabf 1e-12",
        "2",
    ),
    Dialect(
        "gtf",
        "GTF evaluation (MATLAB)",
        "GTF, FusionGAN and DDcGAN-era tables",
        {
            "en": SAME,
            "sd": SAME,
            "sf": SAME,
            "mi": SAME,
            "qabf": Variant(
                {"border": "zero", "angle": "atan swapped"},
                undefined=BLACK,
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
            "sd": SAME,
            "sf": SAME,
            "ag": SAME,
            "mi": SAME,
            "nmi": Variant(
                {"by": "sources"},
                note="sum divided by the sources' entropies",
                undefined=("both sources are constant",),
            ),
            "ei": Variant({"border": "zero"}, note="zeros outside the image: 0 to 20 % more"),
            "mse": UNIT_MSE,
            "psnr": WRONG_PEAK,
            "cc": SAME,
            "scd": SAME,
            "vif": Variant(
                {"window": "off-centre", "border": "zero"},
                note="zero padding, window off centre: 2 to 30 % more",
                min_side=9,
                min_reason="its largest window reaches 8 pixels beyond the border",
            ),
            "qabf": Variant(ZERO_TIES, undefined=BLACK),
            "ssim": Variant(
                {"data_range": 1.0, "over": "sum"}, range=SUM, note="images times 255 once too often, summed"
            ),
            "ms_ssim": Variant(
                {"data_range": 1.0, "over": "sum", "odd": "zero"},
                range=SUM,
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
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (*_LIST, *TOOLKITS)}


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
    base, _, version = name.partition("/")
    if base == "standard" and version in ("", "1"):
        return None
    if base not in DIALECTS:
        raise unknown_name("dialect", name, list_dialects())
    if version not in ("", DIALECTS[base].version) and version.isdigit() and int(version) < int(DIALECTS[base].version):
        raise UsageError(f"{name}: values have changed since; this version computes {DIALECTS[base].id}, write {base}")
    if version not in ("", DIALECTS[base].version):
        raise unknown_name("dialect", name, list_dialects())
    return DIALECTS[base]


def grey_rule(metric: Metric) -> GreyRule:
    """How colour files become grey for a metric in its dialect.

    Example:
        >>> from fusionbench import get_metric
        >>> from fusionbench.metrics.dialects import grey_rule
        >>> grey_rule(get_metric("mi")), grey_rule(get_metric("mi", "cddfuse"))
        ('bt601', 'opencv-float32')
    """
    found = DIALECTS.get(metric.dialect.partition("/")[0])
    return "bt601" if found is None else found.grey


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
        many=False,  # evaluators take two sources
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
