"""Oracle: numpy.pad(mode="reflect"), which repeats the mirror as often as needed. Exact equality."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusionbench.models.pairs.padding import mirrored_indices, pad_to_multiple

SIZES = st.integers(1, 20)


@given(height=SIZES, width=SIZES, multiple=st.integers(1, 17))
def test_equals_numpy(height: int, width: int, multiple: int) -> None:
    x = np.arange(2 * 3 * height * width, dtype=np.float32).reshape(2, 3, height, width)
    padded = pad_to_multiple(torch.from_numpy(x), multiple).numpy()
    widths = [(0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)]
    np.testing.assert_array_equal(padded, np.pad(x, widths, mode="reflect"))
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    np.testing.assert_array_equal(padded[..., :height, :width], x)


def test_fitting_image_is_not_copied() -> None:
    x = torch.rand(1, 1, 8, 16)
    assert pad_to_multiple(x, 8) is x


@pytest.mark.parametrize(("size", "padded"), [(0, 4), (5, 4)])
def test_refuses_what_cannot_be_mirrored(size: int, padded: int) -> None:
    with pytest.raises(ValueError, match=f"mirror {size} pixels out to {padded}"):
        mirrored_indices(size, padded)
