"""Edge images for attention: the gradient magnitude, thickened by a 2×2 maximum.

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
