"""Suites: TOML files that say data set × models × protocol. :mod:`fusionbench.evaluation.run_suite` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.core.documents import parse_toml
from fusionbench.core.errors import DataError, unknown_name
from fusionbench.core.formats import require_format
from fusionbench.core.io import read_bounded, shipped_folder
from fusionbench.core.text import SuiteName as Name
from fusionbench.evaluation.jobs import RowsFailed as RowsFailed
from fusionbench.evaluation.jobs import run_folder as run_folder
from fusionbench.evaluation.protocols import PROTOCOLS, known_protocol, protocol_names
from fusionbench.evaluation.protocols.base import Options, read_options

MAX_BYTES = 1 << 20
FORMAT = "fusionbench.suite/1"
DatasetName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9+._-]{0,63}(@[0-9.]{5,20})?\Z")]


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class SuiteModel(_Part, frozen=True):
    """One row: a registered model with a preset.

    ``label`` and ``title`` tell rows of one model apart; ``params`` and ``training`` replace parameters of the preset;
    ``seeds`` those of the suite.
    """

    name: Name
    preset: str | None = None
    label: Name | None = None
    title: Annotated[str, msgspec.Meta(max_length=60)] | None = None
    params: dict[str, Any] = {}
    training: dict[str, Any] = {}
    seeds: list[int] | None = None

    @property
    def key(self) -> str:
        """What the row is called: in folders, and in ``--models``."""
        return self.label or self.name

    @property
    def model_parameters(self) -> dict[str, Any]:
        """What the row's model is built with: its preset's parameters and the row's own."""
        from fusionbench.models import get_preset

        return {**get_preset(self.name, self.preset).model, **self.params}


class Suite(_Part, frozen=True):
    """A validated suite. ``published``: the data set whose published rows stand beside these.

    ``dataset`` is what its protocol opens: a recipe under ``masked/1``, a source of registered pairs under ``pairs/1``.
    A recipe that has several versions is named with the one that the suite's results are made with
    (``fusioncoil@1.0.0``), so that they stay comparable when a newer version appears.
    ``protocol`` has the options of that protocol. ``train``: the recipe whose split ``train`` the rows that learn are
    trained on, where the protocol does not train on ``dataset``.
    """

    format: Literal["fusionbench.suite/1"]
    name: Name
    title: str
    dataset: DatasetName
    models: Annotated[list[SuiteModel], msgspec.Meta(min_length=1)]
    description: str = ""
    split: Name = "test"
    seeds: Annotated[list[int], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: [0])
    protocol: Options = msgspec.field(default_factory=lambda: read_options({}, Path()))
    published: str | None = None
    train: Name | None = None


def list_suites() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in shipped_folder("benchmarks").glob("*.toml"))


def load_suite(name_or_path: str | Path) -> Suite:
    """A shipped suite by name, or one from a ``.toml`` file.

    Raises:
        UsageError: unknown name, with a suggestion.
        DataError: a file that is no suite: key and reason.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in list_suites():
            raise unknown_name("suite", str(name_or_path), list_suites())
        path = shipped_folder("benchmarks") / f"{name_or_path}.toml"
    try:
        body = parse_toml(read_bounded(path, MAX_BYTES, "suite"), str(path), "suite", MAX_BYTES)
        table = body.pop("protocol", {})
        if not isinstance(table, dict):
            raise DataError(f"{path}: not a suite: `protocol` is a table, for example [protocol]")
        suite = msgspec.convert(body, Suite)
    except msgspec.ValidationError as error:
        require_format(body.get("format"), FORMAT, path)
        raise DataError(f"{path}: not a suite: {error}") from error
    suite = msgspec.structs.replace(suite, protocol=read_options(table, path))
    if suite.train is not None and PROTOCOLS.get(suite.protocol.name).trains_on_dataset:
        names = protocol_names()
        other = next(name for name in names if (one := known_protocol(name)) and not one.trains_on_dataset)
        raise DataError(f"{path}: not a suite: `train` belongs to the protocol {other}; others train on `dataset`")
    keys = [model.key for model in suite.models]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise DataError(f"{path}: two rows are called {twice[0]!r}; give one of them a label")
    return suite


def check_budget(budget: str | None) -> None:
    """Tell of a wrong budget before anything is made.

    Raises:
        UsageError: not a budget.
    """
    if budget is not None:
        from fusionbench.training.schedule import Budget

        Budget.parse(budget)


def __getattr__(name: str) -> Any:
    if name == "run_suite":  # where it was before there was a module for it
        from fusionbench.evaluation.run_suite import run_suite

        return run_suite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
