"""CDDFuse: its size part by part, couplings that can be undone, and both phases."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.cddfuse import CDDFuse, Coupling
from tests.helpers.pairs import SPEC, learn, pair_batch, smallest


def test_the_paper_size_is_that_of_the_authors_part_by_part() -> None:
    with torch.device("meta"):
        model = CDDFuse(SPEC)
    parts = model.encoder, model.decoder, model.base_fusion, model.detail_fusion
    counted = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counted == [599_144, 207_936, 363_016, 18_176]
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_188_272


def test_a_coupling_loses_nothing() -> None:
    """Undone step by step from its output, the input comes back."""
    torch.manual_seed(3)
    coupling, features = Coupling(8).double(), torch.randn(2, 8, 7, 5, dtype=torch.float64)
    with torch.no_grad():
        x, y = coupling(features).chunk(2, dim=1)
        x = (x - coupling.offset(y)) * torch.exp(-coupling.scale(y))
        y = y - coupling.shift(x)
        undone = torch.linalg.solve(
            coupling.mix.weight[:, :, 0, 0], (torch.cat((x, y), 1) - coupling.mix.bias.view(-1, 1, 1)).flatten(2)
        )
    torch.testing.assert_close(undone.view_as(features), features)


def test_the_visible_image_is_added_before_the_sigmoid() -> None:
    """With the last convolution at zero, the fused image is the sigmoid of view 1, and phase I's that of its image."""
    model, batch = smallest(CDDFuse), pair_batch()
    torch.nn.init.zeros_(model.decoder.output[2].weight)  # type: ignore[union-attr, operator, index, arg-type]
    torch.testing.assert_close(model.fuse(batch), torch.sigmoid(batch.views[:, 1]))
    with torch.no_grad():
        torch.testing.assert_close(model.reconstruct(batch.views[:, 0]), torch.sigmoid(batch.views[:, 0]))  # type: ignore[operator]


def test_losses_by_hand() -> None:
    """Phase II without decomposition is |F − max| + 10·| |∇F| − max |∇| |; Sobel by a plain convolution."""
    model, batch = smallest(CDDFuse, phase_steps=0, decomposition_weight=0.0), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    fused = model.combine(a, b)
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])

    def slopes(x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return sum(F.conv2d(padded, k[None, None]).abs() for k in (kernel, kernel.T))  # type: ignore[return-value]

    wanted = (fused - torch.maximum(a, b)).abs().mean()
    wanted = wanted + 10 * (slopes(fused) - torch.maximum(slopes(a), slopes(b))).abs().mean()
    torch.testing.assert_close(model.loss(batch, "main", 0).total, wanted)


def test_both_phases_learn() -> None:
    model = smallest(CDDFuse, phase_steps=10)
    history = learn(model, pair_batch(), 20, 3e-3)
    assert [step["phase"] for step in history] == [1.0] * 10 + [2.0] * 10
    assert history[9]["content"] < history[0]["content"]
    assert history[19]["texture"] < history[10]["texture"]


def test_channels_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(UsageError, match="width=7; the couplings halve it"):
        smallest(CDDFuse, width=7, heads=1)
