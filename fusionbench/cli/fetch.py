"""``fetch``: the files of a source, where its owner allows the download; else what to do by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import json_option, out_option
from fusionbench.core.errors import UsageError


@click.command("fetch")
@click.argument("name", type=Names("sources", "recipes"))
@out_option("Folder for the files [NAME].")
@click.option("--mirror", metavar="URL", help="Address of a folder with the same files; their digests are checked.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option("Print licence, files and folder as JSON; asks nothing, so that --yes is needed.")
def fetch_command(name: str, out: Path | None, mirror: str | None, yes: bool, as_json: bool) -> None:
    """Download the files of the source NAME (or of the data set NAME), after showing licence, citation and size.

    Where the owner does not allow a direct download, or no digest is known, the last line says what to do by hand and
    the exit code is 2.

    Example: fusionbench fetch mnist --out mnist/
    """
    from fusionbench.sources import SOURCES
    from fusionbench.sources.fetch import DOWNLOADS, EMBEDDED, fetch_source, manual_steps, mirrors_of, source_facts

    source = _source_of(name)
    SOURCES.get(source)
    facts: dict[str, object] = {"source": source, **source_facts(source)}

    def tell(line: str) -> None:
        if not as_json:
            click.echo(line)

    for key, value in source_facts(source).items():
        tell(f"{key}: {value}")
    if source in EMBEDDED:
        tell(f"{source} is part of an installed package: there is nothing to fetch")
        if as_json:
            click.echo(json.dumps({**facts, "folder": None, "files": 0}, ensure_ascii=False))
        return
    if source not in DOWNLOADS:
        raise UsageError(manual_steps(source))
    download, folder = DOWNLOADS[source], out if out is not None else Path(source)
    tell(f"from: {' or '.join(mirrors_of(download, mirror))}")
    tell(f"size: {len(download.files)} files, {download.bytes / 1e6:,.1f} MB")
    tell(f"to: {folder}")
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError("nobody can be asked here; with --yes the files are downloaded")
        if not click.confirm("Download?", err=True):
            click.echo("nothing was downloaded")
            return
    fetch_source(source, folder, mirror)
    tell(f"{len(download.files)} files are right; use them with --source-dir {folder}")
    if as_json:
        body = {**facts, "folder": str(folder), "files": len(download.files), "bytes": download.bytes}
        click.echo(json.dumps(body, ensure_ascii=False))


def _source_of(name: str) -> str:
    """The source called ``name``, or that of the data set called so."""
    from fusionbench.core.errors import unknown_name
    from fusionbench.sources import SOURCES

    if name in SOURCES.names():
        return name
    from fusionbench.data.recipes import list_recipes, load_recipe

    if name in list_recipes():
        return load_recipe(name).source.name
    raise unknown_name("source or data set", name, [*SOURCES.names(), *list_recipes()], "fusionbench list sources")
