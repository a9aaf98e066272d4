"""DDFM: the diffusion by its closed forms, the EM step by a plain solver, and that sampling follows both sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.models.classical.poisson import CosineSolver
from fusionbench.models.pairs.ddfm import DDFM
from tests.helpers.pairs import learn, pair_batch, smallest


def test_the_noise_is_that_of_the_diffusion() -> None:
    """ᾱ of 1,000 steps from 1e-4 to 0.02 by a plain product; fewer steps end in as little of the image."""
    kept, product = smallest(DDFM, timesteps=1000, steps=2).kept, 1.0
    for step in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * step / 999)
    assert float(kept[0]) == 1 and float(kept[-1]) == pytest.approx(product, rel=1e-4)
    assert float(smallest(DDFM, timesteps=100, steps=2).kept[-1]) == pytest.approx(product, abs=2e-4)


def test_an_em_step_by_dense_linear_algebra() -> None:
    """Oracle: the matrices of ∇ written out, NumPy's solver, the formulas pixel by pixel."""
    height, width, rng = 4, 5, np.random.default_rng(0)
    a, b, f = (rng.uniform(-1, 1, height * width) for _ in range(3))
    slopes, (scale_a, scale_b) = rng.normal(size=2 * height * width), (0.7, 1.3)
    across, down = np.zeros((2, height * width, height * width))
    for row in range(height):
        for column in range(width):
            at = row * width + column
            if column + 1 < width:
                across[at, at], across[at, at + 1] = -1, 1
            if row + 1 < height:
                down[at, at], down[at, at + width] = -1, 1
    nabla = np.concatenate((across, down))
    x, y = f - b, a - b
    weight_a = np.sqrt(2 / scale_a) / (np.abs(y - x) + 1e-6)
    weight_b = np.minimum(np.sqrt(2 / scale_b / (x**2 + 1e-6)), 2 * weight_a)
    h = np.linalg.solve(np.eye(height * width) + nabla.T @ nabla, y - x + nabla.T @ slopes)
    wanted = b + (2 * weight_a * y + 0.01 * (y - h)) / (2 * weight_a + 2 * weight_b + 0.01)

    def shaped(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.reshape(1, -1, height, width))

    model, state = smallest(DDFM), DDFM.first_state(shaped(a))
    state.slopes, state.scale_a, state.scale_b = shaped(slopes), state.scale_a * scale_a, state.scale_b * scale_b
    made, after = model.em_step(shaped(f), shaped(a), shaped(b), state, CosineSolver(shaped(a), 1.0))  # type: ignore[operator]
    np.testing.assert_allclose(made.numpy().ravel(), wanted, atol=1e-10)
    np.testing.assert_allclose(after.slopes.numpy().ravel(), 0.01 / 1.01 * (nabla @ h), atol=1e-10)
    assert float(after.scale_a) == pytest.approx(np.mean(1 / weight_a + scale_a / 2))
    other = smallest(DDFM, result="a-x").em_step(shaped(f), shaped(a), shaped(b), state, CosineSolver(shaped(a), 1.0))[
        0
    ]  # type: ignore[operator]
    np.testing.assert_allclose(other.numpy().ravel(), a - (wanted - b), atol=1e-10)


def test_what_both_sources_agree_on_is_kept() -> None:
    """Where a equals b, x and y are 0 and the fused image is that image, whatever the denoiser says."""
    image = pair_batch(1, 12, 12).views[:, 1]
    with torch.no_grad():
        torch.testing.assert_close(smallest(DDFM).combine(image, image), image, atol=0.02, rtol=0)


def test_another_draw_is_another_image_and_the_same_draw_the_same() -> None:
    batch = pair_batch(1, 12, 12)
    one, again, other = (smallest(DDFM, draw=draw).fuse(batch) for draw in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_the_denoiser_learns() -> None:
    history = learn(smallest(DDFM), pair_batch(4, 12, 12), 40, 5e-3)
    first, last = (np.mean([step["noise"] for step in part]) for part in (history[:8], history[-8:]))
    assert last < 0.7 * first


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"denoiser": "unett"}, "Unknown denoiser of ddfm 'unett'"),
        ({"result": "x"}, "Unknown result of ddfm"),
        ({"widths": []}, "widths is empty"),
        ({"timesteps": 5, "steps": 6}, "cannot take more than all"),
        ({"penalty": 0.0}, "must be positive"),
    ],
)
def test_wrong_parameters(parameters: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(DDFM, **parameters)
