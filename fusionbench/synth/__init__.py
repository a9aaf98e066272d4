"""Pure integer functions that make the views: the same bits from NumPy and torch, on any device, for any batch split.

Nothing in here uses floating point after the draw, a random state, or anything else of fusionbench.
"""

from __future__ import annotations

from fusionbench.synth.ellipses import Ellipses
from fusionbench.synth.masked import MaskedViews
from fusionbench.synth.noise import Noise

__all__ = ["Ellipses", "MaskedViews", "Noise"]
