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


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_step_against_its_matrix_and_scipys_transform(shape: tuple[int, int], many: bool) -> None:
    r = image(2, 1, *shape)
    solver = CosineSolver(r, 7.0, many)
    matrix = differences(*shape)
    dense = np.eye(r[0].numel()) + 7.0 * (matrix.T @ matrix).toarray()
    expected = np.linalg.solve(dense, r.numpy().reshape(2, -1).T).T.reshape(r.shape)
    assert solver.solve(r).numpy() == pytest.approx(expected, abs=1e-12)
    along = r.index_select(-1, solver.order[1])
    assert 2 * solver.cosine(along, -1).numpy() == pytest.approx(dctn(r.numpy(), axes=(-1,)), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_agree_and_many_solutions_leave_the_input_alone(dtype: torch.dtype) -> None:
    r = image(3, 1, 31, 44).to(dtype)
    before = r.clone()
    one, many = CosineSolver(r, 2.5).solve(r), CosineSolver(r, 2.5, many=True).solve(r)
    assert many.dtype == one.dtype == dtype and torch.equal(r, before)
    assert many.numpy() == pytest.approx(one.numpy(), abs=1e-6 if dtype == torch.float32 else 1e-14)
    single = torch.cat([CosineSolver(r, 2.5, many=True).solve(x[None]) for x in r])
    assert torch.equal(single, many)  # an image does not depend on its batch


def test_gradients_pass_through_both_ways() -> None:
    r = image(1, 1, 6, 9).requires_grad_()
    weights, gradients = image(1, 1, 6, 9, seed=3), []
    for many in (False, True):
        (CosineSolver(r.detach(), 2.0, many).solve(r) * weights).sum().backward()
        gradients.append(r.grad)
        r.grad = None
    assert torch.equal(*gradients)
    # the system is symmetric: its gradient is the solution for the weights
    assert gradients[0].numpy() == pytest.approx(CosineSolver(weights, 2.0).solve(weights).numpy(), abs=1e-14)
