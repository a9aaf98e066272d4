"""Weights as authors would publish them, made here: the names of IFCNN's and SeAFusion's files, random numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor


def ifcnn_state(width: int = 64, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of ``IFCNN-MAX.pth``, random, with variances that are positive."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return 0.1 * torch.randn(shape, generator=draw)

    state = {"conv1.weight": normal(width, 3, 7, 7)}
    for name in ("conv2", "conv3"):
        state[f"{name}.conv.weight"] = normal(width, width, 3, 3)
        state[f"{name}.bn.weight"], state[f"{name}.bn.bias"] = 1 + normal(width), normal(width)
        state[f"{name}.bn.running_mean"] = normal(width)
        state[f"{name}.bn.running_var"] = 1 + torch.rand(width, generator=draw)
    return state | {"conv4.weight": normal(3, width, 1, 1), "conv4.bias": normal(3)}


def seafusion_state(widths: tuple[int, int, int] = (16, 32, 48), seed: int = 0) -> dict[str, Tensor]:
    """The tensors of ``SeAFusion.pth``, random, with the decoder's batch normalisation that is never applied."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def layer(name: str, out: int, inputs: int, size: int, bias: bool = True) -> None:
        state[f"{name}.weight"] = 0.1 * torch.randn((out, inputs, size, size), generator=draw)
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=draw)

    first, middle, last = widths
    for stream in ("vis", "inf"):
        layer(f"{stream}_conv.conv", first, 1, 3)
        for number, (channels, out) in enumerate(((first, middle), (middle, last)), 1):
            block = f"{stream}_rgbd{number}"
            layer(f"{block}.dense.conv1.conv", channels, channels, 3)
            layer(f"{block}.dense.conv2.conv", channels, 2 * channels, 3)
            layer(f"{block}.convdown.conv", out, 3 * channels, 1)
            for axis in "xy":
                layer(f"{block}.sobelconv.conv{axis}", channels, 1, 3, bias=False)
            layer(f"{block}.convup.conv", out, channels, 1)
    decoder = ((4, 2 * middle, 2 * last), (3, 2 * first, 2 * middle), (2, first, 2 * first), (1, 1, first))
    for number, out, inputs in decoder:
        layer(f"decode{number}.conv", out, inputs, 3)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"decode{number}.bn.{part}"] = torch.ones(out)
        state[f"decode{number}.bn.num_batches_tracked"] = torch.tensor(0)
    return state


def zip_form(value: object, path: Path) -> Path:
    """``torch.save`` as it is."""
    torch.save(value, path)
    return path


def legacy_form(value: object, path: Path) -> Path:
    """``torch.save`` as before torch 1.6: a sequence of pickles."""
    torch.save(value, path, _use_new_zipfile_serialization=False)
    return path


FORMS: dict[str, Callable[[object, Path], Path]] = {"zip": zip_form, "legacy": legacy_form}
