"""A command whose options are its own and those of the protocol that its words name, or that claims their data.

The protocol is found first; then the words are parsed with its options, so that an option of another protocol is not
one of the command, and protocols of other packages have theirs like the built-in ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from fusionbench.cli.names import named
from fusionbench.cli.renamed_options import RenamedFlag
from fusionbench.cli.setting_options import parse_settings
from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.evaluation.protocols.base import BaseProtocol
    from fusionbench.evaluation.protocols.flags import CommandFlag

_PROTOCOL, _OPTIONS = "fusionbench.protocol", "fusionbench.protocol options"
_PREFIX = "own_"  # of the parameters' names, so that no option of a protocol is taken for one of the command
_TYPES: dict[str, Any] = {"integer": click.INT, "number": click.FLOAT, "folder": click.Path(path_type=Path)}


class ProtocolCommand(click.Command):
    """A command with ``--protocol`` and ``--data``; it takes the options of the protocol as keyword arguments.

    Hand those to :func:`protocol_settings`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found = self._named(ctx, args)
        name, data, source_dir = (found.get(key) for key in ("protocol", "data", "source_dir"))
        if not ctx.resilient_parsing and (isinstance(name, str) or isinstance(data, str)):
            ctx.meta[_PROTOCOL] = protocol = _find(name, data, source_dir)
            ctx.meta[_OPTIONS] = self.options_of(protocol)
        elif (shown := self.get_help_option(ctx)) is not None and found.get(str(shown.name)):
            args = ["--help"]  # without a protocol's options, which the words may have
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if data is None:  # it may be an option of the protocol for the data
                [param] = [param for param in self.params if param.name == "data"]
                raise click.MissingParameter(ctx=ctx, param=param) from error
            if owner := _owner(error.option_name):
                raise UsageError(f"{error.option_name}: for --protocol {owner} only") from error
            raise

    def options_of(self, protocol: BaseProtocol) -> list[click.Option]:
        """The options of a protocol but those whose spelling the command has; ``--option`` sets these."""
        from fusionbench.evaluation.protocols.flags import command_flags

        taken = {text for param in self.params for text in (*param.opts, *param.secondary_opts)}
        found = []
        for flag in command_flags(protocol).values():
            free = [text for text in flag.spellings if not taken & set(text.split("/"))]
            if free:
                taken |= {part for text in free for part in text.split("/")}
                found.append(_option(flag, free))
        return found

    def _named(self, ctx: click.Context, args: list[str]) -> dict[str, Any]:
        """The command's own options among the words, as texts; nothing when they cannot be parsed."""
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        click.Option(["--source-dir"]).add_to_parser(parser, ctx)
        try:
            return dict(parser.parse_args(list(args))[0])
        except click.UsageError:  # the same is said when all options are known
            return {}

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, ())]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options, and those of the protocol, or which protocols have which."""
        from fusionbench.evaluation.protocols import known_protocol, protocol_order
        from fusionbench.evaluation.protocols.flags import command_flags

        own: list[click.Option] = ctx.meta.pop(_OPTIONS, [])
        super().format_options(ctx, formatter)
        if protocol := ctx.meta.get(_PROTOCOL):
            records = [record for option in own if (record := option.get_help_record(ctx)) is not None]
            title = f"Options of the protocol {protocol.key} ({protocol.title})"
        else:
            records, title = [], "Options of the protocols, explained by --protocol NAME --help"
            for name in protocol_order():
                if (known := known_protocol(name)) is not None:
                    names = [flag.name for flag in command_flags(known).values()]
                    records.append((name, " ".join(names) or "none"))
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def protocol_settings(context: click.Context, protocol: BaseProtocol, own: dict[str, Any]) -> dict[str, Any]:
    """Option of the protocol -> value, of those that the words of a command give.

    Args:
        own: the keyword arguments that :class:`ProtocolCommand` adds.

    Raises:
        UsageError: a value that an option cannot have; names the option.
    """
    from fusionbench.evaluation.protocols.flags import command_flags

    flags, found = command_flags(protocol), {}
    for name, value in own.items():
        option = name.removeprefix(_PREFIX)
        if context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT:
            continue
        if flags[option].form == "value":
            value = parse_settings([f"{option}={value}"], flags[option].name)[option]
        if option in protocol.own_options:
            try:
                protocol.options(**{option: value})
            except UsageError as error:
                raise UsageError(f"{flags[option].name}: {error}") from error
        found[option] = value
    return found


def _find(name: Any, data: Any, source_dir: Any) -> BaseProtocol:
    from fusionbench.evaluation.protocols import find_protocol, protocol_for

    if isinstance(name, str):
        return find_protocol(named("protocols", name.strip()))  # these are the words as given: a file has no name yet
    return protocol_for(data, Path(source_dir) if isinstance(source_dir, str) else None)


def _option(flag: CommandFlag, spellings: list[str]) -> click.Option:
    names: list[str] = [*spellings, f"{_PREFIX}{flag.option}"]
    if flag.form == "switch":
        return click.Option(names, is_flag=True, help=flag.about)
    if flag.form == "toggle":
        return RenamedFlag(names, default=flag.default, help=flag.about, former=flag.former)
    kind = click.IntRange(min=flag.least) if flag.least is not None else _TYPES.get(flag.form, click.STRING)
    shown = flag.default is not None and flag.form != "value"
    default = flag.default if shown else None
    return click.Option(names, type=kind, default=default, show_default=shown, metavar=flag.metavar, help=flag.about)


def _owner(spelling: str) -> str | None:
    """The first protocol that has an option of this spelling."""
    from fusionbench.evaluation.protocols import known_protocol, protocol_order
    from fusionbench.evaluation.protocols.flags import command_flags

    for name in protocol_order():
        protocol = known_protocol(name)
        for flag in () if protocol is None else command_flags(protocol).values():
            spellings = {part for text in flag.spellings for part in text.split("/")} | flag.former.keys()
            if spelling in spellings:
                return cast("BaseProtocol", protocol).name
    return None


def used_protocol(context: click.Context) -> BaseProtocol:
    """The protocol that the words of a :class:`ProtocolCommand` chose."""
    return cast("BaseProtocol", context.meta[_PROTOCOL])
