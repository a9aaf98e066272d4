"""Detection in fused images: options, and the way without and with torchvision."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fusionbench import create_model
from fusionbench.core.errors import UsageError
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.detection import _seen

DETECTION = PROTOCOLS.get("detection/1")
HERE = importlib.util.find_spec("torchvision") is not None


def test_a_detector_sees_the_fused_image_in_the_colour_of_the_visible_one() -> None:
    data = DETECTION.open("probe-demo", DETECTION.options())
    [grey] = _seen(create_model("copy-b", DETECTION.spec(data)), data, data.tested[:1], colour=False)
    pair = data.pair(data.tested[0])
    assert all(np.array_equal(grey[..., channel], pair[1]) for channel in range(3))
    [colour] = _seen(create_model("copy-b", DETECTION.spec(data)), data, data.tested[:1], colour=True)
    expected = data.colour(data.tested[0])
    assert expected is not None and np.abs(colour.astype(int) - expected).max() <= 2  # the luma was rounded
    [both] = _seen(DETECTION.reference("stack", data), data, data.tested[:1], colour=True)
    assert np.array_equal(both[..., 0], pair[0]) and np.array_equal(both[..., 1], pair[1])


def test_parts_need_training_and_test() -> None:
    for parts in ((0, 1, 1), (1, 1, 0), (1, 1), (-1, 1, 1)):
        with pytest.raises(UsageError, match="parts"):
            DETECTION.options(parts=parts)


@pytest.mark.skipif(HERE, reason="torchvision is installed")
def test_without_torchvision_one_line_says_what_to_install() -> None:
    data = DETECTION.open("probe-demo", DETECTION.options(limit=1))
    model = create_model("average", DETECTION.spec(data))
    with pytest.raises(UsageError, match=r"fusionbench\[detection\]") as caught:
        DETECTION.evaluate(model, data, DETECTION.options(limit=1), out=None, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not HERE, reason="torchvision is not installed")
def test_detectors_are_trained_the_same_again() -> None:
    options = DETECTION.options(steps=2, batch=1, parts=(1, 0, 1), limit=2, seeds=2)
    data = DETECTION.open("probe-demo", options)
    model = create_model("copy-a", DETECTION.spec(data))
    one, two = (DETECTION.evaluate(model, data, options, out=None, device="cpu") for _ in range(2))
    assert {key: score.mean for key, score in one.scores.items()} == {k: s.mean for k, s in two.scores.items()}
    assert set(one.scores) == {"map50", "ap50@person", "ap50@car"} and len(one.scores["map50"].extra["seeds"]) == 2
