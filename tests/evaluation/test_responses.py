"""Responses of metrics to worse images: distortions by other means, and answers that are known beforehand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import ndimage

from fusionbench import get_metric
from fusionbench.evaluation.responses import DISTORTIONS, Response, respond
from tests.metrics.scenes import scene


def test_the_first_strength_leaves_the_image_alone_and_the_others_do_not() -> None:
    image = scene()[0]
    for name, distortion in DISTORTIONS.items():
        made = [distortion.apply(image, strength) for strength in distortion.strengths]
        assert np.array_equal(made[0], image), name
        assert all(one.shape == image.shape and one.dtype == np.uint8 for one in made), name
        errors = [float(((one.astype(float) - image) ** 2).mean()) for one in made]
        # waves of this scene meet themselves again when they are shifted
        assert name == "shift" or errors == sorted(errors), f"{name}: {errors}"
        assert min(errors[1:]) > 0, name


def test_distortions_are_what_they_are_called() -> None:
    image = scene(1)[0]
    blurred = ndimage.gaussian_filter(image.astype(float), 2, mode="mirror", truncate=4)
    assert np.abs(DISTORTIONS["blur"].apply(image, 2).astype(float) - blurred)[10:-10, 10:-10].max() < 1.1
    shifted = DISTORTIONS["shift"].apply(image, 3)
    assert np.array_equal(shifted[:, 3:], image[:, :-3]) and (shifted[:, :3] == image[:, :1]).all()
    flat = np.full((64, 64), 128, np.uint8)
    noisy = DISTORTIONS["noise"].apply(flat, 10)
    assert noisy.std() == pytest.approx(10, rel=0.03)
    assert np.array_equal(noisy, DISTORTIONS["noise"].apply(flat, 10)), "the same noise every time"
    stretched = DISTORTIONS["stretch"].apply(image // 4 + 96, 2)
    assert stretched.std() == pytest.approx(2 * (image // 4).std(), rel=0.01)


def test_answers_that_are_known() -> None:
    fused, a, b = scene()
    arrows = {name: {one.distortion: one for one in respond(get_metric(name), fused, a, b)} for name in ("sf", "mse")}
    assert arrows["sf"]["noise"].arrow == "↑" and arrows["sf"]["noise"].fools
    assert arrows["sf"]["blur"].arrow == "↓" and not arrows["sf"]["blur"].fools
    assert arrows["mse"]["stretch"].arrow == "↑" and not arrows["mse"]["stretch"].fools, "lower is better"
    values = arrows["sf"]["blur"].values
    assert values[0] == get_metric("sf").function(fused[None])[0] and len(values) == 6


def test_targets_and_metrics_of_something_else() -> None:
    fused, a, b = scene()
    (noise, *_) = respond(get_metric("psnr_target"), fused, a, b)
    assert math.isinf(noise.values[0]) and noise.arrow == "↓" and not noise.fools
    assert respond(get_metric("ssim_target"), fused, a, b)[1].arrow == "↓"
    assert respond(get_metric("nll"), fused, a, b) == []
    unknown = dataclasses.replace(get_metric("en"), needs="three sources")  # type: ignore[arg-type]
    assert respond(unknown, fused, a, b) == []


def test_arrows() -> None:
    for values, arrow, fools in (
        ((1, 1.0005, 1), "–", False),
        ((1, 0.9, 1.2), "↓↑", True),
        ((1, math.nan, 0.5), "↓", False),
        ((math.nan, 1, 2), "–", False),
        ((0, 0, 0), "–", False),
        ((math.inf, 30, 20), "↓", False),
        ((math.inf, math.inf, math.nan), "–", False),
    ):
        response = Response("noise", tuple(map(float, values)), "higher")
        assert (response.arrow, response.fools) == (arrow, fools), values
