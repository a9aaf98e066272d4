"""The examples in the docstrings run and print what they say; no public name, metric, model or source lacks one."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import fusionbench
from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.core.registry import Registry
from fusionbench.metrics import METRICS
from fusionbench.models import MODELS
from fusionbench.sources import SOURCES

# In every class of Python 3.13; the docstring of a number is that of int, which has an example.
MADE_BY_THE_COMPILER = ("__firstlineno__", "__static_attributes__")
LONGEST = 16  # statements: more is a tutorial, which belongs in docs/

# Every public function and class of these has an example of its own, or its module's example calls it.
COMPLETE = (
    "fusionbench.results.comparison",
    "fusionbench.core.registry",
    "fusionbench.results.schema",
    "fusionbench.training.runtime",
    "fusionbench.training.schedule",
    "fusionbench.results.bootstrap",
    "fusionbench.results.critical_values",
    "fusionbench.results.rank_notes",
    "fusionbench.results.resampling",
    "fusionbench.results.variance",
    "fusionbench.synth.arrays",
    "fusionbench.synth.augment",
    "fusionbench.synth.crops",
    "fusionbench.synth.cutouts",
    "fusionbench.synth.ellipses",
    "fusionbench.synth.masked",
    "fusionbench.synth.noise",
    "fusionbench.synth.overlay",
    "fusionbench.synth.random",
    "fusionbench.results.tables",
)
EXEMPT = {
    "fusionbench.results.comparison.Comparison": "what compare_results returns",
    "fusionbench.results.comparison.Entry": "what read_entries returns",
    "fusionbench.results.schema.DatasetIdentity": "a part of Identity, see identity_id",
    "fusionbench.results.schema.Identity": "see identity_id",
    "fusionbench.results.schema.ModelIdentity": "a part of Identity, see identity_id",
    "fusionbench.results.schema.Origin": "a field of Result",
    "fusionbench.results.schema.PerImage": "a field of Result",
    "fusionbench.results.schema.ProtocolIdentity": "a part of Identity, see identity_id",
    "fusionbench.results.schema.Score": "what summarise returns",
    "fusionbench.results.schema.TrainingIdentity": "a part of Identity, see identity_id",
    "fusionbench.training.schedule.GroupTraining": "a field of Training",
    "fusionbench.results.bootstrap.ScoreRow": "what compare returns",
    "fusionbench.results.tables.notes": "lines below the tables of a Comparison, see compare_results",
}


def modules() -> Iterator[tuple[str, str]]:
    """Name and source of every module of the package."""
    for name in ("fusionbench", *(info.name for info in pkgutil.walk_packages(fusionbench.__path__, "fusionbench."))):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        yield name, Path(spec.origin).read_text("utf-8") if spec.origin.endswith(".py") else ""


WITH_EXAMPLES = sorted(name for name, text in modules() if ">>> " in text)


def documented(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The module, its own functions and classes, and their members: all that may have a docstring.

    doctest's finder leaves out decorated functions (it compares their globals with the module's), which metrics are.
    """
    yield module.__name__, module
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__ or getattr(value, "__name__", None) != name:
            continue
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        yield f"{module.__name__}.{name}", value
        if inspect.isclass(value):
            for member, one in vars(value).items():
                if member not in MADE_BY_THE_COMPILER:
                    yield f"{module.__name__}.{name}.{member}", one


def examples(module: ModuleType) -> list[doctest.DocTest]:
    """One test per docstring, each with globals of its own, so that what it needs has to be imported in it."""
    found = []
    for name, value in documented(module):
        text = value.__doc__ if isinstance(value.__doc__, str) else ""
        if ">>>" in text:
            parser = doctest.DocTestParser()
            found.append(parser.get_doctest(inspect.cleandoc(text), {}, name, str(module.__file__), None))
    return found


def failures(tests: Iterable[doctest.DocTest]) -> list[str]:
    """What doctest has to say about examples that do not print what they should."""
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in tests:
        runner.run(test, out=report.append)
    return report


