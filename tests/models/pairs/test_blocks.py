"""Oracles: ``numpy.pad`` for borders, plain loops over pixels for the operators, layers spelt out for the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fusionbench.models.pairs.blocks import (
    DenseBlock,
    MirrorConv,
    conv_chain,
    conv_layer,
    mirror_border,
    neighbour_contrast,
    torch_laplacian,
)


@pytest.mark.parametrize("size", [(2, 3), (5, 4), (1, 4), (4, 1), (1, 1)])
def test_border_is_numpys_reflection_and_repeats_where_there_is_nothing_to_mirror(size: tuple[int, int]) -> None:
    image = torch.rand(1, 2, *size)
    expected = image.numpy()
    for axis, length in ((2, size[0]), (3, size[1])):
        widths = [(1, 1) if at == axis else (0, 0) for at in range(4)]
        expected = np.pad(expected, widths, mode="reflect" if length > 1 else "edge")
    assert np.array_equal(mirror_border(image, 1).numpy(), expected)
    assert mirror_border(image, 0) is image


def test_border_of_two_pixels() -> None:
    row = torch.arange(3.0).view(1, 1, 1, 3)
    assert mirror_border(row, 2)[0, 0, 2].tolist() == [2, 1, 0, 1, 2, 1, 0]


def test_convolution_keeps_the_size_and_sees_the_mirrored_border() -> None:
    convolution, image = MirrorConv(1, 1), torch.rand(1, 1, 4, 6)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.zero_()  # type: ignore[union-attr]
        convolution.weight[0, 0, 1, 0] = 1  # the left neighbour
    made = convolution(image)
    assert torch.equal(made[..., 1:], image[..., :-1]) and torch.equal(made[..., 0], image[..., 1])
    assert MirrorConv(1, 1, 1)(image).shape == image.shape


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="4×4 has no centre"):
        MirrorConv(1, 1, 4)


def test_layer_is_convolution_norm_activation() -> None:
    plain, leaky = conv_layer(1, 2), conv_layer(1, 2, norm=True, slope=0.2)
    assert [type(part) for part in plain] == [MirrorConv, nn.ReLU]
    assert [type(part) for part in leaky] == [MirrorConv, nn.BatchNorm2d, nn.LeakyReLU]
    image = torch.rand(1, 1, 5, 5) - 0.5
    before = leaky.eval()[:2](image)
    torch.testing.assert_close(leaky(image), torch.where(before > 0, before, 0.2 * before))


def test_dense_block_is_its_layers_with_all_earlier_maps() -> None:
    block, x = DenseBlock(3, 2, 3), torch.rand(1, 3, 5, 6)
    first = block.layers[0](x)
    second = block.layers[1](torch.cat((x, first), 1))
    third = block.layers[2](torch.cat((x, first, second), 1))
    assert torch.equal(block(x), torch.cat((x, first, second, third), 1))
    assert torch.equal(DenseBlock(3, 2, 0)(x), x)


def test_chain_ends_in_a_bare_convolution_and_normalises_between() -> None:
    chain = conv_chain((6, 5, 4, 3, 1), norm=True)
    assert [len(step) if isinstance(step, nn.Sequential) else 1 for step in chain] == [2, 3, 3, 1]
    assert isinstance(chain[-1], MirrorConv) and chain[-1].out_channels == 1
    assert sum(isinstance(module, nn.BatchNorm2d) for module in conv_chain((6, 5, 4, 1)).modules()) == 0


def test_operators_equal_loops_over_neighbours() -> None:
    image = torch.rand(1, 1, 4, 5, dtype=torch.float64)
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")[0, 0]
    contrast, laplacian = neighbour_contrast(image)[0, 0], torch_laplacian(image)[0, 0]
    for y in range(4):
        for x in range(5):
            window, centre = padded[y : y + 3, x : x + 3], padded[y + 1, x + 1]
            assert contrast[y, x] == pytest.approx(float((window.sum() - centre) / 8 - centre), abs=1e-12)
            cross = window[0, 1] + window[2, 1] + window[1, 0] + window[1, 2]
            assert laplacian[y, x] == pytest.approx(float(cross - 4 * centre), abs=1e-12)
