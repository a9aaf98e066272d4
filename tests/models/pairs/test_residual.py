"""Oracle: the formula with identity kernels. Tolerance: float32 rounding (assert_close's default)."""

import torch

from fusionbench.models.pairs.residual import BasicBlock


def test_with_identity_kernels_it_is_relu_of_x_plus_relu_x() -> None:
    block = BasicBlock(2).eval()
    with torch.no_grad():
        for convolution in (block.conv1, block.conv2):
            convolution.weight.zero_()
            convolution.weight[[0, 1], [0, 1], 1, 1] = (1 + block.norm1.eps) ** 0.5  # undoes the norm's 1/√(1+ε)
    x = torch.randn(2, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), torch.relu(x + torch.relu(x)))


def test_eight_blocks_have_the_size_of_the_detail_branch() -> None:
    assert 8 * sum(parameter.numel() for parameter in BasicBlock(64).parameters()) == 591_872
