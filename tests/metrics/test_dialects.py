"""Dialects are data: every variant fits its metric's function, and does to the value what its note says.

Expected values are computed here from the standard's, from definitions, or with the arguments in another order; the
evaluators' own numbers are in ``test_golden.py``.
"""

from __future__ import annotations

import inspect
import math
import pickle

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics.dialects import DIALECTS, Dialect, Variant, get_dialect, in_dialect, list_dialects
from fusionbench.metrics.nabf import nabf
from tests.metrics.scenes import stacks

IMAGES = {"fused": 1, "pair": 3}
VARIANTS = [(name, metric) for name, dialect in DIALECTS.items() for metric in dialect.metrics]
EQUAL = {  # variants whose parameters change nothing here, and why
    ("vifb", "en"): "whole grey levels have nothing to cut off",
    ("mefb", "en"): "whole grey levels have nothing to cut off",
    ("mefb", "qy"): "no window is flat in both sources",
    ("gtf", "fmi"): "pixels are the standard's feature too, and said for once",
}
F, A, B = stacks(2)
A[:, :4, :4], A[:, :4, 4:8] = 255, 254  # levels that a dialect merges
LARGE = stacks(2, (177, 180))  # five scales of MS-SSIM, four levels of the wavelet VIF


def value(metric: str, dialect: str = "standard/1") -> np.ndarray:
    return values_of(get_metric(metric, dialect))


def values_of(record: Metric) -> np.ndarray:
    images = LARGE if record.min_side > min(F.shape[1:]) else (F, A, B)
    found: np.ndarray = record.function(*images[: IMAGES[record.needs]])
    return found


@pytest.mark.parametrize(("dialect", "name"), VARIANTS)
def test_parameters_are_keywords_of_the_metric_and_differ_from_its_defaults(dialect: str, name: str) -> None:
    known = inspect.signature(get_metric(name).function).parameters
    for key, given in DIALECTS[dialect].metrics[name].parameters.items():
        assert known[key].kind is inspect.Parameter.KEYWORD_ONLY
        assert known[key].default != given or (dialect, name) in EQUAL, "this is the standard already"


@pytest.mark.parametrize(("dialect", "name"), VARIANTS)
def test_values_are_in_the_range_that_the_variant_says(dialect: str, name: str) -> None:
    low, high = get_metric(name, dialect).range
    found = value(name, dialect)
    assert found.shape == (2,) and np.isfinite(found).all()
    assert (low - 1e-12 <= found).all() and (found <= high).all()


@pytest.mark.parametrize(("dialect", "name"), VARIANTS)
def test_the_same_variant_has_the_same_value_and_another_one_another(dialect: str, name: str) -> None:
    variant = DIALECTS[dialect].metrics[name]
    standard, theirs = value(name), value(name, dialect)
    same = not variant.parameters and variant.swap == (0, 1, 2)
    assert np.array_equal(theirs, standard) == (same or (dialect, name) in EQUAL)


def test_units_and_factors() -> None:
    assert value("mi", "cddfuse") == pytest.approx(value("mi") * math.log(2), rel=1e-12)  # bits to nats
    assert value("mse", "linfeng") == pytest.approx(value("mse") / 255**2, rel=1e-12)
    assert value("psnr", "linfeng") == pytest.approx(value("psnr") + 20 * math.log10(255), rel=1e-12)
    assert value("ssim", "vifb") == pytest.approx(2 * value("ssim"), rel=1e-12)
    assert value("sf", "linfeng-2022") == pytest.approx(value("sf") / 255, rel=1e-12)
    assert (get_metric("mi", "cddfuse").unit, get_metric("mi").unit) == ("nats", "bits")


def test_quirks_as_their_notes_say() -> None:
    pixels = F.reshape(2, -1).astype(float)
    root = np.sqrt(((pixels - pixels.mean(1, keepdims=True)) ** 2).sum(1)) / 255
    assert value("sd", "rfn-nest") == pytest.approx(root, rel=1e-12)
    frequencies = [np.bincount(image.ravel(), minlength=256) / image.size for image in F]
    entropy = np.array([-sum(p * math.log2(p) for p in levels if p) for levels in frequencies])
    assert value("mi", "rfn-nest") == pytest.approx(2 * entropy, rel=1e-9)
    guarded = [-sum(p * math.log2(p + 1e-7) for p in levels) for levels in frequencies]
    assert value("en", "ivif-zoo") == pytest.approx(guarded, rel=1e-9)
    errors = sum(np.sqrt(((F - s.astype(float)) ** 2).sum((1, 2))) / F[0].size for s in (A, B)) / 2
    assert value("psnr", "vifb") == pytest.approx(10 * np.log10(255**2 / errors), rel=1e-12)
    brightest = F.max((1, 2)).astype(float)
    assert value("psnr", "cddfuse") == pytest.approx(10 * np.log10(brightest**2 / value("mse")), rel=1e-12)


