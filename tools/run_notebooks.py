"""Run the notebooks of docs/notebooks and store what they show: ``python tools/run_notebooks.py [NAME ...]``.

They run in an empty folder with the data that come with fusionbench, so that everybody gets the same outputs. What
changes from run to run (times, counts of executions) is not stored. Needs nbclient and ipykernel, of the extra ``dev``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"


def run_notebook(path: Path, folder: Path, variables: dict[str, str] | None = None) -> Any:
    """The notebook with the outputs of a run from top to bottom, in one new kernel that works in ``folder``.

    Args:
        variables: of the environment, beside those that keep the run apart from the user's settings.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder / ".ipython"), "MPLCONFIGDIR": str(folder)}
    own |= {"JUPYTER_RUNTIME_DIR": str(folder / ".runtime")} | {"FUSIONBENCH_DATA": ""} | (variables or {})
    manager = AsyncKernelManager()  # on ports of this machine; every message is signed with a key of this run
    # this Python, and no installed kernel of the same name
    manager.kernel_spec.argv = [
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--log-level=ERROR",
    ]
    client = NotebookClient(notebook, km=manager, timeout=300, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute(env={**os.environ, **own})
    finally:
        run_sync(manager.shutdown_kernel)(now=True)  # which nbclient leaves to who made it
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if not _is_bar(output)]
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = None
                if "metadata" in output:
                    output.metadata.clear()
    return notebook


def _is_bar(output: Any) -> bool:
    return str(output.get("data", {}).get("text/html", "")).startswith("<progress")


def main(names: list[str]) -> None:
    """Run the notebooks that are named, or all, and write them with their outputs."""
    import nbformat

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not names or path.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                notebook = run_notebook(path, Path(folder))
            nbformat.write(notebook, path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
