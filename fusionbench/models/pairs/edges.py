"""Edge images for attention: the gradient magnitude, thickened by a maximum over neighbours.

Reference: MFEIF (Liu et al., "Learning a Deep Multi-Scale Feature Ensemble and an Edge-Attention Guidance for Image
Fusion", IEEE TCSVT 2022), eqs. 1–2, read as per-pixel maps: the sum printed in eq. 1 is their total.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def edge_image(image: Tensor) -> Tensor:
    """Edges of (N,C,H,W) images: (N,C,H,W), non-negative, at most √2 times the image's range.

    G = √((u[i,j] − u[i,j+1])² + (u[i,j] − u[i+1,j])²) with zero difference across the border, then the maximum of
    G over (i..i+1, j..j+1) with the last row and column repeated.
    """
    padded = F.pad(image, (0, 1, 0, 1), mode="replicate")
    right = padded[..., :-1, 1:] - image
    below = padded[..., 1:, :-1] - image
    gradient = (right.square() + below.square()).sqrt()
    return F.max_pool2d(F.pad(gradient, (0, 1, 0, 1), mode="replicate"), 2, stride=1)


def central_edge_image(image: Tensor) -> Tensor:
    """Edges of (N,C,H,W) images as MFEIF's public code takes them: (N,C,H,W), non-negative.

    The magnitude of central differences, halved, with the image's edge repeated, then its maximum over 3×3 pixels.
    """
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return F.max_pool2d((across.square() + down.square()).sqrt(), 3, stride=1, padding=1)


EDGES = {"forward": edge_image, "central": central_edge_image}
