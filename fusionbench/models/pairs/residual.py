"""Residual convolution blocks that keep the resolution.

Reference: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (the basic block of ResNet-18).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """x + BN(conv3×3(ReLU(BN(conv3×3(x))))), then ReLU: (N,C,H,W) → (N,C,H,W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(x + y)
