"""Gradient transfer fusion: the grey values of the infrared image with the gradients of the visible one.

    min over x of  Σ|x − a| + λ Σ|∇x − ∇b|        a infrared, b visible

With u = x − b this is total variation with an ℓ1 data term, min Σ|u − (a − b)| + λ Σ|∇u|. By default it is solved by
the alternating direction method of multipliers: u is split into e = u − (a − b) and d = ∇u, whose proximal maps are
thresholds; the update of u is linear, (1 + c ∇ᵀ∇)u = r, and diagonal under the cosine transform, since differences
across the border are zero. ``solver="irn"`` is the authors' scheme, iteratively reweighted norms (Rodríguez, Wohlberg
2009), stopped after five loops, which is well before the minimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec, Preset
from fusionbench.models.classical.poisson import CosineSolver, divergence, gradient
from fusionbench.models.classical.pyramids import PairRow
from fusionbench.models.config import check_choice


class GradientTransfer(PairRow):
    """The minimiser of Σ|x − a| + λ Σ|∇x − ∇b|, cut to [0,1]. View 0 is the infrared image, view 1 the visible one.

    Pairs are solved in one batch, each until its own residuals converge, so that its result does not depend on the
    batch up to rounding.

    Args:
        weight: λ, 4 in the paper.
        norm: ``isotropic`` (paper): |∇| is the length of (horizontal, vertical); ``anisotropic``: the sum of both.
        iterations: maximum number of iterations.
        tolerance: a pair has converged when the root mean squares of its primal and its dual residual are below this,
            in grey values of [0,1]; 0 runs all iterations.
        penalty: ρ of the data term; it changes the speed, not the minimum.
        gradient_penalty: ρ of the gradient term, likewise.
        solver: ``admm`` goes to the minimum; ``irn`` does ``loops`` loops of iteratively reweighted norms from a − b,
            as the authors' code does, for which the other parameters but ``weight`` mean nothing.
        loops: of ``irn``, 5 in the authors' code.

    Raises:
        UsageError: values that are not positive, an unknown norm or solver, or ``irn`` with the anisotropic norm.

    Source: Ma, Chen, Li, Huang 2016; Boyd et al. 2011, section 3; Rodríguez, Wohlberg 2009, section II.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("gtf", ImageSpec(channels=1, height=16, width=4, views=2))
        >>> infrared, visible = torch.full((16, 4), 0.6), torch.tensor([0.4, 0.2, 0.2, 0.2]).expand(16, 4)
        >>> pair = torch.stack([infrared, visible])[None, :, None]
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> [round(value, 2) for value in fused[0, 0, 0].tolist()]  # the level of infrared, the edge of visible
        [0.8, 0.6, 0.6, 0.6]
    """

    title = "gradient transfer"
    reference = "Ma, Chen, Li, Huang 2016, Inf. Fusion 31, 100–109"
    family = "classical"
    bytes_per_pixel = 368
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "minimum": Preset(note="the minimum of the paper's sum, by ADMM"),
        "authors": Preset(model={"solver": "irn"}, note="stopped after five loops, as the authors' code is"),
        "default": Preset(note="the same as minimum"),
    }

    def __init__(
        self,
        spec: ImageSpec,
        weight: float = 4.0,
        norm: str = "isotropic",
        iterations: int = 300,
        tolerance: float = 1e-3,
        penalty: float = 10.0,
        gradient_penalty: float = 100.0,
        solver: str = "admm",
        loops: int = 5,
    ) -> None:
        super().__init__(spec)
        check_choice(self.title, norm=(norm, ("isotropic", "anisotropic")))
        check_choice(self.title, solver=(solver, ("admm", "irn")))
        if min(weight, penalty, gradient_penalty) <= 0 or min(iterations, loops) < 1 or tolerance < 0:
            raise UsageError(
                f"{self.title}: weight, iterations, loops and penalties must be positive, tolerance at least 0"
            )
        if solver == "irn" and norm != "isotropic":
            raise UsageError(f"{self.title}: solver=irn has the isotropic norm only; use solver=admm")
        self.solver, self.loops = solver, loops
        self.weight, self.norm, self.iterations, self.tolerance = weight, norm, iterations, tolerance
        self.penalty, self.gradient_penalty = penalty, gradient_penalty

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        if self.solver == "irn":
            return b + torch.cat([reweighted(f, self.weight, self.loops) for f in (a - b).split(1)])
        return b + self.solve(a - b)[0]

    def solve(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """The minimiser u of Σ|u − f| + λ Σ|∇u| for f (N,1,H,W), and the number of iterations (N,) that it took."""
        u, taken = f.clone(), torch.full((len(f),), self.iterations, device=f.device)
        left = torch.arange(len(f), device=f.device)
        ratio = self.gradient_penalty / self.penalty
        transform = CosineSolver(f, ratio, many=True)
        data, now = f, f.clone()
        e, e_dual = torch.zeros_like(f), torch.zeros_like(f)
        d = gradient(now)
        d_dual = torch.zeros_like(d)
        for step in range(1, self.iterations + 1):
            now = transform.solve(data + e - e_dual + ratio * divergence(d - d_dual))
            slope, off = gradient(now), now - data
            # over-relaxation: the usual 1.6 saves about a third of the steps
            mixed, mixed_off = 1.6 * slope - 0.6 * d, 1.6 * off - 0.6 * e
            d_before, e_before = d, e
            d = self.shrunk(mixed + d_dual)
            e = soft(mixed_off + e_dual, 1 / self.penalty)
            d_dual, e_dual = d_dual + mixed - d, e_dual + mixed_off - e
            if step % 10 == 0 and self.tolerance > 0:
                primal = (rms(slope - d) ** 2 + rms(off - e) ** 2).sqrt()
                dual = rms(ratio * divergence(d - d_before) + e - e_before)
                stay = torch.maximum(primal, dual) > self.tolerance
                if not bool(stay.all()):
                    u[left[~stay]], taken[left[~stay]] = now[~stay], step
                    left, data, now, e, e_dual, d, d_dual = (x[stay] for x in (left, data, now, e, e_dual, d, d_dual))
                    if not len(left):
                        return u, taken
        u[left] = now
        return u, taken

    def objective(self, u: Tensor, f: Tensor) -> Tensor:
        """Σ|u − f| + λ Σ|∇u| for each image, (N,)."""
        slope = gradient(u)
        size = slope.norm(dim=1) if self.norm == "isotropic" else slope.abs().sum(1)
        return (u - f).abs().flatten(1).sum(1) + self.weight * size.flatten(1).sum(1)

    def shrunk(self, slope: Tensor) -> Tensor:
        """Proximal map of λ/ρ |∇|."""
        threshold = self.weight / self.gradient_penalty
        if self.norm == "anisotropic":
            return soft(slope, threshold)
        length = slope.square().sum(1, keepdim=True).sqrt_()
        return slope * (1 - threshold / length.clamp_(min=threshold))


def reweighted(f: Tensor, weight: float, loops: int) -> Tensor:
    """u (1,1,H,W) after ``loops`` loops of iteratively reweighted norms for Σ|u − f| + λ Σ|∇u|, from u = f.

    A loop replaces every absolute value |x| by x²/|x| with the |x| of the loop before, floored where too small, and
    solves the linear system that follows by conjugate gradients until its residual is a fifth of what it was. With n
    the root of half the floored |u − f| and u = nv it is (1 + λ n ∇ᵀ 2/|∇u| ∇ n)v = f/n. A loop that finds the system
    solved ends the iteration.
    """
    u = f
    for _ in range(loops):
        off, length = (u - f).abs(), gradient(u).square().sum(1, keepdim=True)
        # nothing is off yet in the first loop: every pixel has the same weight
        flat_start = float(off.sum()) < 0.05 / off.numel()
        root = torch.full_like(f, 2 * 0.1**0.5) if flat_start else (off.clamp(min=_floor(off, 0.05, 1)) / 2).sqrt()
        slopes = 2 / length.clamp(min=_floor(length, 0.01, 0)).sqrt()
        known, v = f / root, u / root
        left = known - _reweighted_system(v, root, slopes, weight)
        size = float(left.norm())
        if size == 0.0:
            break
        direction, power = left, size**2
        for _ in range(500):
            turned = _reweighted_system(direction, root, slopes, weight)
            step = power / float((direction * turned).sum())
            v, left = v + step * direction, left - step * turned
            power, before = float(left.square().sum()), power
            if power**0.5 <= size / 5:
                break
            direction = left + power / before * direction
        u = root * v
    return u


def _reweighted_system(v: Tensor, root: Tensor, slopes: Tensor, weight: float) -> Tensor:
    return v + weight * root * divergence(slopes * gradient(root * v))


def _floor(x: Tensor, share: float, further: int) -> float:
    """The value that ``share`` of x, all at least 0, lies below: a bin of a histogram of 1000 from least to largest,
    or the one ``further`` on. Never 0: what is flat throughout gets the smallest normal number.
    """
    low, high = float(x.min()), float(x.max())
    width = (high - low) / 999
    if width <= 0:
        return max(high, torch.finfo(x.dtype).tiny)
    counts = torch.bincount(((x - low) / width).round().long().flatten(), minlength=1000)
    place = int((counts.cumsum(0) > share * x.numel()).int().argmax())
    value = low + width * min(place + further, 999)
    return value if value > 0 else low + width * min(place + 1, 999)


def soft(x: Tensor, threshold: float) -> Tensor:
    """Soft threshold: towards zero by ``threshold``, at most to zero."""
    return x - x.clamp(-threshold, threshold)


def rms(x: Tensor) -> Tensor:
    """Root mean square of each image, (N,)."""
    return x.flatten(1).square().mean(1).sqrt()
