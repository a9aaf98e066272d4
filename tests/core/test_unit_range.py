"""Bytes as numbers in [0, 1]: correctly rounded, wherever they are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from fusionbench.core.unit_range import to_unit

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_every_byte_is_divided_and_rounded_once(device: str) -> None:
    found = to_unit(torch.arange(256, dtype=torch.uint8, device=device).reshape(2, 8, 16))
    assert found.dtype == torch.float32 and found.shape == (2, 8, 16) and found.device.type == device
    for value, number in enumerate(found.cpu().flatten().numpy()):
        exact = Fraction(value, 255)
        error = abs(Fraction(float(number)) - exact)
        for step in (-1, 1):
            other = np.nextafter(number, np.float32(number + step))
            assert error <= abs(Fraction(float(other)) - exact), value


def test_a_product_with_the_reciprocal_is_something_else() -> None:
    """What torch does on CUDA with a Python number."""
    values = np.arange(256, dtype=np.float32)
    product = values * np.float32(1 / 255)
    assert np.count_nonzero(product != to_unit(torch.arange(256, dtype=torch.uint8)).numpy()) == 126


def test_the_bytes_stay_as_they_are() -> None:
    images = torch.tensor([7, 8], dtype=torch.uint8)
    to_unit(images)
    assert images.tolist() == [7, 8]
