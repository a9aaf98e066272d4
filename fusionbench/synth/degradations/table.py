"""The table of families of degradations, in the order of sheets and tables."""

from __future__ import annotations

from fusionbench.core.registry import Registry
from fusionbench.synth.degradations.base import Degradation

_MODULES = {
    "shift/1": "shift",
    "affine/1": "affine",
    "flow/1": "flow",
    "gaussian-noise/1": "gaussian_noise",
    "poisson/1": "poisson",
    "fixed-pattern/1": "fixed_pattern",
    "drift/1": "drift",
    "blur/1": "blur",
    "lowlight/1": "lowlight",
    "haze/1": "haze",
    "rain/1": "rain",
    "block/1": "block",
    "occlude/1": "occlude",
    "occlude/2": "occlude_cutouts",
    "drop/1": "drop",
}

DEGRADATIONS: Registry[Degradation] = Registry(
    "degradation",
    "fusionbench.degradations",
    {name: f"fusionbench.synth.degradations.{module}:DEGRADATION" for name, module in _MODULES.items()},
    accepts=lambda found: isinstance(found, Degradation),
    see="fusionbench list degradations",
)
FAMILIES = tuple(_MODULES)
