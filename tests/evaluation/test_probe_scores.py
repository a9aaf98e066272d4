"""From scores of pixels to scores of scenes: by hand, with scenes that lack a class and with several runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import CannotMeasure
from fusionbench.evaluation.labelled_set import open_labelled
from fusionbench.evaluation.probe_scores import chroma_features, chroma_images, fill, folds_of, fused_images
from fusionbench.results.schema import Score


def test_truth_as_scores_is_perfect_and_its_opposite_is_not() -> None:
    data = open_labelled("probe-demo", None, None, limit=3)
    classes, folds = ("person", "car"), folds_of(data, 3)
    truth = [data.truth(frame, classes, 2).astype(float) for frame in range(len(data))]
    wrong = [1 - one for one in truth]
    scores: dict[str, Score] = {}
    table: dict[str, Any] = {"id": data.scene_names}
    fill(scores, table, data, classes, folds, [truth, wrong], "_colour")
    assert set(scores) == set(table) - {"id"} and "ap_colour@car" in scores
    share = np.concatenate([one[:, 1] for one in truth[:3]]).mean()
    # the best threshold of the opposite takes all pixels
    assert table["iou_colour@car"][0] == pytest.approx((1 + share) / 2)
    assert scores["iou_colour@car"].extra["seeds"][0] == 1.0
    assert table["ap_colour"] == pytest.approx(
        [(a + b) / 2 for a, b in zip(table["ap_colour@person"], table["ap_colour@car"], strict=True)]
    )


def test_chroma_is_worked_out_once_for_the_same_frames() -> None:
    data = open_labelled("probe-demo", None, None, limit=2)
    first = chroma_features(data)
    assert first is not None and len(first) == 2 and len(first[0]) == len(data)
    assert chroma_features(open_labelled("probe-demo", None, None, limit=2)) is first
    assert chroma_features(open_labelled("probe-demo", None, None, limit=3)) is not first
    images = chroma_images(data)
    assert images is not None and images[0][0].shape == (64, 64)


class Small(torch.nn.Module):
    title = "small"

    def fuse(self, batch: Any) -> torch.Tensor:
        found: torch.Tensor = batch.views[:, 0, :, ::2]
        return found


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(CannotMeasure, match=r"small: gives \(1, 1, 32, 64\) for a pair of \(64, 64\) pixels"):
        fused_images(Small(), open_labelled("probe-demo", None, None, limit=2))
