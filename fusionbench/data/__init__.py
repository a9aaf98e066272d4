"""Recipes, builds, shards and batches: from a source to what a model reads."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """What the module ``fusionbench.data`` of the first release had; see :mod:`fusionbench.core.renamed`."""
    import importlib

    from fusionbench.core.deprecation import deprecated

    dataset = None if name.startswith("__") else importlib.import_module("fusionbench.data.dataset")
    if dataset is None or not hasattr(dataset, name):
        raise AttributeError(f"module 'fusionbench.data' has no attribute {name!r}")
    deprecated(f"fusionbench.data.{name}", f"fusionbench.data.dataset.{name}", removed_in="0.3")
    return getattr(dataset, name)
