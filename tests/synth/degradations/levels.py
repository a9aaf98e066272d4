"""Views at a level of a family, for the tests of families."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from fusionbench.synth.degradations import DEGRADATIONS, Degraded
from fusionbench.synth.degradations.base import Level
from fusionbench.synth.degradations.draws import Draws
from fusionbench.synth.degradations.run import degrade_by
from fusionbench.synth.random import stream_key


def at_level(family: str, views: np.ndarray, level: Level) -> Degraded:
    """Samples 0, 1, … at a level of a family."""
    draws = Draws(stream_key(family, "made", "all", 0), np.arange(len(views)), 0, views)
    return degrade_by(DEGRADATIONS.get(family), level, views, range(views.shape[1]), draws)


def flat(grey: int, count: int = 4, side: int = 64) -> np.ndarray:
    return np.full((count, 2, side, side), grey, np.uint8)


def textured(count: int, height: int, width: int) -> np.ndarray:
    rough = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(count, 2, height, width)), (0, 0, 1.5, 1.5))
    return np.clip(128 + 300 * rough, 0, 255).astype(np.uint8)
