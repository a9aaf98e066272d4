"""SCD against NumPy's corrcoef of the differences, to 1e-10."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.metrics.scd import scd
from tests.metrics.scenes import floats, scene, stacks


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    f, a, b = floats(f, a, b)
    return sum(np.corrcoef(x.ravel(), (f - other).ravel())[0, 1] for x, other in ((a, b), (b, a)))


@pytest.mark.parametrize("fraction", [0.0, 0.31])
def test_against_numpy(fraction: float) -> None:
    triples = [stack * 0.9 + fraction for stack in stacks()]
    for value, *images in zip(scd(*triples), *triples, strict=True):
        assert value == pytest.approx(plainly(*images), rel=1e-10)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_within_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (1, 5, 6), dtype=np.uint8) for _ in range(3)]
    assert -2 - 1e-12 <= scd(*images)[0] <= 2 + 1e-12


def test_sum_of_the_sources_is_perfect() -> None:
    _, a, b = scene()
    assert scd((a // 2 + b // 2)[None], (a // 2)[None], (b // 2)[None])[0] == pytest.approx(2, abs=1e-12)


def test_one_pixel_beside_a_copy_is_exact() -> None:
    """The difference F - B is a single pixel: nothing of it may be lost to cancellation."""
    _, a, b = scene()
    fused = b.copy()
    fused[30, 30] ^= 1
    for shift in (0.0, 0.5):  # whole grey levels, and the floating path
        images = [image * 0.9 + shift if shift else image for image in (fused, a, b)]
        assert scd(*(image[None] for image in images))[0] == pytest.approx(plainly(*images), rel=1e-9)


def test_a_copy_has_no_value() -> None:
    _, a, b = stacks(1)
    assert np.isnan(scd(b, a, b)[0])
    assert np.isnan(scd(b * 0.9 + 3.3, a * 0.9, b * 0.9)[0])
