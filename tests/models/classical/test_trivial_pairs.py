"""Trivial rules with one choice for each image: against the registered metric and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.metrics.sf import sf
from fusionbench.models import create_model
from fusionbench.models.classical.trivial_pairs import squared_frequency

SPEC = ImageSpec(1, 8, 8, 2)


def fused(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    views = torch.from_numpy(np.stack((a, b), 1)[:, :, None]).float()
    batch = Batch(None, views, torch.ones(len(a), 2, dtype=torch.bool), torch.arange(len(a)))
    return create_model(name, SPEC).fuse(batch)[:, 0].numpy()


def test_better_copy_is_the_one_with_the_larger_spatial_frequency() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 12, 9, 7)).astype(np.uint8)
    a[::3] //= 4
    b[1::3] //= 4
    first = sf(a) > sf(b)
    assert 0 < first.sum() < len(first)
    expected = np.where(first[:, None, None], a, b) / 255
    assert fused("better-copy", a / 255, b / 255) == pytest.approx(expected, abs=1e-7)


def test_equal_frequency_takes_the_first() -> None:
    a = np.random.default_rng(1).random((1, 6, 6))
    assert np.array_equal(fused("better-copy", a, a[:, ::-1]), a.astype(np.float32))


@pytest.mark.parametrize("shape", [(8, 5), (2, 2)])
def test_squared_frequency_against_the_metric(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(2).integers(0, 256, (3, *shape)).astype(np.uint8)
    found = squared_frequency(torch.from_numpy(x)[:, None].double()).sqrt().numpy()
    assert found == pytest.approx(sf(x), rel=1e-12)


def test_images_of_one_pixel_have_the_frequency_of_their_other_side() -> None:
    row = torch.tensor([0.0, 0.5, 0.5]).double().view(1, 1, 1, 3)
    assert float(squared_frequency(row)) == 0.125 and float(squared_frequency(row.transpose(-1, -2))) == 0.125
    assert float(squared_frequency(row[..., :1])) == 0


def test_stretched_average_reaches_both_ends_of_every_image() -> None:
    a, b = 0.2 + 0.3 * np.random.default_rng(3).random((2, 4, 6, 5))
    found, mean = fused("stretched-average", a, b), (a + b) / 2
    assert (found.min((1, 2)) == 0).all() and (found.max((1, 2)) == 1).all()
    for image, plain in zip(found, mean, strict=True):
        assert image == pytest.approx(np.interp(plain, (plain.min(), plain.max()), (0, 1)), abs=1e-6)


def test_flat_average_stays() -> None:
    a = np.full((1, 4, 4), 0.25)
    assert np.array_equal(fused("stretched-average", a, 2 * a), np.full((1, 4, 4), 0.375, np.float32))