def test_an_order_of_arguments_is_the_evaluators() -> None:
    assert np.array_equal(value("nabf", "linfeng"), nabf(A, B, F))
    assert not np.allclose(nabf(A, B, F), nabf(F, A, B))


def test_the_record_says_what_differs_and_no_more() -> None:
    standard, theirs = get_metric("ssim"), get_metric("ssim", "cddfuse")
    assert (theirs.dialect, standard.dialect) == ("cddfuse/1", "standard/1")
    assert (theirs.range, theirs.min_side, theirs.min_reason) == ((-2.0, 2.0), 7, "its windows are 7×7")
    assert theirs.choices == (DIALECTS["cddfuse"].metrics["ssim"].note, *standard.choices)
    same = ("name", "version", "title", "label", "needs", "better", "unit", "tolerance", "reference", "undefined")
    assert all(getattr(theirs, field) == getattr(standard, field) for field in same)
    every_size = get_metric("ssim", "linfeng")
    assert (every_size.min_side, every_size.min_reason) == (1, ""), (
        "no reason is a reason's absence, not the standard's"
    )
    assert get_metric("psnr", "cddfuse").undefined == (
        "the fused image is black",
        "the fused image equals both sources",
    )
    assert get_metric("en", "cddfuse").choices == get_metric("en").choices, "no note, no further choice"


def test_standard_is_the_metric_itself() -> None:
    metric = get_metric("vif")
    assert in_dialect(metric, "standard/1") is metric and in_dialect(metric, "standard") is metric
    assert in_dialect(metric, "cddfuse").function is metric.function, "a variant without parameters adds no layer"


@pytest.mark.parametrize(("dialect", "name"), VARIANTS)
def test_records_survive_pickling(dialect: str, name: str) -> None:
    record: Metric = get_metric(name, dialect)
    other: Metric = pickle.loads(pickle.dumps(record))
    assert np.array_equal(values_of(other), values_of(record))
    assert (other.unit, other.range, other.dialect) == (record.unit, record.range, record.dialect)


def test_dialects_by_name() -> None:
    assert list_dialects()[0] == "standard/1" and get_dialect("standard") is None
    assert list_dialects()[1:] == list(DIALECTS) and len(set(list_dialects())) == len(list_dialects())
    found = get_dialect("cddfuse/1")
    assert isinstance(found, Dialect) and found is get_dialect("cddfuse") and found.id == "cddfuse/1"
    with pytest.raises(UsageError, match=r"linfeng-2022/1: values have changed since; .* computes linfeng-2022/2"):
        get_dialect("linfeng-2022/1")
    assert get_dialect("linfeng-2022/2") is get_dialect("linfeng-2022")
    for dialect in DIALECTS.values():
        assert dialect.id == f"{dialect.name}/{dialect.version}" and dialect.version.isdigit()
        assert dialect.title and dialect.used_by and dialect.precision
        assert set(dialect.metrics) <= set(list_metrics())


@pytest.mark.parametrize(
    ("metric", "dialect", "message"),
    [
        ("vif", "cdfuse", "Unknown dialect 'cdfuse'. Did you mean 'cddfuse'"),
        ("vif", "cddfuse/2", "Unknown dialect 'cddfuse/2'. Did you mean 'cddfuse'"),
        ("vif", "", "Unknown dialect ''"),
        ("qp", "cddfuse", "The dialect 'cddfuse' has no 'qp'; it has ag, cc, en, mi,"),
    ],
)
def test_unknown_dialects_and_metrics_they_lack(metric: str, dialect: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_metric(metric, dialect)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_variant_cannot_be_changed_by_its_users() -> None:
    with pytest.raises(AttributeError):
        Variant().unit = "nats"  # type: ignore[misc]
