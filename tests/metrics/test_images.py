"""The step from arrays to images, and the small operations that NumPy and torch share."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.metrics._images import Image, clamp_min, recorded_pixels, score_recorded, to_images, whole_levels
from fusionbench.metrics._moments import covariance
from fusionbench.metrics.engine import SourcePair, score_images
from tests.metrics.scenes import scene


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (5, 3), (40, 31)])
def test_clamp_min_on_every_shape(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    expected = np.maximum(x, 0.25)
    assert np.array_equal(clamp_min(x.copy(), 0.25), expected)
    assert np.array_equal(clamp_min(torch.from_numpy(x.copy()), 0.25).numpy(), expected)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    assert np.array_equal(clamp_min(leaf, 0.25).detach().numpy(), expected)
    assert np.array_equal(leaf.detach(), x), "what autograd records is not overwritten"


def test_whole_values_of_any_dtype_become_grey_levels() -> None:
    x = scene(0)[0][None]
    for stack in (x, x.astype(np.float32), torch.from_numpy(x), torch.from_numpy(x).to(torch.bfloat16)):
        (image,) = to_images(stack)
        if str(stack.dtype) != "torch.bfloat16":  # eight bits of mantissa round some levels
            assert np.array_equal(image.grey, x[0])
        assert image.pixels.dtype == np.float64
    (image,) = to_images(x + 0.5)
    assert image.grey is None and np.array_equal(image.pixels, x[0] + 0.5)


def test_bands_cover_every_window_once() -> None:
    image = Image(None, grey=scene(0, (131, 20))[0])
    for halo in (0, 1, 8):
        rows = [band.shape[0] - 2 * halo for band in image.bands(halo, 10)]
        assert sum(rows) == 131 - 2 * halo and all(row > 0 for row in rows)


def test_whole_levels_have_no_slope_and_say_so() -> None:
    x = np.array([[0.5, 1.5, 2.4, 254.7]])
    for image in (Image(x), Image(torch.from_numpy(x))):
        assert whole_levels(image, image.pixels).tolist() == [[0.0, 2.0, 2.0, 255.0]]
        assert whole_levels(image, image.pixels, down=True).tolist() == [[0.0, 1.0, 2.0, 254.0]]
    leaf = torch.from_numpy(x).requires_grad_()
    with pytest.raises(UsageError, match="rounds to whole grey levels"):
        whole_levels(Image(leaf), leaf)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_recorded_pixels_are_a_tensor_of_their_own_on_the_same_graph(dtype: torch.dtype) -> None:
    stack = torch.arange(12).reshape(1, 3, 4).to(dtype)
    leaf = stack.requires_grad_() if dtype.is_floating_point else stack
    pixels = recorded_pixels(leaf)
    assert pixels is not leaf and pixels.dtype == torch.float64 and pixels.tolist() == stack.tolist()
    assert pixels.requires_grad == dtype.is_floating_point
    if pixels.requires_grad:
        assert torch.autograd.grad((3 * pixels).sum(), leaf)[0].tolist() == [[[3.0] * 4] * 3]


def test_a_formula_without_slope_is_named_and_no_images_keep_the_graph() -> None:
    leaf = torch.rand(2, 3, 4).requires_grad_()

    def counts(image: Image) -> torch.Tensor:
        return whole_levels(image, image.pixels).sum((-2, -1))

    with pytest.raises(UsageError, match=r"^mine has no gradient: "):
        score_recorded("mine", counts, [Image(recorded_pixels(leaf))], leaf)
    silent = {
        "steps, or leave torch": lambda image: image.pixels.sign().detach().sum((-2, -1)),
        "cannot follow": lambda image: image.pixels.cpu().numpy(),
        "cannot follow it": lambda image: torch.exp(image.pixels, out=torch.empty(2, 3, 4, dtype=torch.float64)),
    }
    for why, kernel in silent.items():
        with pytest.raises(UsageError, match=f"^mine has no gradient: .*{why}"):
            score_recorded("mine", kernel, [Image(recorded_pixels(leaf))], leaf)
    with pytest.raises(RuntimeError, match="must match"):  # a mistake stays one
        score_recorded("mine", lambda image: image.pixels + leaf[:, :2], [Image(recorded_pixels(leaf))], leaf)
    empty = score_recorded("mine", counts, [Image(recorded_pixels(leaf[:0]))], leaf[:0])
    assert empty.shape == (0,) and empty.dtype == torch.float64 and empty.requires_grad


@pytest.mark.parametrize("dialect", ["standard/1", "liu-2012", "cddfuse"])
def test_what_is_cached_about_another_image_keeps_none_in_memory(dialect: str) -> None:
    """Without the collector of cycles: a folder of large images would be in memory until it runs."""

    def count() -> int:
        return sum(type(one) is Image for one in gc.get_objects())

    fused, a, b = (image[None] for image in scene(1, (176, 176)))
    gc.collect()
    gc.disable()
    try:
        before = count()
        score_images(fused, a, b, ["all"], dialect)
        assert count() == before
        pair = SourcePair(a, b, ["all"], dialect)
        pair.score(fused)
        held = count()
        pair.score(255 - fused)
        assert count() == held, "a persistent source keeps no fused image"
    finally:
        gc.enable()


def test_what_is_cached_about_another_image_is_found_for_that_one_alone() -> None:
    fused, a, b = (image[None] for image in scene(1, (32, 40)))
    (source,) = to_images(a, persistent=True)
    for stack in (fused, b, 255 - fused):  # each in the memory of the one before it, as a rule
        (image,) = to_images(stack)
        expected = np.mean((stack[0] - a[0].mean()) * (a[0] - a[0].mean()))
        assert covariance(source, image) == pytest.approx(expected, rel=1e-9)
        del image
