"""One Python file as a plugin: ``my_model.py:Net`` where a name is asked for, or named for everything that follows.

The environment variable ``FUSIONBENCH_PLUGINS`` has the files of this process and of its workers, separated by ``;``:
``my_model.py:Net;my_metric.py``. The command line adds to it what its words name (``--plugin``, or a file in the place
of a name); registries look up in these files the names that are neither built in nor installed. A file is run, so no
file from elsewhere (a run, a result, a suite, a submission) can name one: only words and environment of the user do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from fusionbench.core.errors import DataError, UsageError, some, unknown_name
from fusionbench.core.io import read_bounded

VARIABLE = "FUSIONBENCH_PLUGINS"
MAX_BYTES = 4 << 20
_LOADED: dict[tuple[Path, str], ModuleType] = {}


@dataclass(frozen=True)
class PluginFile:
    """A file and, where one is named, the object in it that is meant; None: whatever of a kind it defines."""

    path: Path
    attribute: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.attribute}" if self.attribute else str(self.path)


def split_plugin(text: str) -> PluginFile | None:
    """``FILE.py`` or ``FILE.py:NAME`` in its parts; None for any other text, such as the name of a model.

    Example:
        >>> from fusionbench.core.plugin_files import split_plugin
        >>> split_plugin("net.py:Net"), split_plugin("average"), split_plugin("suite.toml")
        (PluginFile(path=PosixPath('net.py'), attribute='Net'), None, None)
    """
    if text.endswith(".py"):
        return PluginFile(Path(text))
    file, colon, attribute = text.rpartition(":")
    return PluginFile(Path(file), attribute) if colon and file.endswith(".py") else None


def plugin_files() -> list[PluginFile]:
    """The files that ``FUSIONBENCH_PLUGINS`` names.

    Raises:
        UsageError: one that is no Python file.
    """
    found = []
    for text in os.environ.get(VARIABLE, "").split(";"):
        if text.strip():
            if (one := split_plugin(text.strip())) is None:
                raise UsageError(
                    f"{VARIABLE}: {text.strip()!r} is no Python file; write my_model.py or my_model.py:Net"
                )
            found.append(one)
    return found


def use_plugin(file: PluginFile) -> PluginFile:
    """Add a file to ``FUSIONBENCH_PLUGINS``, for this process and those that it starts.

    Raises:
        UsageError: a name that the variable cannot hold.
    """
    file = PluginFile(file.path.absolute(), file.attribute)
    if ";" in str(file) or "\0" in str(file):
        raise UsageError(f"{file}: the path of a plugin has no semicolon; rename the file or its folder")
    known = [text for text in os.environ.get(VARIABLE, "").split(";") if text]
    if str(file) not in known:
        os.environ[VARIABLE] = ";".join([*known, str(file)])
    return file


@contextmanager
def plugins_of_this_command() -> Iterator[None]:
    """What :func:`use_plugin` adds in this block is forgotten behind it."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def load_module(path: Path) -> ModuleType:
    """Run a Python file as a module, once for each content. Files beside it can be imported by it.

    Raises:
        UsageError: a name that no Python file has.
        DataError: no such file, or one that fails when it is run.
    """
    content = read_bounded(path, MAX_BYTES, "Python file")
    key = (path.resolve(), hashlib.sha256(content).hexdigest())
    if key in _LOADED:
        return _LOADED[key]
    name = _module_name(path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file; its name ends with .py")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses look their module up by name
    beside = str(path.resolve().parent)
    if beside not in sys.path:
        sys.path.append(beside)  # behind everything else, so that it hides nothing
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)  # the bytes whose digest is the key
    except (Exception, SystemExit) as error:  # a script that ends itself is no success
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(f"{path}: cannot be imported: {reason}") from error
    _LOADED[key] = module
    return module


def _module_name(stem: str) -> str:
    """The name of a module for a file: its stem, unless that is a module that somebody else has or could import."""
    mine = stem in sys.modules and any(module is sys.modules[stem] for module in _LOADED.values())
    if mine:
        return stem
    try:
        taken = stem in sys.modules or importlib.util.find_spec(stem) is not None
    except (ImportError, ValueError):
        taken = True
    return f"fusionbench_plugin_{stem}" if taken or not stem.isidentifier() else stem


def kebab(name: str) -> str:
    """The name of a class as models are called: ``MyNet2`` is ``my-net2``.

    Example:
        >>> from fusionbench.core.plugin_files import kebab
        >>> kebab("WeightMap"), kebab("FCNSmall"), kebab("my_net")
        ('weight-map', 'fcn-small', 'my-net')
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    return re.sub(r"[^a-z0-9+.]+", "-", parted.lower()).strip("-")


def objects_in(file: PluginFile, kind: str, accepts: Callable[[Any], bool]) -> dict[str, Any]:
    """Attribute -> object of one kind in a file: the one that is named, or all that the file itself defines.

    Raises:
        UsageError: the named attribute is not there.
        DataError: the file cannot be run.
    """
    module = load_module(file.path)
    inside = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    if file.attribute is not None:
        if file.attribute not in inside:
            raise unknown_name(f"name in {file.path.name}", file.attribute, inside)
        inside = {file.attribute: inside[file.attribute]}
    own = {
        name: value
        for name, value in inside.items()
        if file.attribute is not None or not isinstance(value, type) or value.__module__ == module.__name__
    }
    return {name: value for name, value in own.items() if accepts(value)}


def only_one(found: Iterable[str], file: PluginFile, kind: str) -> str:
    """The one name of a kind in a file.

    Raises:
        UsageError: there is none, or more than one and none is named.
    """
    names = sorted(found)
    if not names:
        raise UsageError(f"{file}: has no {kind}; `fusionbench new {kind} NAME` writes one that works")
    if len(names) > 1:
        raise UsageError(f"{file}: has {len(names)} {kind}s ({some(names)}); name one as {file}:NAME")
    return names[0]


def origin_of(file: PluginFile) -> str:
    """What results call the origin of a plugin of a file: its name and the begin of its digest."""
    content = read_bounded(file.path, MAX_BYTES, "Python file")
    return f"{file.path.name} (sha256 {hashlib.sha256(content).hexdigest()[:16]})"
