"""MSE against scikit-image, to 1e-12."""

from __future__ import annotations

import pytest
from skimage.metrics import mean_squared_error

from fusionbench.metrics.mse import mse, mse_target
from tests.metrics.scenes import stacks


@pytest.mark.parametrize("fraction", [0.0, 0.31])
def test_against_scikit_image(fraction: float) -> None:
    triples = [stack * (0.9 if fraction else 1) + fraction for stack in stacks()]
    for value, f, a, b in zip(mse(*triples), *triples, strict=True):
        assert value == pytest.approx((mean_squared_error(f, a) + mean_squared_error(f, b)) / 2, rel=1e-12)


def test_against_a_target() -> None:
    fused, target, _ = stacks()
    expected = [mean_squared_error(f, t) for f, t in zip(fused, target, strict=True)]
    assert mse_target(fused, target) == pytest.approx(expected, rel=1e-12)
    assert mse_target(fused, fused).tolist() == [0, 0, 0]


def test_unit_scale_and_zero() -> None:
    triples = stacks()
    assert mse(*triples, scale=1 / 255) == pytest.approx(mse(*triples) / 65025, rel=1e-12)
    assert mse(*(triples[:1] * 3)).tolist() == [0, 0, 0]


def test_the_average_is_the_minimum() -> None:
    _, a, b = (stack.astype(float) for stack in stacks(1))
    best = mse((a + b) / 2, a, b)
    assert best < mse((a + b) / 2 + 0.5, a, b) and best < mse(a, a, b)
