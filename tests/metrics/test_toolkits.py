"""The rows of three toolkits: each name stands for the definition that the toolkit's code has, not for its title."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from fusionbench.metrics import get_metric
from fusionbench.metrics._toolkits import TOOLKITS
from fusionbench.metrics.engine import SourcePair, available
from tests.metrics.scenes import stacks
from tests.metrics.test_qabf import plainly_folded
from tests.metrics.test_viff import plainly

F, A, B = stacks(1)


def value(name: str, dialect: str) -> float:
    metric = get_metric(name, dialect)
    return float(metric.function(*((F,) if metric.needs == "fused" else (F, A, B)))[0])


def test_a_row_of_a_toolkit_is_one_call() -> None:
    images = stacks(1, (176, 181))
    for dialect in TOOLKITS:
        names = available(dialect.name)
        assert set(names) == set(dialect.metrics) and dialect.title and dialect.used_by and dialect.precision
        row = SourcePair(*images[1:], [n for n in names if n != "qp"], dialect.name).score(images[0])
        assert all(np.isfinite(values).all() for values in row.values()), dialect.name


def test_names_that_mean_something_else() -> None:
    notes = {(d.name, n): v.note for d in TOOLKITS for n, v in d.metrics.items()}
    assert "printed as VIF" in notes["mefb", "viff"] and "printed as MEF_SSIM" in notes["mefb", "mef_ms_ssim"]
    assert "printed as vif" in notes["pyiqa", "vif_wavelet"]
    assert all("vif" not in d.metrics for d in TOOLKITS), "none of them has VIF-p"


def test_chenzpstar_by_its_formulas() -> None:
    images = F[0], A[0], B[0]
    assert (value("qabf", "chenzpstar"), value("nabf", "chenzpstar")) == pytest.approx(
        plainly_folded(*images), rel=1e-10
    )
    kept, added = value("qabf", "chenzpstar"), value("nabf", "chenzpstar")
    assert value("labf", "chenzpstar") == pytest.approx(1 - kept - added, rel=1e-9), "the three are parts of one sum"
    counts = [np.bincount(image.ravel(), minlength=256) / image.size for image in images]
    both = [(p > 0) & (counts[0] > 0) for p in counts[1:]]
    sums = [(p[m] * np.log2(p[m] / counts[0][m])).sum() for p, m in zip(counts[1:], both, strict=True)]
    assert value("ce", "chenzpstar") == pytest.approx(sum(sums), rel=1e-12) == pytest.approx(2 * value("ce", "mefb"))
    assert value("viff", "chenzpstar") == pytest.approx(plainly(*images, chosen=False), rel=1e-9)
    assert value("mse", "chenzpstar") == pytest.approx(10 ** (-value("psnr", "chenzpstar") / 10), rel=1e-12)


def test_pyiqa_by_scikit_image() -> None:
    f, a, b = (stack[0].astype(float) for stack in (F, A, B))
    form = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    maps = [structural_similarity(f, x, **form)[1][5:-5, 5:-5] for x in (a, b)]
    assert value("ssim", "pyiqa") == pytest.approx(np.mean([np.maximum(one, 0).mean() for one in maps]), rel=1e-9)
    each = [10 * math.log10(1 / (((f - x) ** 2).mean() / 255**2 + 1e-8)) for x in (a, b)]
    assert value("psnr", "pyiqa") == pytest.approx(sum(each) / 2, rel=1e-12)


def test_mefb_is_vifb_and_liu_where_their_code_is_the_same() -> None:
    for name, same in {"ag": "vifb", "sf": "vifb", "psnr": "vifb", "qabf": "vifb", "qcv": "liu-2012"}.items():
        assert value(name, "mefb") == value(name, same), name
