"""Names of the first release: each of them imports, is the new module in all but name, and says so once.

Oracle: the modules of the first release, listed here a second time, so that no line of the table is lost unnoticed.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import pytest

import fusionbench
from fusionbench.core import deprecation
from fusionbench.core.renamed import FUNCTIONS, RENAMED, install

ROOT = Path(__file__).parents[2]
# Public modules below ``fusionbench`` in the first release, but for those whose names are still theirs or a function's.
FIRST_RELEASE = [
    "archive",
    "build",
    "calibrate",
    "card",
    "catalogue",
    "checkpoints",
    "comparison",
    "contract_checks",
    "contracts",
    "curves",
    "dataset_pairs",
    "difference",
    "doctor",
    "engines",
    "errors",
    "evaluate_pairs",
    "explain",
    "export",
    "files",
    "gate",
    "gate_report",
    "imread",
    "inbox",
    "lint",
    "making",
    "models.cbf",
    "models.cvae",
    "models.dae_fuse",
    "models.fcn",
    "models.fusionvae",
    "models.fusionvae_plus",
    "models.gtf",
    "models.jsr_sd",
    "models.mfeif",
    "models.wavelet",
    "pair_data",
    "pair_making",
    "pair_outputs",
    "pair_pictures",
    "pair_recipes",
    "pair_suites",
    "pairsets",
    "pictures",
    "plaintext",
    "plan",
    "prediction_scores",
    "predictions",
    "prepare",
    "preview",
    "progress",
    "published",
    "pytest_plugin",
    "quickstart",
    "recipe_parts",
    "recipes",
    "refine",
    "registry",
    "result",
    "run",
    "runlog",
    "runtime",
    "sandbox",
    "schedule",
    "selftest",
    "shard_plans",
    "shards",
    "shards.croissant",
    "shards.manifest",
    "shards.ragged",
    "shards.reader",
    "shards.writer",
    "sheets",
    "sources.images",
    "stats",
    "submit",
    "suite_rows",
    "suites",
    "tables",
    "upload",
    "verify",
]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has imported none of the old names and warned of none."""
    monkeypatch.setattr(deprecation, "_WARNED", set())
    for old in RENAMED:
        monkeypatch.delitem(sys.modules, f"fusionbench.{old}", raising=False)


