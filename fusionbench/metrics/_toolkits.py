"""Dialects of toolkits with many metrics: the multi-exposure benchmark MEFB, IQA-PyTorch and chenzpstar's."""

from __future__ import annotations

from fusionbench.metrics._variants import (
    BLACK,
    GAUSSIAN,
    INFINITE,
    INNER,
    SAME,
    STRETCHED_QCB,
    STRETCHED_QCV,
    UNIT_MSE,
    ZERO_TIES,
    Dialect,
    Variant,
)

TOOLKITS = (
    Dialect(
        "mefb",
        "MEFB benchmark (MATLAB)",
        "MEFB and papers on its 100 pairs of exposures",
        {
            "en": Variant({"rounding": "floor"}),
            "sd": SAME,
            "sf": Variant({"counts": "pixels"}, note="both sums divided by H·W: 0.1 to 0.2 % less"),
            "ag": INNER,
            "nmi": SAME,
            "psnr": Variant({"peak": "root of sums"}, note="sqrt(Σd²)/(H·W) stands for the squared error"),
            "qabf": Variant(ZERO_TIES, undefined=BLACK),
            "qcv": STRETCHED_QCV,
            "qcb": STRETCHED_QCB,
            "qp": Variant({"low_pass": "off by one"}, note="the filters' low-pass is one bin off at odd sizes"),
            "qy": Variant(
                {"flat": "left out"},
                note="windows in which both sources are flat are left out",
                undefined=("both sources are constant",),
            ),
            "viff": Variant(note="printed as VIF, but it is Han's VIFF"),
            "ce": SAME,
            "ei": SAME,
            "fmi_edge": Variant(note="printed as FMI"),
            "qncie": SAME,
            "qte": Variant(
                {"order": 1.85, "form": "mefb"},
                range=(-INFINITE, INFINITE),
                undefined=(),
                note="printed as TE: q = 1.85, marginals exchanged, the sum of both informations without a denominator",
            ),
            "qc": Variant(
                {"index": "unguarded", "limits": "value"},
                min_side=7,
                min_reason="its windows are 7×7",
                note="7×7 Gaussian; windows whose share leaves 0..1 are set to 0 or 1",
            ),
            "qe": Variant(
                {"index": "ssim", "border": "zero", "factors": "edges once"},
                **GAUSSIAN,
                undefined=(),
                note="printed as Qw, but it is Q_W of the edge images, zeros outside",
            ),
            "mef_ms_ssim": Variant(note="printed as MEF_SSIM, but it is the product over three scales"),
        },
        "1e-7 where the code is that of vifb and liu-2012; on grey images (colour is scored channel by channel there)",
    ),
    Dialect(
        "pyiqa",
        "IQA-PyTorch (Python)",
        "papers that score a fused image with pyiqa against each of its sources",
        {
            "psnr": Variant(
                {"of": "each source"}, note="mean of two values in dB; 1e-8 added to the error on 0..1", undefined=()
            ),
            "ssim": Variant({"opposite": "is nothing"}, range=(0.0, 1.0), note="opposite structure counts as 0; mean"),
            "ms_ssim": Variant(
                {"opposite": "is nothing", "odd": "zero"},
                note="opposite structure counts as 0; odd sides padded with zeros; mean",
            ),
            "vif_wavelet": Variant(note="printed as vif; summed over the sources as in fusion tables"),
        },
        "1e-8 in double precision; as shipped (single) SSIM 2e-6, MS-SSIM 1e-6, VIF 4e-3",
    ),
    Dialect(
        "chenzpstar",
        "Multi-Modal-Image-Fusion (PyTorch)",
        "papers that use the metrics of chenzpstar/Multi-Modal-Image-Fusion",
        {
            "en": SAME,
            "sd": SAME,
            "sf": SAME,
            "ag": Variant({"differences": "forward"}, note="forward differences"),
            "mi": SAME,
            "nmi": SAME,
            "ce": Variant({"sources": "sum"}, range=(-1.062, INFINITE), note="the sum of both, twice the mean"),
            "mse": UNIT_MSE,
            "psnr": SAME,
            "cc": SAME,
            "scd": SAME,
            "ssim": SAME,
            "ms_ssim": Variant(
                {"odd": "reflect"}, note="at odd sides the last row or column but one is put after the last"
            ),
            "qabf": Variant(
                {"border": "reflect", "angle": "folded", "power": 1.5},
                note="border mirrored, angles folded at 90°, weights g^1.5",
            ),
            "nabf": Variant(
                {"edges": "qabf"},
                note="preservation as in its Qabf, no threshold for weak edges",
                undefined=("both sources are constant",),
            ),
            "labf": Variant(
                {"edges": "qabf"},
                note="preservation as in its Qabf, no threshold for weak edges: Qabf, Nabf and Labf add up to 1",
                undefined=("both sources are constant",),
            ),
            "viff": Variant(
                {"sources": "sum"},
                note="by default no choice between the sources and no weights of scales: a sum of two VIF",
            ),
        },
        "1e-5 (the original's single precision)",
    ),
)
