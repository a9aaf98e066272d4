"""Oracles: scikit-image for SSIM, SciPy for Sobel, numpy.corrcoef, and numbers worked out by hand.

Tolerances: 1e-5 against float64 libraries (float32 variances of [0,1] images), assert_close's default elsewhere.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import structural_similarity

from fusionbench.metrics._windows import sobel
from fusionbench.metrics.ssim import ssim_target
from fusionbench.models.pairs.losses import (
    additive_intensity_loss,
    content_loss,
    decomposition_loss,
    directed_texture_loss,
    intensity_loss,
    sobel_magnitude,
    texture_loss,
    torch_correlation,
    torch_sobel,
    torch_ssim,
)


def images(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(11, 11), (32, 48)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_ssim_equals_scikit_image(size: tuple[int, int], noise: float) -> None:
    x = images(0, 3, 1, *size)
    y = (x + noise * (images(1, 3, 1, *size) - 0.5)).clamp(0, 1)
    expected = []
    for p, q in zip(x.double().numpy()[:, 0], y.double().numpy()[:, 0], strict=True):
        _, full = structural_similarity(
            p, q, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        expected.append(full[5 : size[0] - 5, 5 : size[1] - 5].mean())
    np.testing.assert_allclose(torch_ssim(x, y).numpy(), expected, atol=1e-5)


def test_ssim_is_the_metric_with_its_gradient() -> None:
    """One definition for score and loss: on 0..1 and on 0..255, to the precision of the numbers."""
    x, y = images(0, 2, 1, 24, 31).double(), images(1, 2, 1, 24, 31).double()
    leaves = [x.clone().requires_grad_(), (255 * x[:, 0]).requires_grad_()]
    values = torch_ssim(leaves[0], y), ssim_target(leaves[1], 255 * y[:, 0])
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-12)
    slopes = [torch.autograd.grad(value.sum(), leaf)[0] for value, leaf in zip(values, leaves, strict=True)]
    torch.testing.assert_close(slopes[0][:, 0], 255 * slopes[1], rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(torch_ssim(x.float(), y.float()).double(), values[1], rtol=1e-4, atol=1e-5)


def test_slopes_are_those_that_metrics_take() -> None:
    x = images(0, 2, 3, 9, 7)
    across, down = torch_sobel(x)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    for image, found in zip(
        padded.flatten(0, 1), zip(across.flatten(0, 1), down.flatten(0, 1), strict=True), strict=True
    ):
        for mine, theirs in zip(found, sobel(image.double().numpy()), strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-6)


def test_ssim_of_channels_is_their_mean() -> None:
    x, y = images(0, 2, 3, 16, 16), images(1, 2, 3, 16, 16)
    each = torch.stack([torch_ssim(x[:, [c]], y[:, [c]]) for c in range(3)]).mean(0)
    torch.testing.assert_close(torch_ssim(x, y), each)


@given(st.integers(1, 24), st.integers(1, 24), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_ssim_stays_in_range_with_finite_gradients_on_flat_images(h: int, w: int, p: float, q: float) -> None:
    x = torch.full((1, 1, h, w), p, requires_grad=True)
    value = torch_ssim(x, torch.full((1, 1, h, w), q))
    value.sum().backward()
    luminance = (2 * p * q + 1e-4) / (p * p + q * q + 1e-4)
    assert abs(float(value.detach()) - luminance) < 5e-3  # rounding of variances against C2 = 9e-4
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_ssim_of_an_image_and_its_negative_is_negative_and_can_be_learnt_from() -> None:
    x = images(0, 1, 1, 16, 16).requires_grad_()
    value = torch_ssim(x, 1 - x.detach())
    value.sum().backward()
    assert float(value.detach()) < -0.5
    assert x.grad is not None and x.grad.abs().max() > 1e-4


def test_content_loss_adds_squares_and_dissimilarity() -> None:
    x = images(0, 2, 1, 16, 16)
    torch.testing.assert_close(content_loss(x, x), torch.zeros(2), atol=1e-6, rtol=0)
    half, zero = torch.full((1, 1, 12, 12), 0.5), torch.zeros(1, 1, 12, 12)
    # flat images: SSIM = C1 / (0.25 + C1) with C1 = 1e-4; mean square 0.25
    expected = 2 * 0.25 + 3 * (1 - 1e-4 / 0.2501)
    torch.testing.assert_close(content_loss(half, zero, 2, 3), torch.tensor([expected]), atol=1e-5, rtol=0)


def test_sobel_equals_scipy() -> None:
    x = images(0, 2, 3, 9, 13)
    planes = x.double().numpy().reshape(-1, 9, 13)  # SciPy smooths along every other axis, so one plane at a time
    expected = [sum(np.abs(ndimage.sobel(plane, axis, mode="nearest")) for axis in (0, 1)) for plane in planes]
    expected = np.reshape(expected, x.shape)
    np.testing.assert_allclose(sobel_magnitude(x).numpy(), expected, atol=1e-5)


def test_texture_loss_by_hand() -> None:
    """A vertical step of 1 has |S_x| = 4 in the two columns beside it and nothing elsewhere."""
    step = torch.zeros(1, 1, 4, 8)
    step[..., 4:] = 1
    flat = torch.zeros(1, 1, 4, 8)
    assert texture_loss(flat, step, flat).tolist() == [4 * 2 / 8]
    assert texture_loss(flat, flat, step).tolist() == [4 * 2 / 8]
    assert texture_loss(step, step, flat).tolist() == [0]
    assert texture_loss(step / 2, step, flat).tolist() == [2 * 2 / 8]
    assert texture_loss(step, flat, flat).tolist() == [4 * 2 / 8]


def test_directed_texture_loss_by_hand() -> None:
    """As above, but a slope of the wrong sign costs twice a missing one."""
    step = torch.zeros(1, 1, 4, 8)
    step[..., 4:] = 1
    flat = torch.zeros(1, 1, 4, 8)
    assert directed_texture_loss(flat, step / 2, step).tolist() == [4 * 2 / 8]
    assert directed_texture_loss(step, step, -step / 2).tolist() == [0]
    assert directed_texture_loss(1 - step, flat, step).tolist() == [2 * 4 * 2 / 8]
    assert texture_loss(1 - step, flat, step).tolist() == [0]
    assert directed_texture_loss(step.mT, flat.mT, step.mT).tolist() == [0]
    assert directed_texture_loss(step, flat, flat).tolist() == [4 * 2 / 8]


@given(st.integers(0, 2**31), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_directed_texture_loss_is_convex_and_no_smaller(seed: int, share: float) -> None:
    a, b, x, y = images(seed, 4, 2, 1, 9, 7)
    assert (directed_texture_loss(x, a, b) >= texture_loss(x, a, b) - 1e-5).all()
    between = share * directed_texture_loss(x, a, b) + (1 - share) * directed_texture_loss(y, a, b)
    assert (directed_texture_loss(share * x + (1 - share) * y, a, b) <= between + 1e-5).all()


def test_additive_intensity_loss_by_hand() -> None:
    """Pixels (0.5, 0.1) and (0.2, 0.4): the darker mean is 0.15, the targets 0.45 each; as bright as the maximum."""
    a, b = torch.tensor([[[[0.5, 0.2]]]]), torch.tensor([[[[0.1, 0.4]]]])
    torch.testing.assert_close(additive_intensity_loss(torch.tensor([[[[0.45, 0.25]]]]), a, b), torch.tensor([0.1]))
    torch.testing.assert_close(additive_intensity_loss(torch.full((1, 1, 1, 2), 0.45), a, b), torch.zeros(1))


def test_intensity_loss_by_hand() -> None:
    a, b = torch.full((2, 1, 2, 2), 0.25), torch.full((2, 1, 2, 2), 0.75)
    a[0, 0, 0, 0] = 1
    fused = torch.full((2, 1, 2, 2), 0.75)
    torch.testing.assert_close(intensity_loss(fused, a, b), torch.tensor([0.0625, 0.0]))
    torch.testing.assert_close(intensity_loss(torch.zeros(2, 1, 2, 2), a, b), torch.tensor([3.25 / 4, 0.75]))


def test_correlation_equals_numpy() -> None:
    x, y = images(0, 2, 3, 5, 7), images(1, 2, 3, 5, 7)
    expected = [
        np.mean([np.corrcoef(x[n, c].flatten().double(), y[n, c].flatten().double())[0, 1] for c in range(3)])
        for n in range(2)
    ]
    np.testing.assert_allclose(torch_correlation(x, y).numpy(), expected, atol=1e-5)
    torch.testing.assert_close(torch_correlation(x, 3 * x + 2), torch.ones(2))
    torch.testing.assert_close(torch_correlation(x, -x), -torch.ones(2))


def test_constant_features_correlate_with_nothing() -> None:
    x = torch.ones(1, 2, 4, 4, requires_grad=True)
    value = torch_correlation(x, images(0, 1, 2, 4, 4))
    value.sum().backward()
    assert value.tolist() == [0]
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_decomposition_loss_by_hand() -> None:
    ramp = torch.arange(8.0).view(1, 1, 2, 4)
    bump = torch.tensor([1.0, -1, -1, 1, 1, -1, -1, 1]).view(1, 1, 2, 4)  # uncorrelated with the ramp
    close = {"atol": 1e-6, "rtol": 1e-5}
    torch.testing.assert_close(decomposition_loss(ramp, ramp, ramp, ramp), torch.tensor(1 / 2.01), **close)
    torch.testing.assert_close(decomposition_loss(ramp, -ramp, ramp, bump), torch.tensor(1 / 1.01), **close)
    torch.testing.assert_close(decomposition_loss(ramp, bump, ramp, ramp), torch.tensor(0.0), **close)
    # without a bound this is 1 / 0.01 = 100
    torch.testing.assert_close(decomposition_loss(ramp, ramp, ramp, -ramp), torch.tensor(10.0), **close)


def test_bounded_decomposition_loss_still_has_a_gradient() -> None:
    base = images(0, 1, 2, 4, 4)
    high = images(1, 1, 2, 4, 4).requires_grad_()
    loss = decomposition_loss(high, images(2, 1, 2, 4, 4), base, -base)
    loss.backward()
    assert high.grad is not None and high.grad.abs().max() > 1e-4


def test_autocast_does_not_touch_the_losses() -> None:
    a, b = images(0, 1, 1, 24, 24), images(1, 1, 1, 24, 24)
    smooth = torch.nn.functional.avg_pool2d(a, 5, 1, 2)
    for loss in (torch_ssim, content_loss, torch_correlation):
        expected = loss(a, smooth)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(loss(a, smooth), expected, atol=1e-6, rtol=1e-6)
    expected = texture_loss(smooth, a, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(texture_loss(smooth, a, b), expected, atol=1e-6, rtol=1e-6)


def test_losses_of_half_precision_images_are_float32() -> None:
    a, b = images(0, 1, 1, 16, 16).bfloat16(), images(1, 1, 1, 16, 16).bfloat16()
    for loss in (torch_ssim, content_loss, torch_correlation):
        assert loss(a, b).dtype == torch.float32
    assert texture_loss(a, a, b).dtype == intensity_loss(a, a, b).dtype == torch.float32
