"""Names in the place of words: what the shell completes, and a Python file where a name is asked for.

Nothing here imports torch, NumPy or a model: the shell waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.plugin_files import split_plugin, use_plugin

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from fusionbench.core.registry import Registry

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # no generic type in older releases of click

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._@/-]{0,80}")  # of folders; a shell shows nothing else
_HELP = {  # a Python file may be given where one of these is asked for
    "models": "fusionbench.models:MODELS",
    "metrics": "fusionbench.metrics:METRICS",
    "sources": "fusionbench.sources:SOURCES",
    "protocols": "fusionbench.evaluation.protocols:PROTOCOLS",
    "degradations": "fusionbench.synth.degradations:DEGRADATIONS",
}


def registry_of(kind: str) -> Registry[Any]:
    """The registry of models, metrics, sources, protocols or degradations."""
    import importlib

    module, _, attribute = _HELP[kind].partition(":")
    found: Registry[Any] = getattr(importlib.import_module(module), attribute)
    return found


def named(kind: str, text: str) -> str:
    """The name that ``text`` stands for: itself, or that of what ``FILE.py:NAME`` defines, known to this command now.

    Raises:
        UsageError, DataError: a file that is missing, fails, or has not exactly one of the kind.
    """
    file = split_plugin(text)
    return text if file is None else registry_of(kind).one_in(use_plugin(file))


def known_names(kind: str, root: Path = Path("data")) -> list[str]:
    """Names of a kind, such as ``models``; of ``datasets`` those below ``root``. Empty where they cannot be had."""
    try:
        if kind == "datasets":
            found = (path.parent.parent.parent.name for path in root.glob("*/*/*/manifest.json"))
            return sorted({name for name in found if _PLAIN.fullmatch(name)})
        if kind == "suites":
            return _shipped("benchmarks")
        if kind == "recipes":
            return _shipped("datasets_recipes")
        if kind == "metrics":
            from fusionbench.metrics import LIBRARY_NAMES

            return sorted({*registry_of(kind).names(), *LIBRARY_NAMES})
        return registry_of(kind).names()
    except (FusionbenchError, OSError):
        return []


def _shipped(folder: str) -> list[str]:
    from fusionbench.core.io import shipped_folder

    names = (path.stem.partition("@")[0] for path in shipped_folder(folder).glob("*.toml"))
    return sorted({name for name in names if not name.startswith("template")})


class Names(_ParamType):
    """A text that is one name of some kinds, or several with commas between; the shell completes them.

    Args:
        kinds: ``models``, ``metrics``, ``sources``, ``recipes``, ``suites``, ``protocols``, ``degradations`` or
            ``datasets``.
        several: whether commas separate names.
        files: whether the shell offers files as well: a run folder, a ``.py`` or a ``.toml``.
        plugin: the kind of which a Python file may be given; it becomes the name of what it defines.
    """

    name = "text"

    def __init__(self, *kinds: str, several: bool = False, files: bool = False, plugin: str | None = None) -> None:
        self.kinds, self.several, self.files, self.plugin = kinds, several, files, plugin

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self.plugin is None or not isinstance(value, str) or (ctx is not None and ctx.resilient_parsing):
            return value
        if not self.several:
            return named(self.plugin, value.strip()) if ".py" in value else value
        return ",".join(named(self.plugin, part.strip()) for part in value.split(","))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from fusionbench.cli.options import data_root_of

        head, comma, part = incomplete.rpartition(",") if self.several else ("", "", incomplete)
        taken = set(head.split(","))
        names: Iterable[str] = {name for kind in self.kinds for name in known_names(kind, data_root_of(ctx))}
        found = [CompletionItem(f"{head}{comma}{name}") for name in sorted(names) if name.startswith(part)]
        found = [item for item in found if item.value.rpartition(",")[2] not in taken or not self.several]
        return found + ([CompletionItem(incomplete, type="file")] if self.files and not comma else [])


class DataSet(Names):
    """One data set: a folder, a URL, or a name, which is looked up below ``--data-root``.

    Args:
        as_path: give a path, for verbs that take folders alone.
    """

    def __init__(self, as_path: bool = False) -> None:
        super().__init__("datasets", "sources", files=True)
        self.as_path = as_path

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from fusionbench.cli.options import data_root_of

        text = str(value)
        if (file := split_plugin(text)) is not None and file.path.is_file():
            text = named("sources", text)
        else:
            root = data_root_of(ctx)
            below = root / text
            plain = bool(text) and Path(text).name == text and text not in (".", "..")
            # below the default root they are looked up later, with the sources of the same name
            if plain and (self.as_path or root != Path("data")) and not Path(text).exists() and below.is_dir():
                text = str(below)
        return Path(text) if self.as_path else text
