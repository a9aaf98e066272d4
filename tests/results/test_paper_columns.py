"""Columns by the names that people give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.results.comparison import Entry, read_entries
from fusionbench.results.paper_columns import choose_columns
from tests.helpers.results import made_up, saved


@pytest.fixture
def pairs(tmp_path: Path) -> list[Entry]:
    keys = ("ssim", "qabf", "en", "vif", "vif@cddfuse", "sd", "ms_ssim")
    saved(tmp_path, "a", {key: [1.0, 2.0] for key in keys})
    return read_entries(tmp_path)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("EN", "en"),
        ("Qabf", "qabf"),
        ("Q^{AB/F}", "qabf"),
        ("QAB/F", "qabf"),
        ("VIF@cddfuse", "vif@cddfuse"),
        ("vif", "vif"),
        ("MS-SSIM", "ms_ssim"),
        ("Params", "params"),
        ("ms_per_image", "time"),
    ],
)
def test_a_name_means_a_column(pairs: list[Entry], name: str, key: str) -> None:
    assert [column.key for column in choose_columns([name], pairs)] == [key]


def test_order_and_patterns(pairs: list[Entry]) -> None:
    assert [c.key for c in choose_columns(["time", "vif*", "EN"], pairs)] == ["time", "vif", "vif@cddfuse", "en"]
    usual = [column.key for column in choose_columns([], pairs)]
    assert usual == ["en", "sd", "vif", "qabf", "ssim", "ms_ssim"], "the field's order, the standard definition"


def test_masked_sets(tmp_path: Path) -> None:
    made_up(tmp_path, "net")
    entries = read_entries(tmp_path)
    assert [c.key for c in choose_columns(["NLL", "MSE_min@N=2"], entries)] == ["nll_bpd@mean", "mse_min@2"]
    mean, two = choose_columns(["nll_bpd", "mse_min@2"], entries)
    assert (mean.under, two.under, mean.unit_shown, two.unit_shown) == ("mean", "N = 2", "bits/dim", "")


def test_what_fits_nothing_is_refused_with_the_nearest(pairs: list[Entry]) -> None:
    for name, words in (
        ("VFF", "Did you mean 'vif'"),
        ("vif@cdfuse", "Did you mean 'cddfuse'"),
        ("x*", "no score fits the pattern"),
        ("params@1", "Unknown metric"),
    ):
        with pytest.raises(UsageError, match=words):
            choose_columns([name], pairs)
    with pytest.raises(UsageError, match="twice"):
        choose_columns(["EN", "e*"], pairs)
