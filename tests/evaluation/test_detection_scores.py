"""Average precision of boxes against brute force, by hand, and against torchmetrics where it can."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.evaluation.detection_scores import Detections, mean_precision, overlaps
from fusionbench.sources.boxes import Boxes


def drawn(seed: int, images: int = 6, classes: int = 2) -> tuple[list[Detections], list[Boxes]]:
    """Boxes, and detections that are near some of them, twice at some, elsewhere at others."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(images):
        n = int(rng.integers(0, 5))
        corner = rng.integers(0, 60, (n, 2)).astype(float)
        corners = np.concatenate((corner, corner + rng.integers(8, 30, (n, 2))), axis=1)
        truth.append(Boxes(corners, rng.integers(0, classes, n)))
        near = corners.repeat(2, 0) + rng.normal(0, 2.5, (2 * n, 4))
        far = np.array([[1.0, 1, 9, 9]]) + rng.integers(0, 70, (3, 1))
        kinds = np.concatenate((truth[-1].classes.repeat(2), rng.integers(0, classes, 3)))
        found.append(Detections(Boxes(np.concatenate((near, far)), kinds), rng.random(2 * n + 3)))
    return found, truth


def test_overlaps_are_those_of_counted_pixels() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (6, 2))
    boxes = np.concatenate((corners, corners + rng.integers(1, 9, (6, 2))), axis=1)
    masks = []
    for x1, y1, x2, y2 in boxes:
        masks.append(np.zeros((24, 24), bool))
        masks[-1][y1:y2, x1:x2] = True
    expected = [[(a & b).sum() / (a | b).sum() for b in masks] for a in masks]
    assert np.allclose(overlaps(boxes.astype(float), boxes.astype(float)), expected, atol=1e-12)


def test_by_hand() -> None:
    box = Boxes(np.array([[0.0, 0, 10, 10]]), np.array([0]))
    both = Boxes(np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]), np.array([0, 0]))
    # the second detection of a box is wrong; the better one counts first
    assert mean_precision([Detections(both, np.array([0.9, 0.8]))], [box], 1)["map50"].mean() == pytest.approx(1.0)
    wrong = Boxes(np.array([[50.0, 50, 60, 60], [0, 0, 10, 10]]), np.array([0, 0]))
    assert mean_precision([Detections(wrong, np.array([0.9, 0.8]))], [box], 1)["map50"].mean() == pytest.approx(0.5)
    found = mean_precision([Detections(wrong, np.array([0.9, 0.8]))], [box], 2)
    assert np.isnan(found["ap50@1"]).all() and found["map50"].mean() == pytest.approx(0.5)  # no box of that class


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_over_images_is_the_precision_over_all_and_its_spread_that_of_resamples(seed: int) -> None:
    found, truth = drawn(seed, images=40, classes=1)
    values = mean_precision(found, truth, 1)["ap50@0"]
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(200):
        chosen = rng.integers(0, 40, 40)
        means.append(mean_precision([found[i] for i in chosen], [truth[i] for i in chosen], 1)["ap50@0"].mean())
    assert values.mean() == pytest.approx(np.mean(means), abs=0.1)
    assert 0.5 < values.std(ddof=1) / 40**0.5 / np.std(means) < 2


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_torchmetrics_gives(seed: int) -> None:
    detection = pytest.importorskip("torchmetrics.detection.mean_ap")
    torch = pytest.importorskip("torch")
    found, truth = drawn(seed)
    try:
        metric = detection.MeanAveragePrecision(iou_thresholds=[0.5], rec_thresholds=np.linspace(0, 1, 101).tolist())
    except ImportError:
        pytest.skip("torchmetrics needs pycocotools and torchvision for it")
    metric.update(
        [
            {
                "boxes": torch.tensor(one.boxes.corners),
                "scores": torch.tensor(one.scores),
                "labels": torch.tensor(one.boxes.classes),
            }
            for one in found
        ],
        [{"boxes": torch.tensor(one.corners), "labels": torch.tensor(one.classes)} for one in truth],
    )
    assert float(mean_precision(found, truth, 2)["map50"].mean()) == pytest.approx(
        float(metric.compute()["map"]), abs=1e-6
    )
