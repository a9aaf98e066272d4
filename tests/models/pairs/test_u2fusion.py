"""Oracles: the published size, the information measure and its softmax in NumPy and SciPy, the loss from its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.losses import torch_ssim
from fusionbench.models.pairs.u2fusion import U2Fusion, gradient_information
from tests.helpers.pairs import SPEC, depends_at, learn, pair_batch, smallest


def information(image: np.ndarray) -> float:
    """The measure in SciPy, for sides that can be halved four times."""
    kernel, stages = np.full((3, 3), 1 / 8), []
    kernel[1, 1] = -1
    for _ in range(5):
        across, down = (ndimage.sobel(image, axis, mode="nearest") / 8 for axis in (1, 0))
        parts = (image, *(np.maximum(sign * slope, 0) for slope in (across, down) for sign in (1, -1)))
        stages.append(np.mean([ndimage.convolve(part, kernel, mode="nearest") ** 2 for part in parts]))
        image = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    return float(np.mean(stages))


def test_paper_size() -> None:
    """0.66 M in the literature."""
    model = U2Fusion(SPEC, **U2Fusion.PRESETS["paper"].model)
    assert sum(parameter.numel() for parameter in model.parameters()) == 659_217


def test_information_equals_scipys() -> None:
    images = np.random.default_rng(0).random((3, 32, 16))
    images[1] *= 0.2
    made = gradient_information(torch.from_numpy(images).unsqueeze(1))
    assert made.tolist() == pytest.approx([information(image) for image in images], rel=1e-9)


def test_information_of_a_flat_image_is_nothing() -> None:
    assert float(gradient_information(torch.full((1, 1, 9, 7), 0.4))) == pytest.approx(0, abs=1e-12)


def test_weights_are_the_softmax_of_the_information() -> None:
    model, batch = smallest(U2Fusion, sharpness=2e-3), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    made = model.preservation(a, b)
    for index in range(2):
        of_a, of_b = (information(image[index, 0].double().numpy()) for image in (a, b))
        expected = 1 / (1 + np.exp((of_b - of_a) / 2e-3))
        assert made[index].tolist() == pytest.approx([expected, 1 - expected], rel=1e-4)
    assert float(made[:, 1].min()) > 0.5, "the striped image has more to preserve"
    assert torch.equal(smallest(U2Fusion, measure="equal").preservation(a, b), torch.full((2, 2), 0.5))


def test_loss_from_its_parts() -> None:
    model, batch = smallest(U2Fusion, pixel_weight=3.0), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    with torch.no_grad():
        fused, weights = model.combine(a, b), model.preservation(a, b)
    expected = 0.0
    for index in range(2):
        for weight, image in zip(weights[index].tolist(), (a, b), strict=True):
            mine, theirs = fused[index : index + 1], image[index : index + 1]
            distance = 1 - float(torch_ssim(mine, theirs)) + 3 * float((mine - theirs).square().mean())
            expected += weight * distance / 2
    assert float(model.loss(batch, "main", 0).total.detach()) == pytest.approx(expected, rel=1e-5)


def test_structure_and_range() -> None:
    model = U2Fusion(SPEC, **U2Fusion.PRESETS["paper"].model)
    assert [layer[0].in_channels for layer in model.encoder[1].layers] == [44, 88, 132, 176, 220]
    assert model.decoder[0][0].in_channels == 264
    small = smallest(U2Fusion)
    with torch.no_grad():
        small.decoder[-1].bias.fill_(50)
    image = pair_batch().views[:, 0]
    assert float(small.combine(image, image).detach().min()) == 1, "tanh, moved to 0..1"


def test_receptive_radius() -> None:
    deep = {"dense_layers": 5, "decoder_widths": [6, 6, 6]}  # as many layers as the paper has
    radius = smallest(U2Fusion, **deep).receptive_radius
    assert isinstance(radius, int) and radius == U2Fusion(SPEC).receptive_radius == 10
    assert depends_at(smallest(U2Fusion, **deep), range(radius, radius + 1), 20, 40)
    assert not depends_at(smallest(U2Fusion, **deep), range(radius + 1, 99), 20, 40)


def test_ten_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    history = learn(U2Fusion(SPEC, **U2Fusion.PRESETS["tiny"].model), pair_batch(), steps=11, lr=3e-3)
    assert history[-1]["pixel"] < 0.9 * history[0]["pixel"] and history[-1]["ssim"] < history[0]["ssim"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"measure": "vgg"}, "Unknown measure of u2fusion 'vgg'"),
        ({"sharpness": 0.0}, "sharpness=0 is not positive"),
        ({"sharpness": float("nan")}, "sharpness=nan is not positive"),
        ({"decoder_widths": [0]}, "decoder_widths"),
    ],
)
def test_refuses_wrong_parameters(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(U2Fusion, **choice)
