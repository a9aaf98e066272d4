"""Options as all verbs have them: former spellings, defaults of the user's own, names that the shell completes.

One name has one meaning and one form: tests/cli/test_options.py says which, and walks over all verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.names import DataSet
from fusionbench.cli.renamed_options import warn_renamed

if TYPE_CHECKING:
    from fusionbench.core.settings import Settings

_SETTINGS, _CONFIG, _ROOT = "fusionbench.settings", "fusionbench.config", "fusionbench.data root"
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Option(click.Option):
    """An option with former spellings, and with a default that the user can set.

    Args:
        former: spellings that do the same, are in no help, and say on stderr what to write instead.
        setting: key of :data:`fusionbench.core.settings.SETTINGS` that holds where the command line says nothing.
    """

    def __init__(self, *args: Any, former: Sequence[str] = (), setting: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.former, self.setting = tuple(former), setting

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        now = max(self.opts, key=len)
        for spelling in self.former:
            action = "store_const" if self.is_flag else "append" if self.multiple else "store"
            const = {"const": self.flag_value} if self.is_flag else {"nargs": self.nargs}
            parser.add_option(obj=self, opts=[spelling], dest=self.name, action=action, **const)
            known = parser._long_opt if spelling.startswith("--") else parser._short_opt
            known[spelling].process = _warning(known[spelling].process, spelling, now)

    def consume_value(self, ctx: click.Context, opts: Any) -> Any:
        value, source = super().consume_value(ctx, opts)
        return _set_by_user(ctx, self.setting, value, source)


class Former(Option):
    """A former option that is another one now: hidden, with a warning that says which (``now``)."""

    def __init__(self, *args: Any, now: str, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "hidden": True})
        self.now = now

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        for spelling in self.opts:
            parser._long_opt[spelling].process = _warning(parser._long_opt[spelling].process, spelling, self.now)


class Argument(click.Argument):
    """An argument whose default the user can set, as that of an :class:`Option`."""

    def __init__(self, *args: Any, setting: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setting = setting

    def consume_value(self, ctx: click.Context, opts: Any) -> Any:
        value, source = super().consume_value(ctx, opts)
        return _set_by_user(ctx, self.setting, value, source)


def _set_by_user(ctx: click.Context, key: str | None, value: Any, source: Any) -> tuple[Any, Any]:
    """Value and source of a parameter: those of the user's setting where the command line says nothing."""
    names = click.core.ParameterSource
    if key is None or source not in (names.DEFAULT, None) or (found := settings_of(ctx).get(key)) is None:
        return value, source
    return found.value, names.ENVIRONMENT if found.from_environment else names.DEFAULT_MAP


def _warning(process: Callable[..., None], former: str, now: str) -> Callable[..., None]:
    def warned(value: Any, state: Any) -> None:
        warn_renamed(former, now)
        process(value, state)

    return warned


def option(*names: str, **settings: Any) -> Decorator:
    """``click.option`` of the class :class:`Option`."""
    return click.option(*names, **{"cls": Option, **settings})


def settings_of(ctx: click.Context) -> Settings:
    """The settings of this command line; read once, when the first one is wanted."""
    if _SETTINGS not in ctx.meta:
        from fusionbench.core.errors import FusionbenchError
        from fusionbench.core.settings import Settings, config_file

        try:
            ctx.meta[_SETTINGS] = Settings(config_file(ctx.meta.get(_CONFIG)))
        except FusionbenchError:
            if not ctx.resilient_parsing:
                raise
            ctx.meta[_SETTINGS] = Settings(None, {})  # the shell asks for names, and shows no message
    found: Settings = ctx.meta[_SETTINGS]
    return found


def setting(key: str) -> Any:
    """The value of a setting in the verb that runs now: the user's, or fusionbench's own default."""
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        from fusionbench.core.settings import SETTINGS

        return SETTINGS[key].default
    return settings_of(ctx).value(key)


def use_config(ctx: click.Context, file: Path | None) -> None:
    """Take the settings of this verb from ``file``."""
    if file is not None:
        ctx.meta[_CONFIG] = file
        ctx.meta.pop(_SETTINGS, None)


def json_option(text: str, name: str = "as_json") -> Decorator:
    """``--json``: what the verb found as one JSON document on stdout, errors as well."""
    return option("--json", name, is_flag=True, help=text)


def out_option(text: str, former: Sequence[str] = (), **settings: Any) -> Decorator:
    """``-o/--out``: where the verb writes, a file or a folder as its help says."""
    given = {"type": click.Path(path_type=Path), "metavar": "PATH", **settings}
    return option("-o", "--out", former=former, help=text, **given)


def results_option(text: str = "Root of results [results].", **settings: Any) -> Decorator:
    """``-o/--out`` of verbs that write results."""
    return out_option(text, default=Path("results"), setting="results_root", **settings)


def jobs_option(text: str, **settings: Any) -> Decorator:
    """``-j/--jobs``: at a time."""
    given = {"type": click.IntRange(min=0), "default": 0, "setting": "jobs", "metavar": "N", **settings}
    return option("-j", "--jobs", help=text, **given)


def device_option(
    text: str = "auto, cpu, cuda or cuda:1 [auto: a GPU when there is one].", **settings: Any
) -> Decorator:
    """``--device``: where torch computes."""
    return option("--device", help=text, **{"default": "auto", "setting": "device", "metavar": "DEVICE", **settings})


def stop_option() -> Decorator:
    """``--stop-after``: the time of this call."""
    text = "Stop after 90s, 9m or 1h with all saved (exit code 75)."
    return click.option("--stop-after", metavar="TIME", help=text)


def data_root_option(
    text: str = "Where data sets lie [data].", name: str = "data_root", former: Sequence[str] = (), **settings: Any
) -> Decorator:
    """``--data-root``: the folder below which data sets lie."""
    given = {"type": click.Path(path_type=Path), "default": Path("data"), "metavar": "DIR", **settings}
    return option("--data-root", name, former=former, setting="data_root", is_eager=True, help=text, **given)


def data_option(text: str, *, as_path: bool = False, **settings: Any) -> Decorator:
    """``-d/--data``, one data set by its folder, URL or name, with ``--data-root``, below which a name is looked up.

    The verb gets the folder where the name is one below that root, as a text or a path.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        rooted = data_root_option(name="data_root", expose_value=False, callback=_keep_root)(command)
        return option("-d", "--data", type=DataSet(as_path), metavar="SET", help=text, **settings)(rooted)

    return decorate


def _keep_root(ctx: click.Context, param: click.Parameter, value: Path) -> None:
    ctx.meta[_ROOT] = value


def data_root_of(ctx: click.Context | None) -> Path:
    """What ``--data-root`` says in this verb, else the user's setting."""
    if ctx is None:
        return Path("data")
    found = ctx.params.get("data_root") or ctx.meta.get(_ROOT) or settings_of(ctx).value("data_root")
    return Path(str(found))
