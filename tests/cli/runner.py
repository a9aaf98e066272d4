"""Run the command line as a user does, inside the test's process: exit code, stdout, stderr."""

from __future__ import annotations

import pytest

from fusionbench.cli import main
from fusionbench.core import progress


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``fusionbench ARGS``."""
    capsys.readouterr()
    try:
        main([str(arg) for arg in args])
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    finally:
        progress.QUIET = False
    captured = capsys.readouterr()
    return code, captured.out, captured.err