@pytest.fixture
def empty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder with another one for temporary files; both have to be empty at the end."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    left = {path.name for folder in (here, temporary) for path in folder.iterdir()}
    left = {name for name in left if not name.startswith("torchinductor_")}  # torch's own cache
    assert not left, f"examples leave behind {left}"


@pytest.fixture
def same_random_state() -> Iterator[None]:
    """Examples may seed; tests that run later must not notice."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


@pytest.mark.usefixtures("empty_folders", "same_random_state")
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except UsageError as error:  # an extra that is not installed
        pytest.skip(str(error))
    found = examples(module)
    assert found, f"{name} has examples where no docstring is"
    assert not (report := failures(found)), "".join(report)
    assert not [test.name for test in found if len(test.examples) > LONGEST]


def lacking(named: Iterable[tuple[str, object]]) -> list[str]:
    return [name for name, value in named if name not in EXEMPT and ">>> " not in (value.__doc__ or "")]


def built_in(registry: Registry) -> Iterator[tuple[str, object]]:
    """What is registered by the package itself, whatever plugins and other tests add."""
    for name in registry.names():
        if registry.origin(name).startswith("fusionbench "):
            yield name, registry.get(name)


def test_every_public_name_has_an_example() -> None:
    public = fusionbench._PUBLIC.items()  # by way of the module: fusionbench.training.loop may be one by now
    assert set(fusionbench._PUBLIC) == set(fusionbench.__all__) - {"__version__"}  # a string
    assert lacking((name, getattr(importlib.import_module(module), name)) for name, module in public) == []


def test_every_metric_has_an_example() -> None:
    assert lacking((name, metric.function) for name, metric in built_in(METRICS)) == []


def test_every_model_has_an_example() -> None:
    assert lacking(built_in(MODELS)) == []


def test_every_source_that_needs_no_files_has_an_example() -> None:
    embedded = []
    for name, source in built_in(SOURCES):
        try:
            source(None)  # type: ignore[operator]
        except FusionbenchError:  # it asks for a folder
            continue
        embedded.append((name, source))
    assert {"digits", "pairs-demo"} <= {name for name, _ in embedded}
    assert lacking(embedded) == []


@pytest.mark.parametrize("name", COMPLETE)
def test_every_public_function_has_an_example(name: str) -> None:
    module = importlib.import_module(name)
    called = {word for test in examples(module)[:1] if test.name == name for word in _called(test)}
    public = [
        (full, value)
        for full, value in documented(module)
        if full.count(".") == name.count(".") + 1 and not full.rpartition(".")[2].startswith("_")
    ]
    assert public
    assert [full for full in lacking(public) if full.rpartition(".")[2] not in called] == []


def _called(test: doctest.DocTest) -> set[str]:
    import ast

    tree = ast.parse("".join(example.source for example in test.examples))
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def test_exemptions_are_needed() -> None:
    """An exempted name that is gone, or has an example by now, leaves the list."""
    for name in EXEMPT:
        module, _, attribute = name.rpartition(".")
        value = getattr(importlib.import_module(module), attribute)
        assert ">>> " not in (value.__doc__ or ""), name


def test_a_wrong_example_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a plain function, of a decorated one, of a method, and one that relies on the module's own imports."""
    (tmp_path / "wrong_examples.py").write_text(
        '"""Nothing."""\n'
        "import functools\nimport math\n\n\n"
        'def plain():\n    """\n    >>> 1 + 1\n    3\n    """\n\n\n'
        '@functools.cache\ndef decorated():\n    """\n    >>> 2 + 2\n    5\n    """\n\n\n'
        'class Thing:\n    def method(self):\n        """\n        >>> 3 + 3\n        7\n        """\n\n\n'
        'def careless():\n    """\n    >>> math.floor(1.5)\n    1\n    """\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = examples(importlib.import_module("wrong_examples"))
    assert [test.name.partition(".")[2] for test in found] == ["plain", "decorated", "Thing.method", "careless"]
    assert [bool(failures([test])) for test in found] == [True] * 4
