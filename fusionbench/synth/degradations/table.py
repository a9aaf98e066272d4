"""The table of families of degradations, in the order of sheets and tables."""

from __future__ import annotations

from fusionbench.core.registry import Registry
from fusionbench.synth.degradations.base import Degradation

_MODULES = {
    "shift/1": "shift",
    "gaussian-noise/1": "gaussian_noise",
}

DEGRADATIONS: Registry[Degradation] = Registry(
    "degradation",
    "fusionbench.degradations",
    {name: f"fusionbench.synth.degradations.{module}:DEGRADATION" for name, module in _MODULES.items()},
    accepts=lambda found: isinstance(found, Degradation),
    see="fusionbench list degradations",
)
FAMILIES = tuple(_MODULES)
