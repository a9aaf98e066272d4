"""The notebooks of the documentation run from top to bottom on a new machine, and show what is stored in them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LACKING = [name for name in ("nbclient", "ipykernel", "nbformat") if importlib.util.find_spec(name) is None]
needs_kernel = pytest.mark.skipif(bool(LACKING), reason=f"the extra `dev` is not installed: no {', '.join(LACKING)}")
MOST_BYTES = 300_000


def load_tool() -> Any:
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "tools" / "run_notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(notebook: Any) -> list[list[str]]:
    """What the cells show as text, without numbers that depend on the machine: rounding, and what was trained."""
    found = []
    for cell in notebook["cells"]:
        shown = []
        for output in cell.get("outputs", []):
            text = output.get("text", output.get("data", {}).get("text/plain", ""))
            text = text if isinstance(text, str) else "".join(text)
            shown.append(re.sub(r"-?\d+\.\d+", "#", re.sub(r"id [0-9a-f]{12}", "id #", text)))
        found.append(shown)
    return found


@needs_kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_run_and_show_what_is_stored(path: Path, tmp_path: Path) -> None:
    stored = json.loads(path.read_text("utf-8"))
    made = load_tool().run_notebook(path, tmp_path)
    if "network" not in path.stem:  # whose ranks depend on the last digits of what was trained
        assert texts(made) == texts(stored), "run tools/run_notebooks.py and look at the difference"
    kinds = [[output["output_type"] for output in cell.get("outputs", [])] for cell in made["cells"]]
    assert kinds == [[output["output_type"] for output in cell.get("outputs", [])] for cell in stored["cells"]]


@needs_kernel
@pytest.mark.data
def test_the_first_notebook_takes_tno_where_it_is(real_data: Path, tmp_path: Path) -> None:
    """As far as the score of its own method: the others take the same pairs."""
    notebook = json.loads(next(path for path in NOTEBOOKS if "tno" in path.stem).read_text("utf-8"))
    last = next(place for place, cell in enumerate(notebook["cells"]) if "fb.evaluate" in "".join(cell["source"]))
    notebook["cells"] = notebook["cells"][: last + 1]
    path = tmp_path / "begin.ipynb"
    path.write_text(json.dumps(notebook))
    made = load_tool().run_notebook(path, tmp_path, {"FUSIONBENCH_DATA": str(real_data)})
    (result,) = texts(made)[-1]
    assert result.startswith("Result(two_scales on tno ") and "n=25" in result


def test_there_are_three_notebooks_and_they_are_small() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "a-metric-that-can-be-fooled",
        "my-method-on-tno",
        "my-network-on-fusionmnist",
    ]
    for path in NOTEBOOKS:
        assert path.stat().st_size < MOST_BYTES, path.name
        notebook = json.loads(path.read_text("utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] is None and cell["metadata"] == {} for cell in code), path.name
        assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"]), path.name
        text = path.read_text("utf-8")
        assert not re.search(r"/(?:home|root|tmp|work)/", text), "no path of the machine that made it"


def test_the_first_method_takes_ten_lines() -> None:
    """The notebook promises so: the cells that open, define, score and compare."""
    notebook = json.loads(next(path for path in NOTEBOOKS if "tno" in path.stem).read_text("utf-8"))
    lines = [
        line
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "matplotlib" not in "".join(cell["source"])
        for line in "".join(cell["source"]).splitlines()
        if line and not line.startswith(("import ", "from ")) and line not in ("pairs", "mine", "comparison")
    ]
    assert len(lines) <= 10, lines
