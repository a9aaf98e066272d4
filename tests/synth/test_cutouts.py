"""Oracles: drawn shapes whose mask is known; the real photographs, where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.synth import CannyCut
from fusionbench.synth.cutouts import iou

CUT = CannyCut(20, 60, 5)


def test_a_drawn_object_is_cut_at_its_edge() -> None:
    image, truth = np.zeros((100, 120), np.uint8), np.zeros((100, 120), np.uint8)
    cv2.ellipse(image, (60, 50), (35, 20), 30, 0, 360, 180, -1)
    cv2.ellipse(truth, (60, 50), (35, 20), 30, 0, 360, 255, -1)
    cv2.circle(image, (60, 50), 6, 20, -1)  # a dark hole belongs to the object
    cv2.circle(image, (8, 8), 3, 255, -1)  # a speck does not
    mask = CUT.mask(image)
    assert mask.dtype == np.uint8 and mask.shape == image.shape and set(np.unique(mask)) == {0, 255}
    assert iou(mask, truth) > 0.9 and mask[50, 60] == 255 and mask[8, 8] == 0


def test_an_object_at_the_border_is_filled() -> None:
    image = np.zeros((60, 60), np.uint8)
    image[20:, 10:50] = 200
    assert iou(CUT.mask(image), image) > 0.85


def test_nothing_to_cut() -> None:
    assert CUT.mask(np.full((30, 40), 90, np.uint8)).max() == 0


def test_iou() -> None:
    a, b = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    assert iou(a, b) == 1
    a[:2], b[1:3] = 255, 1
    assert iou(a, b) == pytest.approx(4 / 12)


def test_real_t_less_images_are_cut(real_data: Path) -> None:
    """Against the only ground truth at hand: the object is brighter than the black cloth around it."""
    for name in ("sample4_1.png", "sample_original.png"):
        image = cv2.imread(str(real_data / "tless" / name), cv2.IMREAD_GRAYSCALE)
        mask = CUT.mask(image)
        assert 0.05 < np.mean(mask > 0) < 0.4
        assert iou(mask, np.where(image > 60, 255, 0)) > 0.75
