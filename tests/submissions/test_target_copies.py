"""Predictions that are targets, on the embedded digits: copies of every sort are found, models are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from fusionbench.data.dataset import open_dataset
from fusionbench.submissions.target_copies import TargetCopies, unexplained

COUNT = 64
RNG = np.random.default_rng(0)


def jpeg(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=30)
    return np.asarray(Image.open(stream))


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exact": lambda image: image,
    "rounded": lambda image: image // 16 * 16,
    "blurred": lambda image: ndimage.gaussian_filter(image, 0.7),
    "levels": lambda image: np.clip(image + RNG.integers(-8, 9, image.shape), 0, 255).astype(np.uint8),
    "compressed": jpeg,
    "shifted": lambda image: np.roll(image, (1, -1), (0, 1)),
    "inverted": lambda image: 255 - image,
    "darker": lambda image: image // 2,
}


def found(dataset: Path, predict: Callable[[int], np.ndarray]) -> dict[int, tuple[int, int]]:
    arrays = open_dataset(dataset).arrays("test")
    copies = TargetCopies(arrays.targets, arrays.views, COUNT)
    for index in range(COUNT):
        copies.add(index, predict(index))
    return copies.found()


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found_at_every_number_of_inputs(dataset: Path, name: str) -> None:
    targets = open_dataset(dataset).arrays("test").targets
    assert set(found(dataset, lambda index: np.stack([COPIES[name](targets[index])[None]] * 4))) == {0, 1, 2, 3}


def test_one_draw_of_many_and_a_part_of_the_images(dataset: Path) -> None:
    targets = open_dataset(dataset).arrays("test").targets
    rng = np.random.default_rng(1)

    def hidden(index: int) -> np.ndarray:
        drawn = rng.integers(0, 256, (4, 20, 32, 32), np.uint8)
        drawn[2, 7] = targets[index] if index % 3 == 0 else drawn[2, 7]
        return drawn

    assert list(found(dataset, hidden)) == [2]


def test_models_are_not_copies(dataset: Path) -> None:
    opened = open_dataset(dataset)
    arrays, train = opened.arrays("test"), opened.arrays("train").targets[:]
    mean = train.mean(axis=0).astype(np.uint8)
    assert found(dataset, lambda index: np.stack([mean[None]] * 4)) == {}
    # the nearest of all training images for every target: what the best of very many draws could be
    flat = train.reshape(len(train), -1)

    def nearest(index: int) -> np.ndarray:
        best = unexplained(flat, arrays.targets[index][None])[:, 0].argmin()
        return np.stack([train[best][None]] * 4)

    assert found(dataset, nearest) == {}

    # the best pixel of every view that is given, which needs the target to be chosen
    def best_pixels(index: int) -> np.ndarray:
        views, target = arrays.views[index].astype(int), arrays.targets[index].astype(int)
        made = [mean]
        for inputs in (1, 2, 3):
            place = np.abs(views[:inputs] - target).argmin(axis=0)[None]
            made.append(np.take_along_axis(views[:inputs], place, axis=0)[0].astype(np.uint8))
        return np.stack(made)[:, None]

    assert found(dataset, best_pixels) == {}


def test_views_that_show_all_leave_nothing_to_find() -> None:
    rng = np.random.default_rng(2)
    targets = rng.integers(0, 256, (20, 16, 16), np.uint8)
    copies = TargetCopies(targets, np.stack([targets, targets], axis=1), 20)
    mean = targets.mean(axis=0).astype(np.uint8)
    for index in range(20):
        copies.add(index, np.stack([mean, targets[index], targets[index]])[:, None])
    assert copies.found() == {}


def test_flat_and_tiny_images_are_passed_over() -> None:
    flat = np.full((5, 8, 8), 7, np.uint8)
    tiny = np.random.default_rng(3).integers(0, 256, (5, 4, 4), np.uint8)
    for targets in (flat, tiny):
        copies = TargetCopies(targets, targets[:, None], 5)
        for index in range(5):
            copies.add(index, np.stack([targets[index][None]] * 2))
        assert copies.found() == {}


def test_unexplained_is_one_minus_the_square_of_the_correlation() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(3, 5, 5)), rng.normal(size=(2, 5, 5))
    expected = [[1 - np.corrcoef(a.ravel(), b.ravel())[0, 1] ** 2 for b in other] for a in one]
    assert np.allclose(unexplained(one, other), expected)
