"""What an import costs, told by the modules that it loads; times are not asserted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "h5py", "matplotlib", "skimage", "sklearn", "scipy", "cv2", "lightning", "jinja2", "PIL"}


def loaded(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after running ``code``."""
    names = "sorted({name.partition('.')[0] for name in sys.modules})"
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps({names}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import fusionbench",
        "import fusionbench; fusionbench.list_models(); fusionbench.list_metrics()",
        "from fusionbench.cli import cli\ntry: cli.main(['--version'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert not loaded(code) & HEAVY


def test_help_needs_no_torch() -> None:
    """``fusionbench --help`` and the help of every verb."""
    code = """
from fusionbench.cli import VERBS, main
for args in (['--help'], *([verb, '--help'] for verb in VERBS)):
    try: main(args)
    except SystemExit as leaving: assert not leaving.code, args
"""
    assert not loaded(code) & (HEAVY - {"numpy"})
