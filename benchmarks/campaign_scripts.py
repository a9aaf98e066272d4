"""The scripts in ``perf/`` that ``gpu_campaign.py`` runs: as a module, or for what they print."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import runpy
import sys
from pathlib import Path
from typing import Any


def load_script(path: Path) -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed_by(script: Path, arguments: list[str]) -> str:
    """What a script prints when it is started with these arguments."""
    output, old = io.StringIO(), sys.argv
    try:
        sys.argv = [str(script), *arguments]
        with contextlib.redirect_stdout(output):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = old
    return output.getvalue()
