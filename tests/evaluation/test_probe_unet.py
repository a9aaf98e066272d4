"""The probe's small U-Net: any size, the same again, and it learns what is to be seen."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fusionbench.evaluation.labelled_set import open_labelled
from fusionbench.evaluation.probe_head import Folds
from fusionbench.evaluation.probe_scores import by_unet, fill, folds_of
from fusionbench.evaluation.probe_unet import SmallUNet, unet_scores
from fusionbench.results.schema import Score
from fusionbench.training.safe_convolutions import to_training_layout


def test_images_of_any_size_have_logits_of_their_size() -> None:
    net = SmallUNet(2, 1).eval()
    for size in ((1, 1), (4, 4), (5, 9)):
        assert net(torch.zeros(1, 2, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_gradients_in_the_layout_of_training_are_those_of_double_precision(channels: int) -> None:
    torch.manual_seed(channels)
    net, images = SmallUNet(channels, 2), torch.randn(2, channels, 20, 24)
    truth = torch.randint(0, 3, (2, 20, 24))
    exact = copy.deepcopy(net).double()
    to_training_layout(net, "cpu")
    cross_entropy(exact(images.double()), truth).backward()
    cross_entropy(net(images.to(memory_format=torch.channels_last)), truth).backward()
    for (name, found), wanted in zip(net.named_parameters(), exact.parameters(), strict=True):
        assert found.grad is not None and wanted.grad is not None
        error = (found.grad.double() - wanted.grad).norm() / wanted.grad.norm()
        assert error < 1e-4, (name, float(error))


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
