"""Fused images that are nearly those of others. Oracle: the residual of a least-squares line over the same pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionbench.submissions.pixel_vectors import MAX_IMAGES, POINTS, PixelVector, grey_distance, near_values

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(30, 200, (3, 48, 64)).astype(np.uint8)


def near(images: np.ndarray) -> str:
    vector = PixelVector(len(images))
    for index, image in enumerate(images):
        vector.add(index, image)
    return vector.text()


def test_the_distance_is_what_a_line_leaves() -> None:
    other = np.clip(IMAGES * 0.9 + 7 + RNG.normal(0, 3, IMAGES.shape), 0, 255).astype(np.uint8)
    one, two = (near_values(near(images)).reshape(3, POINTS) for images in (IMAGES, other))
    rest = []
    for x, y in zip(one, two, strict=True):
        x, y = (x, y) if x.std() < y.std() else (y, x)  # in levels of the one that varies more
        line = np.polyfit(x, y, 1)
        rest.append(math.sqrt(np.mean((np.polyval(line, x) - y) ** 2)))
    assert grey_distance(near(IMAGES), [near(other)])[0] == pytest.approx(np.median(rest), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: x, True),
        (lambda x: x + 1, True),
        (lambda x: (x * 0.9).round(), True),
        (lambda x: (255 * (x / 255) ** 1.02).round(), True),
        (lambda x: 255 - x, True),
        (lambda x: np.roll(x, 1, axis=2), False),
        (lambda x: x[:, :, ::-1], False),
        (lambda x: RNG.integers(0, 256, x.shape), False),
        (lambda x: np.full_like(x, 9), False),
    ],
)
def test_what_changes_grey_levels_alone_is_near(change: object, found: bool) -> None:
    changed = np.asarray(change(IMAGES.astype(float))).astype(np.uint8)  # type: ignore[operator]
    assert (grey_distance(near(IMAGES), [near(changed)])[0] < 0.45) == found


def test_texts_of_other_lengths_or_of_nothing_are_far() -> None:
    own = near(IMAGES)
    assert np.isinf(grey_distance(own, [near(IMAGES[:2]), "", "AQI=", "no base64!"])).all()
    assert np.isinf(grey_distance("", [""])).all()


def test_of_many_images_some_are_looked_at() -> None:
    many = np.broadcast_to(IMAGES[:1, :8, :8], (500, 8, 8))
    assert len(near_values(near(many))) == MAX_IMAGES * POINTS