def imported(name: str) -> tuple[ModuleType, list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(name)
    return module, [warning for warning in caught if "fusionbench" in str(warning.message)]


def test_no_module_of_the_first_release_is_forgotten() -> None:
    assert set(RENAMED) == set(FIRST_RELEASE)


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_an_old_name_is_the_new_module_and_warns_once(old: str, fresh: None) -> None:
    name, new = f"fusionbench.{old}", f"fusionbench.{RENAMED[old]}"
    module, warned = imported(name)
    found = importlib.import_module(new)
    assert module.__name__ == name and module.__doc__ == found.__doc__
    public = [each for each in vars(found) if not each.startswith("_")]
    assert public
    for each in public:
        assert getattr(module, each) is getattr(found, each)
    with pytest.raises(AttributeError):
        _ = module.no_such_name
    assert [(w.category, str(w.message)) for w in warned] == [
        (FutureWarning, f"{each} is deprecated and will be removed in fusionbench 0.3; use {to} instead")
        for each, to in ([(name.rpartition(".")[0], new.rpartition(".")[0])] if old.startswith("shards.") else [])
        + [(name, new)]
    ]
    del sys.modules[name]
    assert imported(name)[1] == []


def test_targets_are_modules_of_their_own_and_no_old_name_hides_a_new_one() -> None:
    for old, new in RENAMED.items():
        path = ROOT.joinpath("fusionbench", *new.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), new
        place = ROOT.joinpath("fusionbench", *old.split("."))
        assert not place.with_suffix(".py").exists() and not (place / "__init__.py").exists(), f"{old} is a module"
        assert new not in RENAMED


SCRIPT = """
import warnings
import fusionbench


def first():
    from fusionbench.errors import DataError
    return DataError


def second():
    import fusionbench.stats as stats
    return stats.mean


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    names = [first().__module__, second().__module__]
    first(), second()
import json
print(json.dumps([names, [[w.category.__name__, w.filename, w.lineno] for w in caught]]))
"""


def python(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, env=_environment(**options)
    )


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def test_the_warning_points_at_the_line_that_imports(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    done = python(str(script))
    assert done.returncode == 0, done.stderr
    names, warned = json.loads(done.stdout)
    assert names == ["fusionbench.core.errors", "fusionbench.results.resampling"]
    lines = [SCRIPT.splitlines().index(f"    {line}") + 1 for line in IMPORTS]
    assert warned == [["FutureWarning", str(script), line] for line in lines]


IMPORTS = ("from fusionbench.errors import DataError", "import fusionbench.stats as stats")


def test_users_see_the_warning_and_can_make_it_an_error(tmp_path: Path) -> None:
    done = python("-c", "from fusionbench.errors import DataError")
    assert done.returncode == 0
    assert "FutureWarning: fusionbench.errors is deprecated" in done.stderr and "core.errors" in done.stderr
    done = python("-W", "error::FutureWarning", "-c", "from fusionbench.errors import DataError")
    assert done.returncode != 0 and "FutureWarning" in done.stderr


def test_new_names_warn_of_nothing() -> None:
    code = "import fusionbench.core.errors, fusionbench.data.dataset, fusionbench.metrics, fusionbench.results.schema"
    assert python("-W", "error::FutureWarning", "-c", code).returncode == 0


def test_unknown_names_are_missing_as_ever() -> None:
    for name in ("fusionbench.nothing", "fusionbench.models.nothing", "fusionbench.core.archive", "errors"):
        with pytest.raises(ModuleNotFoundError, match=name):
            importlib.import_module(name)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_of_the_package_keep_their_names(name: str) -> None:
    """They were modules, too; importing those fails in one line, and the function is the function after it."""
    code = (
        f"import importlib, fusionbench\ntry:\n    importlib.import_module('fusionbench.{name}')\n"
        f"except ModuleNotFoundError as error:\n    print(error)\nprint(callable(fusionbench.{name}))"
    )
    done = python("-W", "error::FutureWarning", "-c", code)
    new = f"fusionbench.{FUNCTIONS[name]}"
    assert done.stdout.splitlines() == [
        f"fusionbench.{name} is a function now; what the module had is in {new}",
        "True",
    ], done.stderr
    importlib.import_module(new)


def test_no_old_module_takes_the_place_of_a_public_name() -> None:
    """Importing a module sets it as its package's attribute: ``fusionbench.score(...)`` would call a module then."""
    assert set(RENAMED).isdisjoint(fusionbench.__all__)
    assert set(FUNCTIONS) <= set(fusionbench.__all__)


def test_installing_twice_adds_nothing() -> None:
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before
    places = [index for index, finder in enumerate(before) if type(finder).__module__ == "fusionbench.core.renamed"]
    assert len(places) == 1, before
    assert places[0] > before.index(PathFinder), "asked after the files: no other import waits for it"


PLUGIN = """
import numpy as np

from fusionbench.contracts import Metric, Tolerance
from fusionbench.data import open_dataset
from fusionbench.errors import DataError
from fusionbench.imread import read_image
from fusionbench.registry import Registry


def brightest(fused):
    if not len(fused):
        raise DataError("nothing to look at")
    return fused.reshape(len(fused), -1).max(axis=1).astype(np.float64)


METRIC = Metric(
    name="brightest", version="1", title="Brightest pixel", function=brightest, needs="fused", better="higher",
    unit="grey levels", range=(0.0, 255.0), tolerance=Tolerance(0.5, 0.0, "half a level"), reference="nobody",
)
"""
USER = """
import json
import numpy as np

import fusionbench
import old_plugin
from fusionbench.core.errors import DataError
from fusionbench.core.images import read_image
from fusionbench.core.registry import Registry
from fusionbench.core.types import Metric
from fusionbench.data.dataset import open_dataset

same = [
    old_plugin.DataError is DataError, old_plugin.read_image is read_image, old_plugin.Metric is Metric,
    old_plugin.open_dataset is open_dataset, old_plugin.Registry is Registry, isinstance(old_plugin.METRIC, Metric),
]
found = fusionbench.get_metric("brightest")
try:
    found.function(np.zeros((0, 2, 2)))
except DataError as error:
    same.append(str(error) == "nothing to look at")
print(json.dumps([same, found.function(np.arange(8.0).reshape(2, 2, 2)).tolist()]))
"""


def test_a_plugin_of_the_first_release_registers(tmp_path: Path) -> None:
    (tmp_path / "old_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "old_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: old-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fusionbench.metrics]\nbrightest = old_plugin:METRIC\n")
    done = python("-c", USER, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.returncode == 0, done.stderr
    same, values = json.loads(done.stdout)
    assert same == [True] * 7 and values == [3.0, 7.0]
    warned = [line for line in done.stderr.splitlines() if "FutureWarning" in line]
    assert len(warned) == 5, "contracts, open_dataset of data, errors, imread, registry"
    assert all(line.startswith(str(tmp_path / "old_plugin.py")) for line in warned)


@pytest.mark.parametrize(("old", "new"), [("train", "training.loop"), ("evaluate", "evaluation.masked")])
def test_a_module_whose_name_is_a_function_s_says_where_it_is(old: str, new: str, fresh: None) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"fusionbench.{old} is a function now.* fusionbench.{new}"):
        importlib.import_module(f"fusionbench.{old}")
