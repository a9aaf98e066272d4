"""Scores of single stacks: every metric's arguments, and why one has no value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench import create_model
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.stack_scores import fused_luma, lacks, score_stack
from fusionbench.evaluation.stack_sets import Stack
from fusionbench.metrics import get_metric

PIXELS = np.random.Generator(np.random.Philox(4)).integers(0, 256, (5, 24, 24), np.uint8)


def test_a_model_of_views_is_given_all_of_them() -> None:
    stack, spec = Stack("x", PIXELS[:3], PIXELS[3]), ImageSpec(1, 24, 24, 3)
    model = create_model("max-view", spec)
    assert np.array_equal(fused_luma(model, stack, 0, "cpu"), stack.views.max(0))
    with pytest.raises(UsageError, match="has no fuse"):
        fused_luma(torch.nn.Identity(), stack, 0, "cpu")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"fuses two grey views; this data set has 3.*`exposure-fusion` do"):
        create_model("cbf", spec)


def test_an_image_of_another_size_is_told() -> None:
    stack = Stack("x", np.zeros((2, 8, 8), np.uint8), None)
    with pytest.raises(DataError, match="x: the fused image is 8×9 and its sources are 8×8 pixels"):
        score_stack(np.zeros((8, 9), np.uint8), stack, ["sf"])


def test_each_metric_gets_what_it_needs() -> None:
    fused, stack = PIXELS[4], Stack("x", PIXELS[:3], PIXELS[3])
    values, missing = score_stack(fused, stack, ["sf", "psnr_target", "mef_ssim", "qg", "vif"])
    as_one = [image[None] for image in (fused, *stack.views)]
    assert values["mef_ssim"] == pytest.approx(float(get_metric("mef_ssim").function(*as_one)[0]))
    psnr = get_metric("psnr_target").function(fused[None], PIXELS[3:4])
    assert values["psnr_target"] == pytest.approx(float(psnr[0]))
    assert values["sf"] == pytest.approx(float(get_metric("sf").function(fused[None])[0]))
    assert {name: why.cause for name, why in missing.items()} == {"qg": "sources", "vif": "size"}
    blind = Stack("x", PIXELS[:2], None)
    assert lacks("psnr_target", blind) is not None and lacks("qg", blind) is None
    assert np.isnan(score_stack(fused, blind, ["psnr_target"])[0]["psnr_target"])


def test_a_perfect_image_has_no_finite_psnr() -> None:
    _, missing = score_stack(PIXELS[3], Stack("x", PIXELS[:2], PIXELS[3]), ["psnr_target"])
    assert "equals the target" in missing["psnr_target"].reason and missing["psnr_target"].cause == "fused"
