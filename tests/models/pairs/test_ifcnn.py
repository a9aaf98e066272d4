"""Oracles: the published size, the network spelt out on published names, OpenCV's luma, published images."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import read_image, to_grey
from fusionbench.core.types import Batch
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.pairs.mfeif import complementary_corruptions
from tests.helpers.pairs import SPEC, learn, pair_batch, smallest
from tests.helpers.published import ifcnn_state

DATA = os.environ.get("FUSIONBENCH_DATA")
real = pytest.mark.skipif(not DATA, reason="needs FUSIONBENCH_DATA")


def with_weights(state: dict[str, Tensor]) -> IFCNN:
    model = IFCNN(SPEC)
    model.load_state_dict(IFCNN.from_published([state]))
    return model.eval()


def by_functions(state: dict[str, Tensor], a: Tensor, b: Tensor) -> np.ndarray:
    """Fused channels (H,W,3) in [0,1] of two grey images (1,1,H,W), from the paper's figure."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def layer(x: Tensor, name: str) -> Tensor:
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), state[f"{name}.conv.weight"])
        norm = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *norm).relu()

    features = []
    for image in (a, b):
        x = (image.repeat(1, 3, 1, 1) - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
        features.append(layer(F.conv2d(F.pad(x, (3, 3, 3, 3), mode="replicate"), state["conv1.weight"]), "conv2"))
    merged = layer(torch.maximum(*features), "conv3")
    fused = F.conv2d(merged, state["conv4.weight"], state["conv4.bias"])
    return ((fused[0].permute(1, 2, 0) * deviation) + mean).clamp(0, 1).detach().numpy()


def test_published_size() -> None:
    model = IFCNN(SPEC)
    assert sum(parameter.numel() for parameter in model.parameters()) == 83_587
    assert sum(value.numel() for name, value in ifcnn_state().items() if "running" not in name) == 83_587


def test_equals_the_layers_and_opencv() -> None:
    state, batch = ifcnn_state(), pair_batch(1, 21, 17)
    a, b = batch.views[:, 0], batch.views[:, 1]
    channels = by_functions(state, a, b)
    model = with_weights(state)
    made = model.reconstruct(a, b)[0].permute(1, 2, 0).clamp(0, 1).detach().numpy()
    np.testing.assert_allclose(made, channels, atol=1e-5)
    levels = np.floor(made * np.float32(255)).astype(np.uint8)
    wanted = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
    assert len(np.unique(wanted)) > 10
    assert np.array_equal(np.rint(model.fuse(batch)[0, 0].numpy() * 255).astype(np.uint8), wanted)


def test_luma_equals_opencv_for_every_kind_of_level() -> None:
    draw = np.random.default_rng(0)
    levels = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    model = IFCNN(SPEC)
    model.reconstruct = lambda a, b: torch.tensor(levels.transpose(2, 0, 1)[None] / np.float32(255))  # type: ignore[method-assign]
    fused = model.combine(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64))
    exact = np.floor(levels / np.float32(255) * np.float32(255)).astype(np.uint8)  # what the truncation leaves
    wanted = cv2.cvtColor(exact, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(np.rint(fused[0, 0].numpy() * 255).astype(np.uint8), wanted)


def test_order_of_the_images_does_not_matter_and_levels_none_keeps_fractions() -> None:
    model, batch = smallest(IFCNN), pair_batch(1)
    swapped = Batch(None, batch.views.flip(1), batch.present, batch.ids)
    assert torch.equal(model.fuse(batch), model.fuse(swapped))
    fine = smallest(IFCNN, levels="none").fuse(batch) * 255
    assert float((fine - fine.round()).abs().max()) > 0.1
    # three truncations and one rounding
    assert float((fine - model.fuse(batch) * 255).abs().max()) <= 1.51


def test_a_pixel_depends_on_its_neighbours_as_far_as_is_said() -> None:
    model, radius = smallest(IFCNN, levels="none").eval(), IFCNN.receptive_radius or 0
    batch = pair_batch(1, 31, 31)
    a = batch.views[:, 0].clone().requires_grad_()
    model.combine(a, batch.views[:, 1])[0, 0, 15, 15].backward()
    assert a.grad is not None
    where = a.grad[0, 0].nonzero()
    assert where.min() == 15 - radius and where.max() == 15 + radius


def test_loss_is_the_error_of_restored_images() -> None:
    model, batch = smallest(IFCNN).eval(), pair_batch()
    model.plan(10, seed=3)
    images = torch.cat((batch.views[:, 0], batch.views[:, 1]))
    restored = model.reconstruct(*complementary_corruptions(images, 3, 5)).detach().numpy()
    wanted = ((restored - images.repeat(1, 3, 1, 1).numpy()) ** 2).mean()
    assert model.loss(batch, "main", 5).total.item() == pytest.approx(float(wanted), rel=1e-5)


def test_learns() -> None:
    history = learn(smallest(IFCNN), pair_batch(2, 16, 16), 12, 1e-2)
    assert history[-1]["pixel"] < history[0]["pixel"] / 4


def test_another_levels_and_other_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="Unknown levels of ifcnn"):
        IFCNN(SPEC, levels="publish")
    with pytest.raises(DataError, match=r"published weights of IFCNN: 'conv1.weight' has the shape \(8, 3, 7, 7\)"):
        IFCNN.from_published([ifcnn_state(8)])
    with pytest.raises(DataError, match="1 names are unknown, first 'fc'"):
        IFCNN.from_published([{**ifcnn_state(), "fc": torch.zeros(1)}])


@real
@pytest.mark.parametrize("stem", ["06", "19"])
def test_published_images(stem: str) -> None:
    root = Path(DATA or "")
    state = torch.load(root / "weights/IFCNN/IFCNN-MAX.pth", map_location="cpu", weights_only=True)
    model = with_weights(state)
    assert sum(parameter.numel() for parameter in model.parameters()) == 83_587
    a, b = (to_grey(read_image(root / "tno" / kind / f"{stem}.png").pixels) for kind in ("ir", "vi"))
    views = torch.tensor(np.stack((a, b))[None, :, None] / np.float32(255))
    fused = model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
    made = np.rint(fused[0, 0].numpy() * 255)
    published = to_grey(read_image(root / "fused/IFCNN/tno" / f"{stem}.png").pixels).astype(float)
    difference = np.abs(made - published)
    assert difference.max() <= 1 and np.sqrt((difference**2).mean()) < 0.005
