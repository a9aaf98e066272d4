"""fusionbench: deterministic data sets, exact metrics and fair comparisons for image fusion.

Public names are imported on first use, so that ``import fusionbench`` stays cheap
(no torch, under 0.3 s).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Batch": "fusionbench.contracts",
    "Metric": "fusionbench.contracts",
    "FusionbenchError": "fusionbench.errors",
    "build_dataset": "fusionbench.build",
    "open_dataset": "fusionbench.data",
    "create_model": "fusionbench.models",
    "list_models": "fusionbench.models",
    "register_model": "fusionbench.models",
    "get_metric": "fusionbench.metrics",
    "list_metrics": "fusionbench.metrics",
    "register_metric": "fusionbench.metrics",
    "train": "fusionbench.train",
    "evaluate": "fusionbench.evaluate",
    "Result": "fusionbench.result",
    "build_board": "fusionbench.board",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


class _CallableModule(ModuleType):
    """A module that calls its function of the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Package(ModuleType):
    """This package. Importing ``fusionbench.train`` binds the module to the name of the function; it can be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PUBLIC and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fusionbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
