"""The public names: losing one is a decision, not an accident."""

from __future__ import annotations

import fusionbench

PUBLIC = {
    "Batch",
    "FusionbenchError",
    "Metric",
    "Result",
    "build_board",
    "build_dataset",
    "compare",
    "create_model",
    "evaluate",
    "fuse",
    "get_metric",
    "list_metrics",
    "list_models",
    "open_dataset",
    "open_pairs",
    "register_metric",
    "register_model",
    "score",
    "train",
}


def test_public_names_are_there_and_documented() -> None:
    assert set(fusionbench.__all__) == PUBLIC | {"__version__"}
    for name in PUBLIC:
        assert getattr(fusionbench, name).__doc__, f"{name} has no docstring"
    assert set(dir(fusionbench)) >= PUBLIC


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(fusionbench, "no_such_name")
