"""Pure integer functions that generate the views: bit-identical in NumPy and torch, on any device, for any batching.

Nothing here uses floating point after the draw or a random state; of fusionbench only errors, notes and the registry
are imported.
Where numba is installed (extra ``fast``) it compiles the loops, with the same bits: :mod:`fusionbench.synth.kernel`.
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
