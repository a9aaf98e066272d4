"""Pure integer functions that make the views: the same bits from NumPy and torch, on any device, for any batch split.

Nothing in here uses floating point after the draw, a random state, or anything else of fusionbench.
"""

from __future__ import annotations

from fusionbench.synth.augment import Augment
from fusionbench.synth.crops import CropFlip
from fusionbench.synth.cutouts import CannyCut
from fusionbench.synth.ellipses import Ellipses
from fusionbench.synth.masked import MaskedViews
from fusionbench.synth.noise import Noise
from fusionbench.synth.overlay import Overlays, OverlayViews

__all__ = ["Augment", "CannyCut", "CropFlip", "Ellipses", "MaskedViews", "Noise", "OverlayViews", "Overlays"]
