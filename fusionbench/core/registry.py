"""One small registry for everything that has a name.

A registered thing is one file plus one line: built-in names are in a table of
``name -> "module:attribute"`` and are imported on first use; a third-party package
offers the same through an entry point of the registry's group; a script may use
:meth:`Registry.register`; and one file of a user's own is a plugin of a command (:mod:`fusionbench.core.plugin_files`).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.plugin_files import (
    PluginFile,
    objects_in,
    only_one,
    origin_of,
    plugin_files,
    split_plugin,
    use_plugin,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind (``"model"``), looked up lazily.

    Args:
        kind: singular noun for messages.
        group: entry-point group of third-party packages, e.g. ``fusionbench.models``.
        builtin: table of name -> ``"module:attribute"``.
        see: command that lists the names, for the error message.
        accepts: whether an object in a Python file of a user's own is one of these; None: such files have none.
        name_of: what such an object is called.

    Example:
        >>> from fusionbench.core.registry import Registry
        >>> shapes = Registry("shape", "example.shapes", {"fraction": "fractions:Fraction"})
        >>> shapes.get("fraction")(1, 3)  # imported now
        Fraction(1, 3)
        >>> shapes.origin("fraction").split()[0], shapes.is_plugin("fraction")
        ('fusionbench', False)
    """

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Mapping[str, str],
        see: str | None = None,
        *,
        accepts: Callable[[Any], bool] | None = None,
        name_of: Callable[[Any], str] = lambda found: str(found.name),
    ) -> None:
        self.kind, self.group, self.see = kind, group, see
        self.accepts, self.name_of = accepts, name_of
        self._builtin = dict(builtin)
        self._objects: dict[str, T] = {}

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # 15 ms that a built-in name need not wait for

        points = entry_points(group=self.group)
        return {point.name: point for point in points if point.name not in self._builtin}

    def _in_files(self) -> dict[str, tuple[PluginFile, T]]:
        """Name -> file and object of what the files of ``FUSIONBENCH_PLUGINS`` define."""
        found: dict[str, tuple[PluginFile, T]] = {}
        for file in plugin_files() if self.accepts is not None else ():
            for name, value in self.objects_in(file).items():
                if name in found and found[name][1] is not value:
                    raise UsageError(f"{file}: the {self.kind} {name!r} is in {found[name][0]} too; rename one of them")
                found[name] = file, value
        return found

    def objects_in(self, file: PluginFile) -> dict[str, T]:
        """Name -> object of this kind in a Python file, which is run.

        Raises:
            UsageError: a name that is built in, or installed from another file.
            DataError: a file that is missing or fails when it is run.
        """
        accepts = self.accepts
        found: dict[str, T] = {}
        for attribute, value in objects_in(file, self.kind, accepts).items() if accepts is not None else ():
            registered = [name for name, known in self._objects.items() if known is value]
            name = registered[0] if registered else self.name_of(value)
            if name in self._builtin or (name in self._plugins and not self._is_source(name, file, attribute)):
                raise UsageError(
                    f"{file}: the {self.kind} name {name!r} is taken ({self._offered_by(name)}); rename yours"
                )
            found[name] = value
        return found

    def _is_source(self, name: str, file: PluginFile, attribute: str) -> bool:
        """Whether a file looks like that of an installed plugin: its author changes it, and says which is meant."""
        module, _, wanted = self._plugins[name].value.partition(":")
        return (module.rpartition(".")[2], wanted) == (file.path.stem, attribute)

    def one_in(self, file: PluginFile) -> str:
        """The name of the one object of this kind in a Python file.

        Raises:
            UsageError: there is none, or more than one and none is named.
        """
        return only_one(self.objects_in(file), file, self.kind)

    def named(self, text: str) -> str:
        """The name that ``text`` stands for: itself, or that of the one object in ``FILE.py`` or ``FILE.py:NAME``.

        The command line and Python read names by this function. The file is run, and known from now on
        (:func:`fusionbench.core.plugin_files.use_plugin`).

        Raises:
            UsageError, DataError: a file that is missing, fails, or has not exactly one of the kind.

        Example:
            >>> from fusionbench.models import MODELS
            >>> MODELS.named("average")
            'average'
        """
        file = split_plugin(text)
        return text if file is None else self.one_in(use_plugin(file))

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers the object under ``name`` for this process.

        Raises:
            UsageError: the name is taken.

        Example:
            >>> from fusionbench.core.registry import Registry
            >>> rules = Registry("fusion rule", "example.rules", {})
            >>> @rules.register("mean")
            ... def mean(a, b):
            ...     return (a + b) / 2
            >>> rules.get("mean")(2, 4)
            3.0
        """

        def decorate(value: T) -> T:
            if name in self._builtin or self._objects.get(name, value) is not value:
                raise UsageError(f"The {self.kind} name {name!r} is taken ({self.origin(name)}); choose another")
            self._objects[name] = value
            return value

        return decorate

    def get(self, name: str) -> T:
        """The object called ``name``.

        Raises:
            UsageError: unknown name (with a suggestion), or a plugin that cannot be imported.

        Example:
            >>> from fusionbench import FusionbenchError
            >>> from fusionbench.models import MODELS
            >>> MODELS.get("average").title
            'average of the sources'
            >>> try:
            ...     MODELS.get("wavlet")
            ... except FusionbenchError as error:
            ...     print(error)
            Unknown model 'wavlet'. Did you mean 'wavelet'? See `fusionbench list models`.
        """
        if name in self._objects:
            return self._objects[name]
        found = self._load(name)
        # a file of the user's own may be another one next time
        if name in self._builtin or (name in self._plugins and name not in self._in_files()):
            self._objects[name] = found
        return found

    def _load(self, name: str) -> T:
        if name in self._builtin:
            module, _, attribute = self._builtin[name].partition(":")
            found: T = getattr(importlib.import_module(module), attribute)
            return found
        if (own := self._in_files().get(name)) is not None:
            return own[1]
        if name not in self._plugins:
            if name in self._objects:  # a file that was run just now has registered it
                return self._objects[name]
            raise unknown_name(self.kind, name, self.names(), self.see)
        try:
            found = self._plugins[name].load()
        except (Exception, SystemExit) as error:  # a module that ends itself is no success
            reason = f"SystemExit: {error}" if isinstance(error, SystemExit) else str(error)
            raise UsageError(f"The {self.kind} {name!r} of {self.origin(name)} cannot be loaded: {reason}") from error
        return found

    def names(self) -> list[str]:
        """All names, sorted; nothing is imported for it but files of the user's own.

        Example:
            >>> from fusionbench import list_metrics, list_models
            >>> {"vif", "ssim"} <= set(list_metrics()), {"fusionvae", "average"} <= set(list_models())
            (True, True)
        """
        return sorted({*self._builtin, *self._plugins, *self._objects, *self._in_files()})

    def said(self, name: str, attribute: str) -> str | None:
        """A text that the class called ``name`` assigns to ``attribute`` in its source, without importing its module.

        A model's module imports torch, and a title is no reason to wait for that. None where the source cannot be had
        or assigns no plain text.

        Example:
            >>> from fusionbench.models import MODELS
            >>> MODELS.said("fusionvae-plus", "title"), MODELS.said("fusionvae-plus", "nothing")
            ('FusionVAE+', None)
        """
        if name in self._objects:
            text = getattr(self._objects[name], attribute, None)
            return text if isinstance(text, str) else None
        where = self._builtin.get(name) or (self._plugins[name].value if name in self._plugins else "")
        module, _, wanted = where.partition(":")
        try:
            spec = importlib.util.find_spec(module)
            tree = ast.parse(Path(spec.origin).read_bytes() if spec is not None and spec.origin is not None else b"")
        except (ImportError, ValueError, OSError, SyntaxError):  # a plugin's business, told when it is used
            return None
        for node in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == wanted):
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                value = getattr(line, "value", None)
                if any(isinstance(one, ast.Name) and one.id == attribute for one in targets):
                    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
        return None

    def is_plugin(self, name: str) -> bool:
        """Whether another installed package offers ``name``.

        Example:
            >>> from fusionbench.metrics import METRICS
            >>> METRICS.is_plugin("vif")
            False
        """
        return name in self._plugins

    def origin(self, name: str) -> str:
        """The distribution that offers ``name``, with its version.

        Example:
            >>> import fusionbench
            >>> from fusionbench.metrics import METRICS
            >>> METRICS.origin("vif") == f"fusionbench {fusionbench.__version__}"
            True
        """
        own = None if name in self._builtin else self._in_files().get(name)
        return self._offered_by(name) if own is None else origin_of(own[0])

    def _offered_by(self, name: str) -> str:
        if name in self._builtin:
            from fusionbench import __version__

            return f"fusionbench {__version__}"
        if name in self._plugins:
            distribution = self._plugins[name].dist
            return f"{distribution.name} {distribution.version}" if distribution else self._plugins[name].value
        return "this process"

    def is_file(self, name: str) -> bool:
        """Whether a Python file of the user's own offers ``name``.

        Example:
            >>> from fusionbench.models import MODELS
            >>> MODELS.is_file("average")
            False
        """
        return name not in self._builtin and name in self._in_files()

    def is_installed(self, name: str) -> bool:
        """Whether every process has ``name``: it is built in or of an installed package, not of a file of a user's.

        Example:
            >>> from fusionbench.models import MODELS
            >>> MODELS.is_installed("average"), MODELS.is_installed("my-net")
            (True, False)
        """
        return name in self._builtin or name in self._plugins
