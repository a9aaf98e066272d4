"""fusionbench: deterministic data sets, exact metrics and fair comparisons for image fusion.

Public names are imported on first use, so that ``import fusionbench`` stays cheap
(no torch, under 0.3 s).
"""

from __future__ import annotations

import importlib
from typing import Any

from fusionbench.core.renamed import install

__version__ = "0.1.0"

_PUBLIC = {
    "Batch": "fusionbench.core.types",
    "Metric": "fusionbench.core.types",
    "FusionbenchError": "fusionbench.core.errors",
    "build_dataset": "fusionbench.data.build",
    "open_dataset": "fusionbench.data.dataset",
    "open_pairs": "fusionbench.evaluation.pair_sets",
    "create_model": "fusionbench.models",
    "list_models": "fusionbench.models",
    "register_model": "fusionbench.models",
    "get_metric": "fusionbench.metrics",
    "list_metrics": "fusionbench.metrics",
    "register_metric": "fusionbench.metrics",
    "train": "fusionbench.training.loop",
    "evaluate": "fusionbench.evaluation.evaluate",
    "fuse": "fusionbench.evaluation.fusing.fuse",
    "Result": "fusionbench.results.schema",
    "build_board": "fusionbench.board",
    "compare": "fusionbench.results.compare",
    "score": "fusionbench.evaluation.score_images",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


install()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fusionbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
