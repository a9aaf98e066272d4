"""Oracles: the published size, the network spelt out by functions on published names, published images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import read_image, to_grey
from fusionbench.core.types import Batch
from fusionbench.models.pairs.seafusion import GradientResidualBlock, SeAFusion
from tests.helpers.pairs import SPEC, learn, pair_batch, smallest
from tests.helpers.published import seafusion_state

DATA = os.environ.get("FUSIONBENCH_DATA")
real = pytest.mark.skipif(not DATA, reason="needs FUSIONBENCH_DATA")


def with_weights(state: dict[str, Tensor]) -> SeAFusion:
    model = SeAFusion(SPEC)
    model.load_state_dict(SeAFusion.from_published([state]))
    return model.eval()


def by_functions(state: dict[str, Tensor], infrared: Tensor, visible: Tensor) -> Tensor:
    """The fused image from the paper's figures, for the names of the published file."""

    def layer(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        return F.conv2d(x, weight, state[f"{name}.conv.bias"], padding=weight.shape[-1] // 2)

    def block(x: Tensor, name: str) -> Tensor:
        one = F.leaky_relu(layer(x, f"{name}.dense.conv1"), 0.2)
        two = F.leaky_relu(layer(torch.cat((x, one), 1), f"{name}.dense.conv2"), 0.2)
        slopes = torch.zeros_like(x)
        for axis in "xy":
            kernels = state[f"{name}.sobelconv.conv{axis}.weight"]
            for channel in range(x.shape[1]):  # each channel by its own kernel
                part = F.conv2d(x[:, channel : channel + 1], kernels[channel : channel + 1], padding=1)
                slopes[:, channel : channel + 1] += part.abs()
        dense = layer(torch.cat((x, one, two), 1), f"{name}.convdown")
        return F.leaky_relu(dense + layer(slopes, f"{name}.convup"), 0.1)

    features = []
    for name, image in (("vis", visible), ("inf", infrared)):
        x = F.leaky_relu(layer(image, f"{name}_conv"), 0.2)
        features.append(block(block(x, f"{name}_rgbd1"), f"{name}_rgbd2"))
    x = torch.cat(features, 1)
    for number in (4, 3, 2):
        x = F.leaky_relu(layer(x, f"decode{number}"), 0.2)
    return torch.tanh(layer(x, "decode1")) / 2 + 0.5


def test_published_size() -> None:
    model, published = SeAFusion(SPEC), seafusion_state()
    kept = {name: value for name, value in published.items() if "running" not in name and "tracked" not in name}
    assert sum(value.numel() for value in kept.values()) == 166_883
    unused = sum(value.numel() for name, value in kept.items() if ".bn." in name)
    assert sum(parameter.numel() for parameter in model.parameters()) == 166_883 - unused == 166_657


def test_equals_the_layers() -> None:
    state, batch = seafusion_state(), pair_batch(1, 19, 23)
    wanted = by_functions(state, batch.views[:, 0], batch.views[:, 1])
    assert float(wanted.std()) > 1e-3
    torch.testing.assert_close(with_weights(state).fuse(batch), wanted, atol=1e-5, rtol=1e-5)


def test_gradients_begin_as_sobel() -> None:
    block = GradientResidualBlock(2, 3)
    image = torch.rand(1, 2, 9, 8)
    made = (block.across(image).abs() + block.down(image).abs())[0].detach().numpy()
    for channel in range(2):
        plane = image[0, channel].numpy()
        wanted = sum(np.abs(ndimage.sobel(plane, axis, mode="constant")) for axis in (0, 1))
        np.testing.assert_allclose(made[channel], wanted, atol=1e-5)


def test_a_pixel_depends_on_its_neighbours_as_far_as_is_said() -> None:
    model, radius = smallest(SeAFusion).eval(), SeAFusion.receptive_radius or 0
    batch = pair_batch(1, 31, 31)
    a = batch.views[:, 0].clone().requires_grad_()
    model.combine(a, batch.views[:, 1])[0, 0, 15, 15].backward()
    assert a.grad is not None
    where = a.grad[0, 0].nonzero()
    assert where.min() == 15 - radius and where.max() == 15 + radius


def test_loss_is_that_of_the_paper() -> None:
    model, batch = smallest(SeAFusion, texture_weight=7.0).eval(), pair_batch()
    a, b = (batch.views[:, view, 0].numpy().astype(float) for view in (0, 1))
    fused = model.combine(batch.views[:, 0], batch.views[:, 1])[:, 0].detach().numpy().astype(float)

    def slope(images: np.ndarray) -> np.ndarray:
        return sum(np.abs(ndimage.sobel(images, axis, mode="nearest")) for axis in (1, 2))  # type: ignore[return-value]

    # scipy smooths along every other axis, also that of the batch: one image at a time
    slopes = [np.concatenate([slope(image[None]) / 4 for image in images]) for images in (fused, a, b)]
    wanted = np.abs(fused - np.maximum(a, b)).mean()
    wanted += 7 * np.abs(slopes[0] - np.maximum(slopes[1], slopes[2])).mean()
    assert model.loss(batch, "main", 0).total.item() == pytest.approx(wanted, rel=1e-4)


def test_learns() -> None:
    history = learn(smallest(SeAFusion), pair_batch(2, 16, 16), 12, 1e-2)
    assert history[-1]["intensity"] + 10 * history[-1]["texture"] < history[0]["intensity"] + 10 * history[0]["texture"]


def test_other_widths_and_other_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="three widths"):
        SeAFusion(SPEC, widths=[4, 8])
    with pytest.raises(DataError, match=r"published weights of SeAFusion: 'inf_conv\.conv\.weight' has the shape"):
        SeAFusion.from_published([seafusion_state((4, 8, 12))])
    with pytest.raises(DataError, match="is missing"):
        SeAFusion.from_published([{name: v for name, v in seafusion_state().items() if name != "decode1.conv.bias"}])


@real
@pytest.mark.parametrize("stem", ["06", "19"])
def test_published_images(stem: str) -> None:
    """The authors stretch each image to the full range and cut fractions off."""
    root = Path(DATA or "")
    state = torch.load(root / "weights/SeAFusion/SeAFusion.pth", map_location="cpu", weights_only=True)
    kept = [value.numel() for name, value in state.items() if "running" not in name and "tracked" not in name]
    assert sum(kept) == 166_883
    a, b = (to_grey(read_image(root / "tno" / kind / f"{stem}.png").pixels) for kind in ("ir", "vi"))
    views = torch.tensor(np.stack((a, b))[None, :, None] / np.float32(255))
    batch = Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))
    fused = with_weights(state).fuse(batch)[0, 0].numpy()
    made = np.floor(255 * ((fused - fused.min()) / (fused.max() - fused.min())))
    published = to_grey(read_image(root / "fused/SeAFusion/tno" / f"{stem}.png").pixels).astype(float)
    assert (made == published).mean() >= 0.9999 and np.abs(made - published).max() <= 1
