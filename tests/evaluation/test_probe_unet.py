"""The probe's small U-Net: any size, the same again, and it learns what is to be seen."""

from __future__ import annotations

import numpy as np
import torch

from fusionbench.evaluation.labelled_set import open_labelled
from fusionbench.evaluation.probe_head import Folds
from fusionbench.evaluation.probe_scores import by_unet, fill, folds_of
from fusionbench.evaluation.probe_unet import SmallUNet, unet_scores
from fusionbench.results.schema import Score


def test_images_of_any_size_have_logits_of_their_size() -> None:
    net = SmallUNet(2, 1).eval()
    for size in ((1, 1), (4, 4), (5, 9)):
        assert net(torch.zeros(1, 2, *size)).shape == (1, 2, *size)


def test_the_same_seed_gives_the_same_scores_and_leaves_torch_alone() -> None:
    rng = np.random.default_rng(0)
    images = [[rng.integers(0, 256, size, np.uint8) for size in ((12, 16), (14, 12), (12, 12), (16, 16))]]
    truth = [(image > 200)[..., None] for image in images[0]]
    folds = Folds.by_scene(["a", "b", "c", "d"], ["a", "b", "c", "d"], 2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = unet_scores(images, truth, folds, steps=2, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert [one.shape for one in first] == [(12, 16, 1), (14, 12, 1), (12, 12, 1), (16, 16, 1)]
    again, other = (unet_scores(images, truth, folds, steps=2, seed=seed) for seed in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_it_finds_what_a_view_shows_and_runs_are_averaged() -> None:
    data = open_labelled("probe-demo", None, None, limit=4)
    folds = folds_of(data, 2)
    classes = ("person", "car")
    infrared = [[data.pair(frame)[0] for frame in range(len(data))]]
    run = by_unet(infrared, data, classes, folds, steps=20, seed=0)
    runs = [run, [one + np.random.default_rng(0).normal(0, 0.5, one.shape) for one in run]]
    scores: dict[str, Score] = {}
    fill(scores, {"id": data.scene_names}, data, classes, folds, runs, "")
    person, car = scores["ap@person"].mean, scores["ap@car"].mean
    assert person is not None and car is not None and person > 0.6 and car < 0.3
    seeds = scores["ap@person"].extra["seeds"]
    assert len(seeds) == 2 and seeds[0] != seeds[1] and abs(np.mean(seeds) - person) < 1e-9
