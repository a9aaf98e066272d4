"""Oracle: singular values by LAPACK."""

from __future__ import annotations

import torch
from torch import nn

from fusionbench.models.vae.cells import WNConv2d
from fusionbench.models.vae.regularization import StabilityPenalty


def test_penalty_is_the_sum_of_largest_singular_values_and_scales() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        WNConv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        WNConv2d(6, 6, 3),
        nn.Conv2d(6, 6, 5, groups=6, bias=False),
        nn.BatchNorm2d(6),
    )
    with torch.no_grad():
        model[1].weight.uniform_(-2, 1)
    penalty = StabilityPenalty(model)
    expected = model[1].weight.abs().max() + model[4].weight.abs().max()
    for conv in (model[0], model[2]):
        expected = expected + torch.linalg.svdvals(conv.effective_weight().flatten(1))[0]
    expected = expected + torch.linalg.svdvals(model[3].weight.flatten(1))[0]
    for step in range(30):
        value = penalty(first=step == 0)
    # eps 1e-3 in the normalisation keeps the estimate slightly low
    torch.testing.assert_close(value, expected, rtol=1e-2, atol=0)
    value.backward()
    # the derivative of the largest singular value is u·vᵀ
    u, _, v = torch.linalg.svd(model[3].weight.flatten(1), full_matrices=False)
    outer = (u[:, :1] @ v[:1]).view_as(model[3].weight)
    torch.testing.assert_close(model[3].weight.grad, outer.detach(), rtol=0.05, atol=0.02)


def test_a_convolution_that_starts_at_zero_is_seen_once_it_has_grown() -> None:
    conv = nn.Conv2d(4, 4, 3)
    nn.init.zeros_(conv.weight)
    penalty = StabilityPenalty(nn.Sequential(conv))
    for step in range(5):
        assert float(penalty(first=step == 0).detach()) == 0.0
    with torch.no_grad():
        conv.weight.normal_()
    for _ in range(20):
        value = penalty(first=False)
    torch.testing.assert_close(value, torch.linalg.svdvals(conv.weight.flatten(1))[0], rtol=1e-2, atol=0)
