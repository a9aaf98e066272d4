"""Wavelet fusion: perfect reconstruction at any size, and its decisions against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from tests.models.classical.test_pyramids import fuse, pair

SPEC = ImageSpec(1, 8, 8, 2)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["haar", "db2", "sym5", "bior4.4"]),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_two_equal_sources_are_reconstructed_perfectly(
    height: int, width: int, wavelet: str, levels: int, seed: int
) -> None:
    image = torch.from_numpy(np.random.default_rng(seed).random((1, 1, height, width)))
    model = create_model("wavelet", SPEC, wavelet=wavelet, levels=levels)
    # bior4.4 is tabulated to about twelve digits
    assert model.combine(image, image).numpy() == pytest.approx(image.numpy(), abs=1e-10)


def test_decisions_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1, 1, 9, 12))
    model = create_model("wavelet", SPEC, window=5, vote=3)

    def around(x: np.ndarray, i: int, j: int, half: int) -> np.ndarray:
        return x[max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]

    first = np.zeros((9, 12))
    for i, j in np.ndindex(first.shape):
        first[i, j] = np.abs(around(a[0, 0], i, j, 2)).max() >= np.abs(around(b[0, 0], i, j, 2)).max()
    expected = np.empty_like(first)
    for i, j in np.ndindex(first.shape):
        expected[i, j] = (a if around(first, i, j, 1).mean() >= 0.5 else b)[0, 0, i, j]
    assert np.array_equal(model.chosen([a, b], torch.device("cpu"))[0, 0], expected)
    assert not np.array_equal(expected, np.where(first > 0, a, b)[0, 0])  # the vote had a say


def test_one_coefficient_in_each_source_is_kept() -> None:
    """Sources with one wavelet each, far apart: the fused picture is the sum of both wavelets and the mean base."""
    bands = pywt.wavedec2(np.full((64, 64), 0.5), "db2", mode="symmetric", level=3)
    images = []
    for place in ((5, 5), (13, 12)):
        changed = [bands[0], *(tuple(x.copy() for x in level) for level in bands[1:])]
        changed[2][1][place] = 0.4
        images.append(pywt.waverec2(changed, "db2", mode="symmetric")[:64, :64])
    a, b = (torch.from_numpy(x)[None, None] for x in images)
    fused = create_model("wavelet", SPEC, levels=3).combine(a, b)
    assert float((a - 0.5).abs().max()) > 0.05
    assert fused.numpy() == pytest.approx((a + b - 0.5).numpy(), abs=1e-6)


def test_structure_of_both_sources_is_kept() -> None:
    batch = pair(64, 96)
    a, b = batch.views[0, :, 0].numpy()
    fused = fuse("wavelet", batch)
    for region, source in ((np.s_[:, 8:36], a), (np.s_[:, 60:88], b)):
        assert fused[region].std() > 0.8 * source[region].std()


def test_bad_parameters() -> None:
    with pytest.raises(UsageError, match="haar"):
        create_model("wavelet", SPEC, wavelet="harr")
    for values in ({"levels": 0}, {"window": 4}, {"vote": 0}):
        with pytest.raises(UsageError, match="levels must be at least 1"):
            create_model("wavelet", SPEC, **values)
