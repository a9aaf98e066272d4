"""The discrete gradient, its adjoint and the screened Poisson solver against sparse matrices and SciPy's transform."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.fft import dctn

from fusionbench.models.classical.poisson import CosineSolver, divergence, gradient

SHAPES = [(12, 15), (9, 8), (1, 7), (7, 1), (1, 1)]


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def identity(n: int) -> sp.dia_array:
    """SciPy has ``eye_array`` and ``diags_array`` from 1.12 on."""
    return sp.dia_array((np.ones((1, n)), [0]), shape=(n, n))


def differences(height: int, width: int) -> sp.csr_array:
    """Matrix of ∇, horizontal rows first, for images in row order."""

    def along(n: int) -> sp.dia_array:
        return sp.dia_array((np.outer((-1.0, 1.0), np.ones(n)), [0, 1]), shape=(n - 1, n))

    return sp.csr_array(sp.vstack((sp.kron(identity(height), along(width)), sp.kron(along(height), identity(width)))))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_and_its_adjoint_are_the_matrix_of_differences(shape: tuple[int, int]) -> None:
    u, slope = image(1, 1, *shape), image(1, 2, *shape, seed=1)
    matrix = differences(*shape)
    found = gradient(u)[0].numpy()
    assert np.concatenate((found[0, :, :-1].ravel(), found[1, :-1].ravel())) == pytest.approx(
        matrix @ u.numpy().ravel()
    )
    inside = np.concatenate((slope[0, 0, :, :-1].ravel(), slope[0, 1, :-1].ravel()))
    assert divergence(slope)[0, 0].numpy().ravel() == pytest.approx(matrix.T @ inside, abs=1e-14)
    assert not found[0, :, -1].any() and not found[1, -1].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_step_against_its_matrix_and_scipys_transform(shape: tuple[int, int]) -> None:
    r = image(2, 1, *shape)
    solver = CosineSolver(r, 7.0)
    matrix = differences(*shape)
    dense = np.eye(r[0].numel()) + 7.0 * (matrix.T @ matrix).toarray()
    expected = np.linalg.solve(dense, r.numpy().reshape(2, -1).T).T.reshape(r.shape)
    assert solver.solve(r).numpy() == pytest.approx(expected, abs=1e-12)
    along = r.index_select(-1, solver.order[1])
    assert 2 * solver.cosine(along, -1).numpy() == pytest.approx(dctn(r.numpy(), axes=(-1,)), abs=1e-12)
