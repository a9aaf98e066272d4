"""``fetch``: the files of a source, where its owner allows the download; else what to do by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fusionbench.core.errors import UsageError


@click.command("fetch")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the files [NAME].")
@click.option("--mirror", metavar="URL", help="Address of a folder with the same files; their digests are checked.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def fetch_command(name: str, out: Path | None, mirror: str | None, yes: bool) -> None:
    """Download the files of the source NAME (or of the data set NAME), after showing licence, citation and size.

    Where the owner does not allow a direct download, or no digest is known, the last line says what to do by hand and
    the exit code is 2.

    Example: fusionbench fetch mnist --out mnist/
    """
    from fusionbench.sources import SOURCES
    from fusionbench.sources.fetch import DOWNLOADS, EMBEDDED, fetch_source, manual_steps, mirrors_of, source_facts

    source = _source_of(name)
    SOURCES.get(source)
    for key, value in source_facts(source).items():
        click.echo(f"{key}: {value}")
    if source in EMBEDDED:
        click.echo(f"{source} is part of an installed package: there is nothing to fetch")
        return
    if source not in DOWNLOADS:
        raise UsageError(manual_steps(source))
    download, folder = DOWNLOADS[source], out if out is not None else Path(source)
    click.echo(f"from: {' or '.join(mirrors_of(download, mirror))}")
    click.echo(f"size: {len(download.files)} files, {download.bytes / 1e6:,.1f} MB")
    click.echo(f"to: {folder}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here; with --yes the files are downloaded")
        if not click.confirm("Download?", err=True):
            click.echo("nothing was downloaded")
            return
    fetch_source(source, folder, mirror)
    click.echo(f"{len(download.files)} files are right; use them with --source-dir {folder}")


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
