"""``fusionbench board``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("board", short_help="Turn a folder of results into static pages.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the pages.")
@click.option("--title", default="fusionbench", show_default=True, help="Title of the pages.")
@click.option("--json", "as_json", is_flag=True, help="Print where the pages are as JSON.")
def board_command(results: Path, out: Path, title: str, as_json: bool) -> None:
    """Write static pages for all results below RESULTS: they open from the folder, without a server.

    Example: fusionbench board quickstart/results -o quickstart/site
    """
    from fusionbench.board import build_board

    index = build_board(results, out, title=title)
    click.echo(json.dumps({"index": str(index)}) if as_json else str(index))
