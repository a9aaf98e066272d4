"""Names: built in, registered here, and offered by another installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.plugin_files import VARIABLE
from fusionbench.core.registry import Registry


@pytest.fixture
def registry() -> Registry:
    builtin = {"path": "pathlib:Path", "lost": "no_such_module:x"}
    return Registry("thing", "fusionbench.tests", builtin, "fusionbench list")


def test_builtin_names_are_loaded_on_use(registry: Registry) -> None:
    assert registry.get("path") is Path and registry.origin("path").startswith("fusionbench ")
    assert registry.names() == ["lost", "path"]


def test_unknown_names_get_a_suggestion(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"Unknown thing 'pathh'\. Did you mean 'path'\? See `fusionbench list`\."):
        registry.get("pathh")
    with pytest.raises(UsageError, match="Known: lost, path"):
        registry.get("zzzzzz")


def test_registering(registry: Registry) -> None:
    value = object()
    assert registry.register("mine")(value) is value
    assert registry.get("mine") is value and registry.origin("mine") == "this process"
    assert registry.is_installed("path") and not registry.is_installed("mine")
    registry.register("mine")(value)  # the same thing twice, as when a notebook cell runs again
    with pytest.raises(UsageError, match="'mine' is taken"):
        registry.register("mine")(object())
    with pytest.raises(UsageError, match=r"'path' is taken \(fusionbench"):
        registry.register("path")(object())


def test_the_author_of_an_installed_plugin_may_name_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is meant, which may have changed; a file that only has the name is refused."""
    rules = Registry("rule", "x.rules", {}, accepts=callable, name_of=lambda found: str(found.__name__))
    vars(rules)["_plugins"] = {"mean": EntryPoint("mean", "my_rules.all:mean", "x.rules")}
    (tmp_path / "all.py").write_text("def mean(a, b):\n    return 'of the file'\n")
    (tmp_path / "other.py").write_text("def mean(a, b):\n    return 'of somebody else'\n")
    monkeypatch.setenv(VARIABLE, f"{tmp_path}/all.py")
    assert rules.get("mean")(1, 2) == "of the file" and rules.is_file("mean")
    assert rules.origin("mean").startswith("all.py (sha256 ") and rules.is_installed("mean")
    monkeypatch.setenv(VARIABLE, f"{tmp_path}/other.py")
    with pytest.raises(UsageError, match=r"other\.py: the rule name 'mean' is taken \(my_rules\.all:mean\); rename"):
        rules.get("mean")
    monkeypatch.delenv(VARIABLE)
    assert not rules.is_file("mean") and rules.origin("mean") == "my_rules.all:mean"


PLUGIN = """
from types import SimpleNamespace
from fusionbench.core.types import Metric, Tolerance
METRIC = Metric(name="half", version="1", title="Half", function=lambda fused: fused, needs="fused", better="higher",
                unit="1", range=(0, 1), tolerance=Tolerance(0, 0, "exact"), reference="none")
class Model: title, reference, version, PRESETS = "Third", "none", "1", {}
class Source: name, title, licence, citation, homepage, redistributable = "third-source", "S", "CC0", "", "", True
"""
ASK = """
import json
from fusionbench.metrics import METRICS, get_metric, list_metrics
from fusionbench.models import MODELS, list_models
from fusionbench.sources import SOURCES
def said(name):
    try: MODELS.get(name)
    except Exception as error: return f"{type(error).__name__}: {error}"
print(json.dumps({
    "metric": get_metric("half").title, "model": MODELS.get("third").title,
    "source": SOURCES.get("third-source").licence,
    "listed": "half" in list_metrics() and "third" in list_models(), "origin": METRICS.origin("half"),
    "broken": said("third-broken"), "leaves": said("third-leaves"),
    "own": MODELS.get("mean-image").__module__,
}))
"""


def test_another_package_offers_a_model_a_metric_and_a_source(tmp_path: Path) -> None:
    """A package as pip lays it down: a module and its metadata, with nothing of ours touched."""
    (tmp_path / "third_party.py").write_text(PLUGIN)
    (tmp_path / "third_exit.py").write_text("raise SystemExit(0)")
    info = tmp_path / "third_party-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(
        "[fusionbench.metrics]\nhalf = third_party:METRIC\n"
        "[fusionbench.models]\nthird = third_party:Model\n"
        "third-broken = third_party:Missing\nthird-leaves = third_exit:Model\nmean-image = third_party:Model\n"
        "[fusionbench.sources]\nthird-source = third_party:Source\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, env=environment, check=True)
    found = json.loads(done.stdout)
    assert (found["metric"], found["model"], found["source"], found["listed"]) == ("Half", "Third", "CC0", True)
    assert found["origin"] == "third-party 2.5"
    assert found["broken"].startswith("UsageError: The model 'third-broken' of third-party 2.5 cannot be loaded")
    assert found["leaves"].endswith("of third-party 2.5 cannot be loaded: SystemExit: 0")
    assert found["own"].startswith("fusionbench."), "a plugin cannot take over a built-in name"


def test_titles_without_importing_a_model() -> None:
    from fusionbench.models import MODELS

    for name in MODELS.names():
        assert MODELS.said(name, "title") == MODELS.get(name).title, name
    code = (
        "import sys; from fusionbench.models import MODELS; print([MODELS.said(n, 'title') for n in MODELS.names()]); "
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "assert 'torch' not in sys.modules"], capture_output=True, text=True, check=True
    )
    assert "'FusionVAE+'" in done.stdout
    assert MODELS.said("no-such-model", "title") is None
