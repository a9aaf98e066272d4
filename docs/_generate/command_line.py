"""The command-line reference: every verb with its arguments and options, from the click objects themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator

import click
import mkdocs_gen_files

from fusionbench.cli import VERBS, cli
from fusionbench.cli.protocol_options import ProtocolCommand
from fusionbench.evaluation.protocols import PROTOCOLS


def verbs(group: click.Group, path: str, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """``"recipe new"``, its command and context, for every command below ``group``."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context)
            yield f"{path}{name}", command, inner
            if isinstance(command, click.Group):
                yield from verbs(command, f"{path}{name} ", inner)


def cell(text: str) -> str:
    """Text for a cell of a Markdown table; angle brackets and pipes are letters there."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def kind(parameter: click.Parameter) -> str:
    """What an option takes: its choices, a range, or the type's name; empty for a switch."""
    if getattr(parameter, "is_flag", False):
        return ""
    if isinstance(parameter.type, click.Choice):
        return ", ".join(f"`{choice}`" for choice in parameter.type.choices)
    described = parameter.type.name
    if isinstance(parameter.type, click.IntRange | click.FloatRange):
        described += f", {parameter.type._describe_range()}"
    return described


def rows(parameters: Iterable[click.Parameter], context: click.Context) -> Iterator[str]:
    """One row of the table for every option that ``--help`` shows."""
    for parameter in parameters:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        default = ""
        if not parameter.is_flag and parameter.show_default:
            value = parameter.get_default(context, call=False)
            default = "" if value is None or callable(value) else f"`{value}`"
        needed = " **Required.**" if parameter.required else ""
        many = " Can be given several times." if parameter.multiple else ""
        yield f"| {names} | {cell(kind(parameter))} | {default} | {cell((parameter.help or '') + needed + many)} |"


def body(help_text: str) -> str:
    r"""Help as Markdown: paragraphs are joined, ``\b`` blocks and examples are code."""
    parts = []
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        example = re.match(r"Example: (.*)", " ".join(paragraph.split()))
        if example:
            parts.append(f"```sh\n{example[1]}\n```")
        elif paragraph.startswith("\b"):
            parts.append("```\n" + paragraph.removeprefix("\b").strip("\n") + "\n```")
        else:
            # click's words in capitals are arguments; the rest is shown as it is
            text = " ".join(paragraph.split()).replace("<", "&lt;").replace("*", "\\*")
            parts.append(re.sub(r"\[(?=[^\]]*\])", r"\\[", text))
    return "\n\n".join(parts)


def main() -> None:
    context = click.Context(cli, info_name="fusionbench")
    with mkdocs_gen_files.open("reference/command-line.md", "w") as page:
        page.write("# Command line\n\nEvery verb as `fusionbench VERB --help` shows it. ")
        page.write("What they have in common, and the exit codes: [the command line](../cli.md).\n")
        section = ""
        for name, command, inner in verbs(cli, "", context):
            of = VERBS[name.split()[0]][1]
            if of != section:
                section = of
                page.write(f"\n## {section}\n")
            anchor = name.replace(" ", "-")
            page.write(f"\n### {name} {{: #{anchor} }}\n\n")
            usage = " ".join(inner.command.collect_usage_pieces(inner))
            page.write(f"```text\nfusionbench {name} {usage}\n```\n\n{body(command.help or '')}\n\n")
            tables = {"": list(rows(command.params, inner))}
            if isinstance(command, ProtocolCommand):
                for key in PROTOCOLS.names():
                    title = f"\nWith `--protocol {key}`:\n\n"
                    tables[title] = list(rows(command.options_of(PROTOCOLS.get(key)), inner))
            for title, options in tables.items():
                if options:
                    head = f"{title}| option | value | default | meaning |\n|---|---|---|---|\n"
                    page.write(head + "\n".join(options) + "\n")


main()
