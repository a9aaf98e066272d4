"""Gradient transfer fusion: the grey values of the infrared image with the gradients of the visible one.

    min over x of  Σ|x − a| + λ Σ|∇x − ∇b|        a infrared, b visible

With u = x − b this is total variation with an ℓ1 data term, min Σ|u − (a − b)| + λ Σ|∇u|. It is solved by the
alternating direction method of multipliers: u is split into e = u − (a − b) and d = ∇u, whose proximal maps are
thresholds; the update of u is linear, (1 + c ∇ᵀ∇)u = r, and diagonal under the cosine transform, since differences
across the border are zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models.classical.pyramids import _PAPER, PairRow
from fusionbench.models.config import check_choice


class GradientTransfer(PairRow):
    """The minimiser of Σ|x − a| + λ Σ|∇x − ∇b|, cut to [0,1]. View 0 is the infrared image, view 1 the visible one.

    The paper minimises by iteratively reweighted least squares; the minimum is the same. Pairs are solved in one
    batch, each until its own residuals converge, so that its result does not depend on the batch up to rounding.

    Args:
        weight: λ, 4 in the paper.
        norm: ``isotropic`` (paper): |∇| is the length of (horizontal, vertical); ``anisotropic``: the sum of both.
        iterations: maximum number of iterations.
        tolerance: a pair has converged when the root mean squares of its primal and its dual residual are below this,
            in grey values of [0,1]; 0 runs all iterations.
        penalty: ρ of the data term; it changes the speed, not the minimum.
        gradient_penalty: ρ of the gradient term, likewise.

    Raises:
        UsageError: values that are not positive, or an unknown norm.

    Source: Ma, Chen, Li, Huang 2016; Boyd et al. 2011, section 3.

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
    PRESETS = _PAPER
    bytes_per_pixel = 368

    def __init__(
        self,
        spec: ImageSpec,
        weight: float = 4.0,
        norm: str = "isotropic",
        iterations: int = 300,
        tolerance: float = 1e-3,
        penalty: float = 10.0,
        gradient_penalty: float = 100.0,
    ) -> None:
        super().__init__(spec)
        check_choice(self.title, norm=(norm, ("isotropic", "anisotropic")))
        if min(weight, penalty, gradient_penalty) <= 0 or iterations < 1 or tolerance < 0:
            raise UsageError(f"{self.title}: weight, iterations and penalties must be positive, tolerance at least 0")
        self.weight, self.norm, self.iterations, self.tolerance = weight, norm, iterations, tolerance
        self.penalty, self.gradient_penalty = penalty, gradient_penalty

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return b + self.solve(a - b)[0]

    def solve(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """The minimiser u of Σ|u − f| + λ Σ|∇u| for f (N,1,H,W), and the number of iterations (N,) that it took."""
        u, taken = f.clone(), torch.full((len(f),), self.iterations, device=f.device)
        left = torch.arange(len(f), device=f.device)
        ratio = self.gradient_penalty / self.penalty
        transform = CosineSolver(f, ratio)
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


class CosineSolver:
    """Solves (1 + ratio ∇ᵀ∇)u = r for images of the size of ``like``.

    The cosine transform of n values is the Fourier transform of the even entries followed by the odd ones reversed,
    times a phase (Makhoul 1980).
    """

    def __init__(self, like: Tensor, ratio: float) -> None:
        eigen, self.order, self.back, self.phase = [], [], [], []
        for n in like.shape[-2:]:
            place = torch.arange(n, device=like.device)
            order = torch.cat((place[::2], place[1::2].flip(0)))
            angle = math.pi * place.to(like) / (2 * n)
            eigen.append(2 - 2 * torch.cos(2 * angle))
            self.order.append(order)
            self.back.append(order.argsort())
            self.phase.append(torch.polar(torch.ones_like(angle), -angle))
        self.scale = 1 / (1 + ratio * (eigen[0][:, None] + eigen[1]))

    def solve(self, r: Tensor) -> Tensor:
        """u of (N,1,H,W) for r of the same shape."""
        r = r.index_select(-2, self.order[0]).index_select(-1, self.order[1])
        r = self.cosine(self.cosine(r, -1).transpose(-1, -2), -2).transpose(-1, -2)
        r = self.inverse(self.inverse((r * self.scale).transpose(-1, -2), -2).transpose(-1, -2), -1)
        return r.index_select(-2, self.back[0]).index_select(-1, self.back[1])

    def cosine(self, x: Tensor, axis: int) -> Tensor:
        """Cosine transform along the last dimension, of values in the turned order; ``axis`` of the image."""
        n = x.shape[-1]
        half = torch.fft.rfft(x) * self.phase[axis][: n // 2 + 1]
        # the spectrum of real values: the upper half of the transform is minus the imaginary part, backwards
        return torch.cat((half.real, -half.imag[..., 1 : (n + 1) // 2].flip(-1)), -1)

    def inverse(self, x: Tensor, axis: int) -> Tensor:
        """Inverse of :meth:`cosine`."""
        n = x.shape[-1]
        mirrored = torch.cat((torch.zeros_like(x[..., :1]), x[..., 1:].flip(-1)), -1)
        half = torch.complex(x, -mirrored)[..., : n // 2 + 1] * self.phase[axis][: n // 2 + 1].conj()
        result: Tensor = torch.fft.irfft(half, n)
        return result


def gradient(u: Tensor) -> Tensor:
    """Forward differences (N,2,H,W) of (N,1,H,W), horizontal and vertical, zero across the border."""
    slope = u.new_zeros(len(u), 2, *u.shape[-2:])
    torch.sub(u[:, 0, :, 1:], u[:, 0, :, :-1], out=slope[:, 0, :, :-1])
    torch.sub(u[:, 0, 1:], u[:, 0, :-1], out=slope[:, 1, :-1])
    return slope


def divergence(slope: Tensor) -> Tensor:
    """∇ᵀ of (N,2,H,W): the adjoint of :func:`gradient` (minus what is usually called divergence)."""
    across, down = slope[:, :1], slope[:, 1:]
    u = torch.zeros_like(across)
    u[..., :, 1:] += across[..., :, :-1]
    u[..., :, :-1] -= across[..., :, :-1]
    u[..., 1:, :] += down[..., :-1, :]
    u[..., :-1, :] -= down[..., :-1, :]
    return u


def soft(x: Tensor, threshold: float) -> Tensor:
    """Soft threshold: towards zero by ``threshold``, at most to zero."""
    return x - x.clamp(-threshold, threshold)


def rms(x: Tensor) -> Tensor:
    """Root mean square of each image, (N,)."""
    return x.flatten(1).square().mean(1).sqrt()
