"""``fusionbench list`` and ``fusionbench describe``."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.console import echo_marked, terminal_width, wrapped
from fusionbench.cli.names import Names
from fusionbench.cli.options import data_root_option, json_option
from fusionbench.evaluation import catalogue

# what a listing shows beside the name; the JSON form has everything
_COLUMNS = {
    "models": ("title", "presets", "abilities"),
    "metrics": ("title", "better", "unit", "needs"),
    "sources": ("title", "licence"),
    "recipes": ("version", "source", "title"),
    "suites": ("title",),
    "protocols": ("title", "about"),
    "degradations": ("title", "views", "about"),
    "datasets": ("version", "id", "splits", "folder"),
}
_ROOT = data_root_option(name="root", former=["--data"])


@click.command(
    "list", short_help="List models, metrics, sources, recipes, data sets, suites, protocols or degradations."
)
@click.argument("kind", required=False, type=click.Choice(catalogue.KINDS))
@click.argument("pattern", required=False)
@_ROOT
@json_option("An array of objects with `name` and everything known.")
def list_command(kind: str | None, pattern: str | None, root: Path, as_json: bool) -> None:
    """List one KIND of things, or the names of all kinds; PATTERN filters names ('cvae*').

    Example: fusionbench list models --json
    """
    if kind is None:
        everything = {each: catalogue.list_names(each, root) for each in catalogue.KINDS}
        if as_json:
            found = [{"kind": each, "name": name} for each, names in everything.items() for name in names]
            click.echo(json.dumps(found, indent=1))
        else:
            for each, names in everything.items():
                click.echo("\n".join(wrapped(f"{each:12} {', '.join(names) or '–'}", 0, 13)))
        return
    cards = [card for card in catalogue.list_cards(kind, root) if fnmatch.fnmatchcase(card["name"], pattern or "*")]
    if as_json:
        click.echo(json.dumps(cards, indent=1, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from fusionbench.cli.console import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", *_COLUMNS[kind]):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for card in cards:
        if "error" in card:
            table.add_row(escape(card["name"]), f"[red]{escape(card['error'])}[/red]")
        else:
            table.add_row(*(escape(_short(card.get(column, ""), column)) for column in ("name", *_COLUMNS[kind])))
    console(160).print(table)


def _short(value: Any, column: str) -> str:
    if column == "id":
        return str(value)[:12]
    if column == "splits" and isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | dict) else str(value)


@click.command("describe", short_help="Show everything about one name.")
@click.argument("name", type=Names(*catalogue.KINDS))
@click.option("--kind", type=click.Choice(catalogue.KINDS), help="Look among these only.")
@_ROOT
@json_option(
    "The card as a JSON object; an array when several have the name. A recipe's has its data sets on disk as `built`."
)
def describe_command(name: str, kind: str | None, root: Path, as_json: bool) -> None:
    """Show the card of NAME: a model, metric, source, recipe, data set, suite, protocol or degradation.

    Example: fusionbench describe mse_min
    """
    cards = catalogue.find_cards(name, kind, root)
    if as_json:
        if kind is None:
            cards = _with_built(cards)
        click.echo(json.dumps(cards[0] if len(cards) == 1 else cards, indent=1, ensure_ascii=False))
        return
    for number, card in enumerate(cards):
        if number:
            click.echo()
        echo_marked(card["name"], f" · {card['kind']}", bold=True)
        click.echo(_card_text(card))


def _with_built(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cards with data sets inside that of their recipe, so that what scripts read does not change with a build."""
    if all(card["kind"] != "recipe" for card in cards):
        return cards
    built = [card for card in cards if card["kind"] == "dataset"]
    others = [card for card in cards if card["kind"] != "dataset"]
    return [{**card, "built": built} if card["kind"] == "recipe" else card for card in others]


def _card_text(card: dict[str, Any]) -> str:
    """A card as plain text below its name: title, then one field a line."""
    import textwrap

    lines = [card.get("title") or ""]
    fields = {key: value for key, value in card.items() if key not in ("name", "kind", "title")}
    width = max(map(len, fields), default=0) + 2
    room = 96 if (columns := terminal_width()) is None else max(20, min(96, columns - width))
    for key, value in fields.items():
        if value in ("", None, [], {}):
            continue
        if isinstance(value, dict):
            value = "\n".join(f"{inner}: {_short_value(content)}" for inner, content in value.items())
        elif isinstance(value, list):
            wide = any(isinstance(item, str) and len(item) > 40 for item in value)
            texts = ["…" if item is None else str(item) for item in value]
            value = ("\n" if wide else ", ").join(texts)
        paragraphs = str(value).splitlines()
        wrapped = [part for line in paragraphs for part in (textwrap.wrap(line, room) or [""])]
        lines += [f"{(key if number == 0 else ''):{width}}{part}" for number, part in enumerate(wrapped)]
    return "\n".join(line.rstrip() for line in lines if line)


def _short_value(value: Any) -> str:
    if isinstance(value, dict):
        parts = (f"{key} {_short_value(inner)}" for key, inner in value.items() if inner not in ("", {}, None))
        return "; ".join(parts)
    return str(value)
