"""Gradient transfer: the minimum against generic convex solvers, the parts against SciPy and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.fft import dctn
from scipy.optimize import linprog

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.classical.gtf import CosineSolver, divergence, gradient
from tests.models.classical.test_pyramids import fuse, pair

SPEC = ImageSpec(1, 8, 8, 2)
SHAPES = [(12, 15), (9, 8), (1, 7), (7, 1), (1, 1)]


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def step(height: int = 12, width: int = 15) -> torch.Tensor:
    """A noisy block (1,1,H,W): the minimiser is neither the image nor a constant."""
    f = 0.1 * image(1, 1, height, width)
    f[..., height // 4 : 3 * height // 4 + 1, width // 4 : 3 * width // 4 + 1] += 0.8
    return f


def identity(n: int) -> sp.dia_array:
    """SciPy has ``eye_array`` and ``diags_array`` from 1.12 on."""
    return sp.dia_array((np.ones((1, n)), [0]), shape=(n, n))


def differences(height: int, width: int) -> sp.csr_array:
    """Matrix of ∇, horizontal rows first, for images in row order."""

    def along(n: int) -> sp.dia_array:
        return sp.dia_array((np.outer((-1.0, 1.0), np.ones(n)), [0, 1]), shape=(n - 1, n))

    return sp.csr_array(sp.vstack((sp.kron(identity(height), along(width)), sp.kron(along(height), identity(width)))))


def least_by_linear_program(f: np.ndarray, weight: float) -> float:
    """Minimum of Σ|u − f| + λ Σ|∂u| by HiGHS: absolute values as slack variables."""
    n, steps = f.size, differences(*f.shape)
    m = steps.shape[0]
    cost = np.concatenate((np.zeros(n), np.ones(n), np.full(m, weight)))
    eye, none = identity(n), sp.csr_array((n, m))
    wide, slack = sp.csr_array((m, n)), identity(m)
    upper = sp.vstack(
        [
            sp.hstack([eye, -eye, none]),
            sp.hstack([-eye, -eye, none]),
            sp.hstack([steps, wide, -slack]),
            sp.hstack([-steps, wide, -slack]),
        ]
    )
    limits = np.concatenate((f.ravel(), -f.ravel(), np.zeros(2 * m)))
    found = linprog(cost, A_ub=upper, b_ub=limits, bounds=(None, None), method="highs")
    assert found.success
    return float(found.fun)


def least_by_cone_program(f: np.ndarray, weight: float) -> float:
    """The same with the length of (horizontal, vertical) by Clarabel: one second-order cone for each pixel."""
    clarabel = pytest.importorskip("clarabel")
    (height, width), n = f.shape, f.size
    across = sp.csr_array(differences(height, width)[: height * (width - 1)])
    down = sp.csr_array(differences(height, width)[height * (width - 1) :])
    place = np.arange(n).reshape(f.shape)
    full_across = sp.csr_array((n, n)).tolil()
    full_down = sp.csr_array((n, n)).tolil()
    full_across[place[:, :-1].ravel()] = across
    full_down[place[:-1].ravel()] = down
    eye, none = identity(n), sp.csr_array((n, n))
    cones = sp.vstack(
        [sp.hstack([none, none, -eye]), sp.hstack([-full_across, none, none]), sp.hstack([-full_down, none, none])]
    )
    cones = sp.csr_array(cones)[np.arange(3 * n).reshape(3, n).T.ravel()]  # (length, across, down) of every pixel
    matrix = sp.csc_matrix(sp.vstack([sp.hstack([eye, -eye, none]), sp.hstack([-eye, -eye, none]), cones]))
    limits = np.concatenate((f.ravel(), -f.ravel(), np.zeros(3 * n)))
    cost = np.concatenate((np.zeros(n), np.ones(n), np.full(n, weight)))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    kinds = [clarabel.NonnegativeConeT(2 * n)] + [clarabel.SecondOrderConeT(3)] * n
    found = clarabel.DefaultSolver(sp.csc_matrix((3 * n, 3 * n)), cost, matrix, limits, kinds, settings).solve()
    assert str(found.status) == "Solved"
    return float(found.obj_val)


@pytest.mark.parametrize("weight", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("norm", ["anisotropic", "isotropic"])
def test_minimum_against_a_generic_solver(norm: str, weight: float) -> None:
    f = step()
    model = create_model("gtf", SPEC, weight=weight, norm=norm, iterations=4000, tolerance=0)
    u, _ = model.solve(f)
    found = float(model.objective(u, f))
    oracle = least_by_linear_program if norm == "anisotropic" else least_by_cone_program
    expected = oracle(f[0, 0].numpy(), weight)
    assert expected * (1 - 1e-6) <= found <= expected * (1 + 1e-4)
    if weight < 4:  # a true compromise: less than that of the image itself and of its best constant
        constant = float(model.objective(torch.full_like(f, float(f.median())), f))
        assert found < 0.98 * min(float(model.objective(f, f)), constant)


@pytest.mark.parametrize("norm", ["anisotropic", "isotropic"])
def test_default_tolerance_is_near_the_minimum(norm: str) -> None:
    batch = pair(64, 80)
    a, b = batch.views[:, 0].double(), batch.views[:, 1].double()
    model = create_model("gtf", SPEC, norm=norm)
    u, taken = model.solve(a - b)
    best, _ = create_model("gtf", SPEC, norm=norm, tolerance=0, iterations=4000).solve(a - b)
    assert int(taken) < 300
    assert float(model.objective(u, a - b)) <= 1.01 * float(model.objective(best, a - b))


def test_steps_converge_to_one_minimum_whatever_the_penalties() -> None:
    f = step()
    reached = []
    for penalty, slope_penalty in ((10.0, 100.0), (2.0, 5.0)):
        model = create_model("gtf", SPEC, weight=1.0, tolerance=0, penalty=penalty, gradient_penalty=slope_penalty)
        errors = []
        for model.iterations in (10, 100, 1000):
            errors.append(float(model.objective(model.solve(f)[0], f)))
        assert errors[0] > errors[1] > errors[2] or errors[1] == pytest.approx(errors[2], rel=1e-5)
        reached.append(errors[-1])
    assert reached[0] == pytest.approx(reached[1], rel=1e-3)


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


def test_infrared_levels_and_visible_texture() -> None:
    """A warm block without texture and a visible texture without block: both are in the picture."""
    block = torch.full((1, 1, 60, 60), 0.3, dtype=torch.float64)
    block[..., 10:50, 10:50] = 0.7
    texture = 0.4 + 0.05 * torch.sin(torch.arange(60, dtype=torch.float64)).expand(1, 1, 60, 60)
    fused = create_model("gtf", SPEC).combine(block, texture)
    centre = fused[..., 20:40, 20:40]
    assert float(centre.mean()) == pytest.approx(0.7, abs=0.04) and float(centre.std()) > 0.03
    assert float(fused[..., :5, :].mean()) == pytest.approx(0.3, abs=0.04)


def test_members_of_a_batch_stop_on_their_own() -> None:
    f = torch.cat([step(20, 24), torch.zeros(1, 1, 20, 24, dtype=torch.float64), 0.3 * image(1, 1, 20, 24, seed=2)])
    model = create_model("gtf", SPEC, weight=1.0)
    together, taken = model.solve(f)
    alone = [model.solve(x) for x in f.split(1)]
    assert len(set(taken.tolist())) > 1
    assert taken.tolist() == [int(x[1]) for x in alone]
    assert together.numpy() == pytest.approx(torch.cat([x[0] for x in alone]).numpy(), abs=1e-12)


def test_two_equal_sources_come_back_to_the_last_bit() -> None:
    f = image(1, 1, 21, 18).clamp(0, 1)
    assert torch.equal(create_model("gtf", SPEC).combine(f, f), f)


def test_bad_parameters() -> None:
    with pytest.raises(UsageError, match="isotropic"):
        create_model("gtf", SPEC, norm="isotopic")
    for values in ({"weight": 0.0}, {"iterations": 0}, {"tolerance": -1.0}, {"penalty": 0.0}):
        with pytest.raises(UsageError, match="must be positive"):
            create_model("gtf", SPEC, **values)


def test_picture_stays_in_range() -> None:
    fused = fuse("gtf", pair())
    assert fused.min() >= 0 and fused.max() <= 1
