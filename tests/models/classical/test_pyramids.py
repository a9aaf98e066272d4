"""Classical rows: exact reconstruction, known choices, and filters against SciPy, scikit-image and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import create_model
from fusionbench.models.classical.pyramids import expand, largest, shrink

NAMES = ["average", "contrast-pyramid", "copy-a", "copy-b", "guided-filter", "laplacian-pyramid"]


def pair(height: int = 37, width: int = 50, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    a = 0.5 + 0.3 * np.sin(x / 3) * (x < width / 2) + rng.normal(0, 0.01, (height, width))
    b = 0.4 + 0.3 * np.cos(y / 2) * (x >= width / 2) + rng.normal(0, 0.01, (height, width))
    views = torch.from_numpy(np.stack([a, b])[None, :, None]).float().clamp(0, 1)
    return Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.int64))


def fuse(name: str, batch: Batch, **parameters: object) -> np.ndarray:
    height, width = batch.views.shape[-2:]
    return create_model(name, ImageSpec(1, height, width, 2), **parameters).fuse(batch)[0, 0].numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(37, 50), (64, 64), (5, 3), (2, 9), (1, 1)])
def test_two_equal_sources_come_back_at_any_size(name: str, shape: tuple[int, int]) -> None:
    image = torch.rand(1, 1, 1, *shape, generator=torch.Generator().manual_seed(1))
    views, present = image.repeat(1, 2, 1, 1, 1), torch.ones(1, 2, dtype=torch.bool)
    batch = Batch(None, views, present, torch.zeros(1, dtype=torch.int64))
    assert fuse(name, batch) == pytest.approx(image[0, 0, 0].numpy(), abs=1e-6)


def test_trivial_rows() -> None:
    batch = pair()
    a, b = batch.views[0, :, 0].numpy()
    assert np.array_equal(fuse("copy-a", batch), a) and np.array_equal(fuse("copy-b", batch), b)
    assert fuse("average", batch) == pytest.approx((a + b) / 2, abs=1e-7)


@pytest.mark.parametrize("name", ["laplacian-pyramid", "contrast-pyramid", "guided-filter"])
def test_structure_of_both_sources_is_kept(name: str) -> None:
    """The left half's stripes are in A, the right half's in B: the average halves them, these rows do not."""
    batch = pair()
    a, b = batch.views[0, :, 0].numpy()
    fused, average = fuse(name, batch), fuse("average", batch)
    left, right = np.s_[:, 4:18], np.s_[:, 32:46]
    for region, source in ((left, a), (right, b)):
        assert fused[region].std() > 0.85 * source[region].std() > 1.5 * average[region].std()


def filtered(image: np.ndarray) -> np.ndarray:
    """By SciPy: five taps along both axes, reflected where an axis is long enough for that."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    for axis in (0, 1):
        image = convolve1d(image, taps, axis=axis, mode="mirror" if image.shape[axis] > 2 else "nearest")
    return image


@pytest.mark.parametrize("shape", [(37, 50), (9, 7), (8, 8), (3, 4), (2, 5), (1, 6), (1, 1)])
def test_pyramid_filters_against_scipy(shape: tuple[int, int]) -> None:
    """To the size of a coarse image belongs a fine one of odd and one of even length; a batch changes no bit."""
    images = torch.rand(3, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    coarse = shrink(images)
    fine = expand(coarse, images)
    for image, small, large in zip(images, coarse, fine, strict=True):
        assert small[0].numpy() == pytest.approx(filtered(image[0].numpy())[::2, ::2], abs=1e-15)
        zeros, there = np.zeros(shape), np.zeros(shape)
        zeros[::2, ::2], there[::2, ::2] = small[0].numpy(), 1
        assert large[0].numpy() == pytest.approx(filtered(zeros) / filtered(there), abs=1e-15)
        assert torch.equal(shrink(image[None])[0], small) and torch.equal(expand(small[None], image[None])[0], large)
    flat = torch.full((1, 1, *shape), 0.3, dtype=torch.float64)
    assert torch.equal(shrink(flat), flat[..., ::2, ::2]) and torch.equal(expand(shrink(flat), flat), flat)


@pytest.mark.parametrize("name", NAMES)
def test_refusals(name: str) -> None:
    with pytest.raises(UsageError, match="two grey views"):
        create_model(name, ImageSpec(3, 8, 8, 2))
    batch = pair()
    model = create_model(name, ImageSpec(1, 37, 50, 2))
    with pytest.raises(UsageError, match="needs both images"):
        model.fuse(batch.with_inputs(1))


def test_bad_parameters() -> None:
    with pytest.raises(UsageError, match="levels=0"):
        create_model("laplacian-pyramid", ImageSpec(1, 8, 8, 2), levels=0)
    with pytest.raises(UsageError, match="odd"):
        create_model("guided-filter", ImageSpec(1, 8, 8, 2), base_size=4)
    with pytest.raises(UsageError, match="positive"):
        create_model("guided-filter", ImageSpec(1, 8, 8, 2), base_eps=0.0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_first_of_equals_is_the_largest(count: int) -> None:
    found = [*torch.randint(0, 3, (count, 2, 1, 9, 11), generator=torch.Generator().manual_seed(count)).float()]
    stacked = torch.stack(found)
    first = (stacked == stacked.amax(0)).int().argmax(0)
    assert torch.equal(largest(found), first)
