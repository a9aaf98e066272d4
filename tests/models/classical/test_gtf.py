"""Gradient transfer: the minimum against generic convex solvers, the authors' loops against sparse matrices."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.optimize import linprog
from scipy.sparse.linalg import cg

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.classical.gtf import reweighted
from tests.models.classical.test_poisson import differences, identity, image
from tests.models.classical.test_pyramids import fuse, pair

SPEC = ImageSpec(1, 8, 8, 2)
RELATIVE = "rtol" if "rtol" in inspect.signature(cg).parameters else "tol"  # its name before SciPy 1.12


def step(height: int = 12, width: int = 15) -> torch.Tensor:
    """A noisy block (1,1,H,W): the minimiser is neither the image nor a constant."""
    f = 0.1 * image(1, 1, height, width)
    f[..., height // 4 : 3 * height // 4 + 1, width // 4 : 3 * width // 4 + 1] += 0.8
    return f


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


def least_of_share(x: np.ndarray, share: float, further: int) -> float:
    """The bin of a histogram, centres from least to largest, where more than ``share`` has gone by, or one further."""
    centres = np.linspace(x.min(), x.max(), 1000)
    middles = (centres[1:] + centres[:-1]) / 2
    counts = np.histogram(x, np.concatenate(([-np.inf], middles, [np.inf])))[0]
    place = int(np.flatnonzero(np.cumsum(counts) > share * x.size)[0])
    return float(centres[place + further] if further or centres[place] > 0 else centres[place + 1])


def loops_by_matrices(f: np.ndarray, weight: float, loops: int) -> np.ndarray:
    """Iteratively reweighted norms with sparse matrices and SciPy's conjugate gradients."""
    (height, width), data = f.shape, f.ravel()
    steps = differences(height, width)
    across = np.zeros((height, width), bool)
    across[:, :-1] = True
    down = np.zeros((height, width), bool)
    down[:-1] = True
    owner = np.concatenate((np.flatnonzero(across), np.flatnonzero(down)))  # the pixel of each difference
    u = data
    for _ in range(loops):
        squared = np.bincount(owner, (steps @ u) ** 2, minlength=data.size)
        slopes = 2 / np.sqrt(np.maximum(squared, least_of_share(squared, 0.01, 0)))
        off = np.abs(u - data)
        root = np.full(data.size, 2 * 0.1**0.5)
        if off.any():
            root = np.sqrt(np.maximum(off, least_of_share(off, 0.05, 1)) / 2)
        n = sp.diags(root)
        system = identity(data.size) + weight * (n @ steps.T @ sp.diags(slopes[owner]) @ steps @ n)
        known, v = data / root, u / root
        begun = float(np.linalg.norm(known - system @ v))
        v, info = cg(system, known, x0=v, atol=begun / 5, **{RELATIVE: 0.0})
        assert info == 0
        u = root * v
    return u.reshape(f.shape)


def test_loops_of_the_authors_against_matrices() -> None:
    f = step(20, 24) + 0.05 * image(1, 1, 20, 24, seed=3)
    for loops in (1, 2, 5):
        found = reweighted(f, 4.0, loops)[0, 0].numpy()
        assert found == pytest.approx(loops_by_matrices(f[0, 0].numpy(), 4.0, loops), abs=1e-9)
    assert np.abs(found - f[0, 0].numpy()).max() > 0.1


def test_more_loops_of_the_authors_come_nearer_to_the_minimum() -> None:
    f = step(24, 30)
    model = create_model("gtf", SPEC, weight=1.0, iterations=2000, tolerance=0)
    least = float(model.objective(model.solve(f)[0], f))
    above = [float(model.objective(reweighted(f, 1.0, loops), f)) / least - 1 for loops in (1, 5, 40)]
    assert above[0] > above[1] > above[2] > 0 and above[2] < 0.25 * above[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (6, 5)])
def test_authors_at_any_size_on_flat_and_equal_images(shape: tuple[int, int]) -> None:
    model = create_model("gtf", SPEC, preset="authors")
    a, b = image(2, 1, *shape).abs().clamp(0, 1), image(2, 1, *shape, seed=1).abs().clamp(0, 1)
    fused = model.combine(a, b)
    assert torch.isfinite(fused).all()
    assert torch.equal(fused, torch.cat([model.combine(*x) for x in zip(a.split(1), b.split(1), strict=True)]))
    assert model.combine(a, a).numpy() == pytest.approx(a.numpy(), abs=1e-15)
    flat = torch.full_like(a, 0.25)
    assert model.combine(flat, 2 * flat).numpy() == pytest.approx(flat.numpy(), abs=1e-12)  # infrared's level


def test_authors_published_images() -> None:
    """What the authors' code made of TNO, to a few grey levels; the minimum is further away."""
    root = os.environ.get("FUSIONBENCH_DATA")
    published = Path(root or "") / "fused" / "GTF" / "tno"
    if not root or not published.is_dir():
        pytest.skip("needs FUSIONBENCH_DATA with fused/GTF/tno")
    from PIL import Image

    from fusionbench.evaluation.pair_sets import open_pairs
    from fusionbench.evaluation.pairs import fuse_pair

    pairs = open_pairs("tno", "test", Path(root) / "tno")
    index = pairs.stems.index("13")
    theirs = np.asarray(Image.open(published / "13.png").convert("L")).astype(float)
    apart = {}
    for preset in ("authors", "minimum"):
        ours = fuse_pair(create_model("gtf", SPEC, preset=preset), pairs.pair(index), index)
        apart[preset] = np.abs(ours - theirs).mean()
    assert apart["authors"] < 1.0 < apart["minimum"]


def test_bad_parameters() -> None:
    with pytest.raises(UsageError, match="isotropic"):
        create_model("gtf", SPEC, norm="isotopic")
    with pytest.raises(UsageError, match="irn"):
        create_model("gtf", SPEC, solver="irm")
    with pytest.raises(UsageError, match="isotropic norm only"):
        create_model("gtf", SPEC, solver="irn", norm="anisotropic")
    for values in ({"weight": 0.0}, {"iterations": 0}, {"tolerance": -1.0}, {"penalty": 0.0}, {"loops": 0}):
        with pytest.raises(UsageError, match="must be positive"):
            create_model("gtf", SPEC, **values)


def test_picture_stays_in_range() -> None:
    fused = fuse("gtf", pair())
    assert fused.min() >= 0 and fused.max() <= 1
