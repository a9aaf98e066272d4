"""Discrete gradient, its adjoint, and the screened Poisson equation (1 + ratio ∇ᵀ∇)u = r by one cosine transform.

Differences across the border are zero, so that ∇ᵀ∇ is diagonal under the cosine transform: gradient transfer uses it
for its linear step, gradient-domain fusion for its whole result.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class CosineSolver:
    """Solves (1 + ratio ∇ᵀ∇)u = r for images of the size of ``like``.

    The cosine transform of n values is the Fourier transform of the even entries followed by the odd ones reversed,
    times a phase (Makhoul 1980). ``many``: SciPy's transforms on a CPU, where no gradient is wanted; they take less
    than half the time, and a quarter of a second to import, so that a single solution does not gain.
    """

    def __init__(self, like: Tensor, ratio: float, many: bool = False) -> None:
        self.many = many
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
        if self.many and r.device.type == "cpu" and not r.requires_grad:
            return self._solve_by_scipy(r)
        return self._solve_by_fourier(r)

    def _solve_by_scipy(self, r: Tensor) -> Tensor:
        from scipy.fft import dctn, idctn

        settings: dict[str, Any] = {"axes": (-2, -1), "workers": torch.get_num_threads()}
        # the lengths that SciPy divides by cancel between both ways
        scaled = dctn(r.numpy(), **settings)
        scaled *= self.scale.numpy()
        return torch.from_numpy(idctn(scaled, overwrite_x=True, **settings))

    def _solve_by_fourier(self, r: Tensor) -> Tensor:
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
