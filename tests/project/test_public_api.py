"""The public names: losing one is a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys

import fusionbench

PUBLIC = {
    "Batch",
    "FusionbenchError",
    "Metric",
    "Result",
    "build_board",
    "build_dataset",
    "create_model",
    "evaluate",
    "get_metric",
    "list_metrics",
    "list_models",
    "open_dataset",
    "register_metric",
    "register_model",
    "train",
}


def test_public_names_are_there_and_documented() -> None:
    assert set(fusionbench.__all__) == PUBLIC | {"__version__"}
    for name in PUBLIC:
        assert getattr(fusionbench, name).__doc__, f"{name} has no docstring"
    assert set(dir(fusionbench)) >= PUBLIC


def test_functions_are_callable_when_modules_of_their_name_were_imported_first() -> None:
    code = """
import fusionbench.evaluation.masked, fusionbench.training.loop
from fusionbench import FusionbenchError
from fusionbench.evaluation import masked as evaluate
from fusionbench.training import loop as train
for call in (lambda: train("no such model", None, out="."), lambda: evaluate(None, None, precision="half")):
    try:
        call()
    except FusionbenchError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Unknown model" in done.stdout and "Unknown precision" in done.stdout, done.stderr


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(fusionbench, "no_such_name")
