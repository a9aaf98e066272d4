"""Convolutions that oneDNN gets wrong are replaced by the same map, and only where networks are trained on a CPU.

Oracle: the model before it was changed, and torch's own convolution with a stride.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionbench.models import MODELS
from fusionbench.training.gradient_check import _build
from fusionbench.training.safe_convolutions import TakeEvery, replace_strided_pointwise, to_training_layout

LEARNING = [name for name in MODELS.names() if hasattr(MODELS.get(name), "loss")]


def test_pointwise_convolutions_with_a_stride_are_replaced_by_the_same_map() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(4, 6, 1, stride=2),
        nn.Conv2d(6, 6, 1, stride=(1, 3), groups=2),
        nn.Conv2d(6, 2, 3, stride=2, padding=1),
    )
    padded = nn.Conv2d(2, 2, 1, stride=2, padding=1)
    x = torch.randn(3, 4, 17, 22, requires_grad=True)
    expected = model(x)
    gradient = torch.autograd.grad(expected.square().sum(), [x, *model.parameters()])
    assert replace_strided_pointwise(model) == ["0", "1"]
    assert replace_strided_pointwise(model) == [] and replace_strided_pointwise(padded) == []
    answer = model(x)
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-6)
    for new, old in zip(torch.autograd.grad(answer.square().sum(), [x, *model.parameters()]), gradient, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)
    assert set(model.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"}


def test_no_registered_model_convolves_1x1_with_a_stride_when_it_is_trained() -> None:
    for name in LEARNING:
        preset = "tiny" if "tiny" in MODELS.get(name).PRESETS else next(iter(MODELS.get(name).PRESETS))
        model = to_training_layout(_build(name, preset)[0], "cpu")
        for path, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
                assert layer.stride == (1, 1), f"{name}: {path}"


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 8), (8, 7)])
@pytest.mark.parametrize("stride", [(2, 2), (1, 3), (3, 1)])
def test_every_size_and_stride(shape: tuple[int, int], stride: tuple[int, int]) -> None:
    torch.manual_seed(1)
    x, layer = torch.randn(2, 5, *shape), nn.Conv2d(5, 4, 1, stride=stride)
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias, stride=stride)
    assert replace_strided_pointwise(layer) == [""] and layer.stride == (1, 1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-6, atol=1e-6)


def test_other_arguments_go_on() -> None:
    taken, other = TakeEvery(2, 3)(nn.Identity(), (torch.arange(24.0).reshape(1, 1, 4, 6), "mask"))
    assert taken.tolist() == [[[[0, 3], [12, 15]]]] and other == "mask"


def test_other_layers_stay_as_they_are() -> None:
    """A larger kernel, a border, a transposed or a one-dimensional convolution: none of them is that kernel."""
    layers = [
        nn.Conv2d(2, 2, 3, stride=2),
        nn.Conv2d(2, 2, (1, 3), stride=2),
        nn.Conv2d(2, 2, 1, stride=2, padding=1),
        nn.Conv2d(2, 2, 1),
        nn.ConvTranspose2d(2, 2, 1, stride=2),
        nn.Conv1d(2, 2, 1, stride=2),
    ]
    strides = [layer.stride for layer in layers]
    assert replace_strided_pointwise(nn.ModuleList(layers)) == []
    assert [layer.stride for layer in layers] == strides
    assert not any(layer._forward_pre_hooks for layer in layers)


def test_the_training_layout() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.Conv2d(4, 4, 3))
    made = to_training_layout(model, "cpu")
    assert made is model and model[0].stride == (1, 1)
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last)
    on_meta = to_training_layout(nn.Conv2d(3, 4, 1, stride=2), "meta")
    assert on_meta.stride == (2, 2) and next(on_meta.parameters()).device.type == "meta", (
        "another device, other kernels"
    )
