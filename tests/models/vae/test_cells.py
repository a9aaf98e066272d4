"""Cells against their formulas written out literally."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fusionbench.models.vae.cells import DecoderCell, EncoderCell, PhaseSkip, UpSkip, WNConv2d, fixed_weights


def test_weight_normalisation() -> None:
    conv = WNConv2d(3, 5, 3)
    norm = torch.linalg.vector_norm(conv.weight, dim=(1, 2, 3))
    torch.testing.assert_close(conv.log_norm.flatten(), torch.log(norm + 1e-2))
    expected = conv.log_norm.exp() * conv.weight / (norm.view(-1, 1, 1, 1) + 1e-5)
    torch.testing.assert_close(conv.effective_weight(), expected)
    x = torch.randn(2, 3, 8, 8)
    before = conv(x)
    with fixed_weights(conv):
        assert torch.equal(conv(x), before)
        with torch.no_grad():
            conv.weight.mul_(3)  # the direction alone counts
        assert torch.equal(conv(x), before)
    torch.testing.assert_close(conv(x), before, rtol=1e-4, atol=1e-5)


def test_up_cell_is_the_cell_on_the_doubled_image() -> None:
    """Doubling after the first 1×1 convolution, not before the first batch norm, changes no output and no gradient."""
    torch.manual_seed(0)
    cell = DecoderCell(8, 3, up=True)
    x = torch.randn(4, 8, 5, 5, requires_grad=True)

    def literal(x: torch.Tensor) -> torch.Tensor:
        up = F.interpolate(x, scale_factor=2, mode="nearest")
        inner = F.silu(
            F.batch_norm(
                cell.expand(F.batch_norm(up, None, None, cell.bn0.weight, cell.bn0.bias, True)),
                None,
                None,
                cell.bn1.weight,
                cell.bn1.bias,
                True,
            )
        )
        inner = F.silu(F.batch_norm(cell.depthwise(inner), None, None, cell.bn2.weight, cell.bn2.bias, True))
        inner = F.batch_norm(cell.project(inner), None, None, cell.bn3.weight, cell.bn3.bias, True)
        skip = cell.skip.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
        return skip + 0.1 * cell.gate(inner)

    ours, theirs = cell(x), literal(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(ours)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weight).sum(), x)[0],
        torch.autograd.grad((theirs * weight).sum(), x)[0],
        rtol=1e-3,
        atol=1e-4,
    )


def test_shapes_of_all_cells() -> None:
    x = torch.randn(2, 9, 8, 8)
    assert EncoderCell(9)(x).shape == (2, 9, 8, 8)
    assert EncoderCell(9, down=True)(x).shape == (2, 18, 4, 4)  # an odd quarter of channels: 4 + 4 + 4 + 6
    assert DecoderCell(8, 6)(x[:, :8]).shape == (2, 8, 8, 8)
    assert UpSkip(8, 4)(x[:, :8]).shape == (2, 4, 16, 16)


def test_every_pixel_reaches_the_down_skip() -> None:
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    PhaseSkip(4, 8)(x).square().sum().backward()
    assert (x.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("up", [False, True])
def test_norms_fold_into_the_convolutions_of_a_decoder_cell_in_evaluation(up: bool) -> None:
    torch.manual_seed(0)
    cell = DecoderCell(8, 3, up=up)
    for norm in (cell.bn0, cell.bn1, cell.bn2, cell.bn3):
        for values in (norm.running_mean, norm.bias.data):
            assert values is not None
            values.normal_()
        for values in (norm.running_var, norm.weight.data):
            assert values is not None
            values.uniform_(0.5, 2)
    x = torch.randn(4, 8, 6, 6)
    kept = x.clone()
    with torch.no_grad():
        trained = cell(x)  # moves the running statistics
        with fixed_weights(cell):
            torch.testing.assert_close(cell(x), trained)  # in training nothing is folded
        cell.eval()
        for norm in (cell.bn0, cell.bn1, cell.bn2, cell.bn3):
            assert norm.running_mean is not None
            norm.running_mean.normal_()
        plain = cell(x)
        with fixed_weights(cell):
            folded = cell(x)
        torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-5)
        assert torch.equal(cell(x), plain) and torch.equal(x, kept)
        cell.bn1.weight.mul_(2)  # what was folded is forgotten at the end of the block
        assert not torch.allclose(cell(x), plain)
