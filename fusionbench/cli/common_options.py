"""What every verb takes, before or after its name: ``-q``, ``-v``, ``--config`` and ``--plugin``.

They are added to a verb when it is looked up, so that no verb can lack them. They stand in the help of ``fusionbench``
itself; that of a verb names them in its last line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionbench.cli.options import settings_of, use_config
from fusionbench.core import progress
from fusionbench.core.errors import UsageError
from fusionbench.core.plugin_files import PluginFile, load_module, split_plugin, use_plugin

NOTE = "Every verb also takes -q, -v, --config FILE and --plugin FILE.py: `fusionbench --help`."
_MARK = "fusionbench.common"


def _quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    progress.QUIET = progress.QUIET or value


def _verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    progress.VERBOSE = progress.VERBOSE or value


def _config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    use_config(ctx, value)


def _plugins(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    if ctx.resilient_parsing:
        return
    for text in value:
        load_module(use_plugin(_python_file(text, "--plugin")).path)  # what is wrong with it is told at once


def _python_file(text: str, where: str) -> PluginFile:
    if (file := split_plugin(text)) is None:
        raise UsageError(f"{where}: {text!r} is no Python file of yours, such as my_model.py or my_model.py:Net")
    return file


def common_options() -> list[click.Option]:
    """New options of one command."""
    shared: dict[str, Any] = {"expose_value": False, "is_eager": True}
    return [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            callback=_quiet,
            help="No progress and no talk on stderr; errors still show.",
            **shared,
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            callback=_verbose,
            help="Say which settings hold, and show where in the code an error is from.",
            **shared,
        ),
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            callback=_config,
            help="Settings of yours (TOML) instead of the file that `fusionbench config` names.",
            **shared,
        ),
        click.Option(
            ["--plugin"],
            multiple=True,
            metavar="FILE.py[:NAME]",
            callback=_plugins,
            help="A Python file of yours, whose models, metrics, sources and protocols have names now. It is run.",
            **shared,
        ),
    ]


def with_common_options(command: click.Command) -> click.Command:
    """The command, and those below it, with the options that all have; those that it has itself stay."""
    if getattr(command, "_fusionbench_common", False):
        return command
    taken = {text for param in command.params for text in param.opts}
    for option in common_options():
        if not taken & set(option.opts):
            option.hidden = True
            command.params.append(option)
    command._fusionbench_common = True  # type: ignore[attr-defined]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_common_options(inner)
    else:
        command.epilog = f"{command.epilog}\n\n{NOTE}" if command.epilog else NOTE
        command.params.append(_applied())
    return command


def _applied() -> click.Option:
    """The last of a verb's eager options, which is in no help: the settings of all before it are read."""
    return _Applied(["--_settings"], hidden=True, is_flag=True, expose_value=False, is_eager=True, callback=_apply)


class _Applied(click.Option):
    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """No word stands for it, so that it is not suggested where somebody mistypes an option."""


def _apply(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if ctx.resilient_parsing:
        return
    from fusionbench.core.settings import SETTINGS

    settings = settings_of(ctx)
    if (plugins := settings.get("plugins")) is not None and not plugins.from_environment:
        for text in plugins.value:
            use_plugin(
                _python_file(text, f"{plugins.origin}: plugins")
            )  # run when a name is looked up that may be theirs
    if progress.VERBOSE:
        for key in SETTINGS:
            if (found := settings.get(key)) is not None:
                progress.say(f"setting: {key} = {found.value} ({found.origin})")
