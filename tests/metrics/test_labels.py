"""Short names of scores in the heads of tables."""

from __future__ import annotations

import pytest

from fusionbench.metrics import get_metric, label_of, list_metrics


@pytest.mark.parametrize(
    ("score", "label"),
    [
        ("nll", "NLL"),
        ("nll_bpd", "NLL"),
        ("elbo", "negative ELBO"),
        ("elbo_bpd", "negative ELBO"),
        ("mse_min", "MSE_min"),
        ("ms_ssim", "MS-SSIM"),
        ("psnr_target", "PSNR to the target"),
        ("qabf", "Qabf"),
        ("qcb", "Qcb"),
        ("viff", "VIFF"),
        ("measured by a package that is not here", "measured by a package that is not here"),
    ],
)
def test_labels(score: str, label: str) -> None:
    assert label_of(score) == label


def test_every_metric_of_ours_has_one() -> None:
    labels = {name: get_metric(name).label for name in list_metrics()}
    assert all(labels.values()) and len(set(labels.values())) == len(labels)
    assert all(get_metric(name, "cddfuse").label == label for name, label in labels.items() if name in ("mi", "vif"))
