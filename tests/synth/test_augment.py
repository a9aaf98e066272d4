"""Oracles: exact turns and mirrors by NumPy, and a float64 bilinear sampler for what lies between."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fusionbench.synth import Augment
from fusionbench.synth.augment import ONE, SINE, largest_scale, pad_edges, sample

KEY = (3, 4)


def picture(n: int = 1, h: int = 24, w: int = 24, k: int = 2) -> np.ndarray:
    """Smooth, so that bilinear sampling is well conditioned."""
    y, x = np.mgrid[0:h, 0:w]
    planes = [127 + 100 * np.sin(0.3 * y + 0.2 * i + c) * np.cos(0.25 * x) for i in range(n) for c in range(k)]
    return np.stack(planes).reshape(n, k, h, w).transpose(0, 2, 3, 1).round().astype(np.uint8)


def place(image: np.ndarray, angle: int, grow: int, flip: int, centre: tuple[int, int], size: int) -> np.ndarray:
    one = [np.array([value], np.int32) for value in (angle, grow, flip)]
    planes = sample(pad_edges(image), np.array([0]), np.array([centre], np.int32), *one, size, size)
    return np.stack(planes, 3)[0].astype(np.uint8)


def test_products_of_the_smallest_image_fit_into_32_bits() -> None:
    for size in range(1, 4097):
        small = size - largest_scale(size)
        assert 8 * small > size and int(SINE.max()) * (size * ONE // small) < 1 << 31
        assert 8 * (small - 1) <= size  # and one pixel less is an eighth
    for size in (16, 32):
        made = place(picture(h=size, w=size), 0, -largest_scale(size), 0, (size - 1, size - 1), size)
        assert np.count_nonzero(made[..., 0]) <= (size - largest_scale(size) + 1) ** 2


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [0, 1])
def test_quarter_turns_and_mirrors_are_exact(quarter: int, flip: int) -> None:
    image = picture()
    turned = place(image, 64 * quarter, 0, flip, (23, 23), 24)
    mirrored = image[0][:, ::-1] if flip else image[0]
    assert np.array_equal(turned, np.rot90(mirrored, quarter))


def by_float(image: np.ndarray, angle: int, grow: int, centre: tuple[int, int], size: int) -> np.ndarray:
    h, w = image.shape[:2]
    scale, turn = h / (h + grow), 2 * math.pi * angle / 256
    out = np.zeros((size, size, image.shape[2]))
    for y in range(size):
        for x in range(size):
            dy, dx = y - centre[0] / 2, x - centre[1] / 2
            sy = scale * (math.cos(turn) * dy + math.sin(turn) * dx) + (h - 1) / 2
            sx = scale * (math.cos(turn) * dx - math.sin(turn) * dy) + (w - 1) / 2
            y0, x0 = math.floor(sy), math.floor(sx)
            for j in (0, 1):
                for i in (0, 1):
                    if 0 <= y0 + j < h and 0 <= x0 + i < w:
                        weight = (1 - abs(sy - y0 - j)) * (1 - abs(sx - x0 - i))
                        out[y, x] += weight * image[y0 + j, x0 + i]
    return out


@pytest.mark.parametrize(("angle", "grow", "centre"), [(20, 0, (23, 23)), (100, 4, (30, 11)), (255, -4, (0, 60))])
def test_fixed_point_agrees_with_float(angle: int, grow: int, centre: tuple[int, int]) -> None:
    """Positions are in 256ths of a pixel: with slopes up to 40 a pixel the values differ by less than 1 in the inside;
    at the border, where the picture falls to zero within a pixel, by 255/128."""
    image = picture()
    exact = by_float(image[0], angle, grow, centre, 32)
    assert np.abs(place(image, angle, grow, 0, centre, 32) - exact).max() <= 2.5


def test_far_away_is_empty() -> None:
    assert place(picture(), 17, 3, 0, (4000, -4000), 16).max() == 0


LAWS = {
    "mirror": Augment(flip=True),
    "all": Augment(flip=True, rotate=True, scale=4, shift=4),
    "shift": Augment(shift=3),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_batches_and_epochs(law: Augment, channels: int) -> None:
    targets = picture(6, k=channels)
    targets = targets[..., 0] if channels == 1 else targets
    samples = np.array([5, 6, 9, 1000, 2, 3])
    assert np.array_equal(law.apply(KEY, targets, samples, 0), targets)
    first = law.apply(KEY, targets, samples, 1)
    on_tensors = law.apply(KEY, torch.from_numpy(targets), torch.from_numpy(samples), 1)
    assert np.array_equal(on_tensors.numpy(), first) and first.shape == targets.shape
    assert np.array_equal(law.apply(KEY, targets[2:4], samples[2:4], 1), first[2:4])
    assert not np.array_equal(law.apply(KEY, targets, samples, 2), first)


def test_mirroring_happens_half_of_the_time() -> None:
    targets = np.zeros((4000, 8, 8), np.uint8)
    targets[:, :, 0] = 255
    mirrored = Augment(flip=True).apply(KEY, targets, np.arange(4000), 1)[:, 0, 7] == 255
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / math.sqrt(4000)
