"""The checks that users run on metrics of their own hold for those of fusionbench, and find what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusionbench import get_metric
from fusionbench.metrics.checks import check_metric, demo_images


@pytest.mark.parametrize("name", ["en", "mi", "qabf", "psnr_target", "ssim", "nll"])
def test_built_in_metrics_pass(name: str) -> None:
    report = check_metric(get_metric(name))
    assert report.ok, report.as_markdown()


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"exploits": " "}, "card_is_complete"),
        ({"range": (9.0, 8.0)}, "card_is_complete"),
        ({"better": "more"}, "card_is_complete"),
        ({"range": (0.0, 1.0)}, "one_number_an_image"),
        ({"function": lambda fused: fused.mean()}, "one_number_an_image"),
        ({"function": lambda fused: np.full(len(fused), np.nan)}, "one_number_an_image"),
        ({"function": lambda fused: np.full(len(fused), float(len(fused)))}, "batch_equals_single_images"),
        ({"function": lambda fused: np.random.default_rng().random(len(fused))}, "values_repeat"),
        ({"function": lambda fused: (fused * 2).mean(axis=(1, 2)) / 100}, "bytes_and_numbers_agree"),
        ({"function": lambda fused: np.sqrt(fused.std(axis=(1, 2)) - 1)}, "flat_images_have_a_value_or_a_reason"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, object], check: str) -> None:
    report = check_metric(replace(get_metric("en"), **changes))  # type: ignore[arg-type]
    assert check in [row.check for row in report.rows if row.verdict == "fails"]


def test_a_metric_that_writes_into_its_images() -> None:
    def write(fused: np.ndarray) -> np.ndarray:
        fused[:] = 0
        return np.zeros(len(fused))

    report = check_metric(replace(get_metric("en"), function=write))
    assert "images_are_left_alone" in [row.check for row in report.rows if row.verdict == "fails"]


def test_the_images_are_always_the_same() -> None:
    assert all(np.array_equal(one, two) for one, two in zip(demo_images(2, 48), demo_images(2, 48), strict=True))
