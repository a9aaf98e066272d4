"""Training of detectors: what they are shown, and what lacks torchvision says."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.detection import _sample, need_torchvision
from fusionbench.sources.boxes import Boxes


def test_mirrored_images_have_mirrored_boxes() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[4:9, 2:12] = 255
    boxes = [Boxes(np.array([[2.0, 4, 12, 9]]), np.array([1]))]
    seen = set()
    for seed in range(8):
        pixels, target = _sample(lambda _: image, boxes, 0, np.random.default_rng(seed))
        x1, y1, x2, y2 = (int(value) for value in target["boxes"][0])
        seen.add(x1)
        inside = pixels[:, y1:y2, x1:x2]
        assert inside.min() == 1 and pixels.sum() == inside.sum() and target["labels"].tolist() == [2]
    assert seen == {2, 18}
    assert boxes[0].corners.tolist() == [[2, 4, 12, 9]]  # as they were


def test_an_image_without_boxes_is_background() -> None:
    nothing = [Boxes(np.zeros((0, 4)), np.zeros(0, np.int64))]
    _, target = _sample(lambda _: np.zeros((9, 9, 3), np.uint8), nothing, 0, np.random.default_rng(0))
    assert target["boxes"].shape == (0, 4) and target["labels"].shape == (0,)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_what_lacks_is_one_line() -> None:
    with pytest.raises(UsageError, match="belongs to the installed torch") as caught:
        need_torchvision()
    assert "\n" not in str(caught.value)
