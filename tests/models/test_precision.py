"""Full precision where autocast would take it away, and no rounding where more is asked for."""

from __future__ import annotations

import pytest
import torch

from fusionbench.models.precision import at_least_float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool])
def test_everything_else_becomes_float32_with_its_values(dtype: torch.dtype) -> None:
    x = torch.tensor([0, 1, 3]).to(dtype)
    made = at_least_float32(x)
    assert made.dtype == torch.float32 and made.tolist() == [float(value) for value in x.tolist()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_precise_enough_is_not_copied(dtype: torch.dtype) -> None:
    x = torch.tensor([1 / 3, 2**-40], dtype=dtype)
    assert at_least_float32(x) is x


def test_a_value_beyond_half_precision_survives_autocast() -> None:
    """A log-variance of a normal: exp(12) is 162754.79…, of which bfloat16 has three digits and float16 nothing."""
    x = torch.full((4, 4), 12.0)
    with torch.autocast("cpu", torch.bfloat16):
        low = x @ torch.eye(4)
        assert low.dtype == torch.bfloat16
        assert at_least_float32(low).exp()[0, 0].item() == pytest.approx(162754.7914, rel=1e-6)
    assert low.exp()[0, 0].item() != pytest.approx(162754.7914, rel=1e-4)


def test_gradients_come_back_in_the_kind_of_the_input() -> None:
    x = torch.tensor([2.0], dtype=torch.bfloat16, requires_grad=True)
    (at_least_float32(x) ** 3).sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.bfloat16 and x.grad.item() == 12
