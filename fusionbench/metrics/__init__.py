"""Metrics, one per file. A new metric is its file plus one line here."""

from __future__ import annotations

from fusionbench.core.errors import UsageError
from fusionbench.core.registry import Registry
from fusionbench.core.types import Metric

METRICS: Registry[Metric] = Registry(
    "metric",
    "fusionbench.metrics",
    {
        "mse_min": "fusionbench.metrics.mse_min:METRIC",
        "nll": "fusionbench.metrics.nll:METRIC",
        "ag": "fusionbench.metrics.ag:METRIC",
        "cc": "fusionbench.metrics.cc:METRIC",
        "en": "fusionbench.metrics.en:METRIC",
        "mi": "fusionbench.metrics.mi:METRIC",
        "mse": "fusionbench.metrics.mse:METRIC",
        "mse_target": "fusionbench.metrics.mse:TARGET_METRIC",
        "nmi": "fusionbench.metrics.nmi:METRIC",
        "psnr": "fusionbench.metrics.psnr:METRIC",
        "psnr_target": "fusionbench.metrics.psnr:TARGET_METRIC",
        "qabf": "fusionbench.metrics.qabf:METRIC",
        "scd": "fusionbench.metrics.scd:METRIC",
        "sd": "fusionbench.metrics.sd:METRIC",
        "sf": "fusionbench.metrics.sf:METRIC",
        "ssim": "fusionbench.metrics.ssim:METRIC",
        "ssim_target": "fusionbench.metrics.ssim:TARGET_METRIC",
        "vif": "fusionbench.metrics.vif:METRIC",
        "fmi": "fusionbench.metrics.fmi:METRIC",
        "ms_ssim": "fusionbench.metrics.ms_ssim:METRIC",
        "nabf": "fusionbench.metrics.nabf:METRIC",
        "qcb": "fusionbench.metrics.qcb:METRIC",
        "qcv": "fusionbench.metrics.qcv:METRIC",
        "qp": "fusionbench.metrics.qp:METRIC",
        "qy": "fusionbench.metrics.qy:METRIC",
        "viff": "fusionbench.metrics.viff:METRIC",
        "ce": "fusionbench.metrics.ce:METRIC",
        "ei": "fusionbench.metrics.ei:METRIC",
        "rmse": "fusionbench.metrics.rmse:METRIC",
        "qncie": "fusionbench.metrics.qncie:METRIC",
        "qte": "fusionbench.metrics.qte:METRIC",
        "qc": "fusionbench.metrics.qc:METRIC",
        "qs": "fusionbench.metrics.qs:METRIC",
        "qw": "fusionbench.metrics.qw:METRIC",
        "qe": "fusionbench.metrics.qe:METRIC",
        "qm": "fusionbench.metrics.qm:METRIC",
        "qg": "fusionbench.metrics.qg:METRIC",
        "qsf": "fusionbench.metrics.qsf:METRIC",
        "fmi_edge": "fusionbench.metrics.fmi_edge:METRIC",
        "fmi_dct": "fusionbench.metrics.fmi_dct:METRIC",
        "fmi_wavelet": "fusionbench.metrics.fmi_wavelet:METRIC",
        "labf": "fusionbench.metrics.labf:METRIC",
        "mef_ssim": "fusionbench.metrics.mef_ssim:METRIC",
        "mef_ms_ssim": "fusionbench.metrics.mef_ms_ssim:METRIC",
        "vif_wavelet": "fusionbench.metrics.vif_wavelet:METRIC",
    },
    see="fusionbench list metrics",
    accepts=lambda found: isinstance(found, Metric),
)
register_metric = METRICS.register
list_metrics = METRICS.names
LIBRARY_NAMES = ("brisque", "clip_iqa", "lpips", "musiq", "niqe")  # metrics/iqa.py; by name only, never among "all"


def get_metric(name: str, dialect: str = "standard/1") -> Metric:
    """The metric called ``name``, as ``dialect`` computes it (``"cddfuse"``; see ``metrics/dialects.py``).

    Raises:
        UsageError: unknown name or dialect, with a suggestion, or a dialect without this metric.

    Example:
        >>> from fusionbench import get_metric
        >>> entropy = get_metric("en")
        >>> entropy.unit, entropy.better, entropy.range
        ('bits', 'higher', (0.0, 8.0))
        >>> get_metric("mi").unit, get_metric("mi", "cddfuse").unit
        ('bits', 'nats')
    """
    if name in LIBRARY_NAMES and name not in METRICS.names():
        from fusionbench.metrics.iqa import LIBRARY_METRICS

        metric = LIBRARY_METRICS[name]
    else:
        metric = METRICS.get(name)
    if dialect == "standard/1":
        return metric
    from fusionbench.metrics.dialects import in_dialect

    return in_dialect(metric, dialect)


def label_of(score: str) -> str:
    """Short name of a score in the heads of tables; the score's own name where nobody gave another.

    Scores that come with a metric have theirs from it: ``nll_bpd`` is the NLL in bits, ``elbo`` its looser bound.

    Example:
        >>> from fusionbench.metrics import label_of
        >>> label_of("ms_ssim"), label_of("nll_bpd"), label_of("elbo"), label_of("speed")
        ('MS-SSIM', 'NLL', 'negative ELBO', 'speed')
    """
    name = score.removesuffix("_bpd")
    if name == "elbo":
        return "negative ELBO"
    try:
        return get_metric(name).label or score
    except UsageError:  # the metric of a package that is not installed here
        return score
