"""``fusionbench migrate``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from fusionbench.cli.options import json_option


@click.command("migrate", short_help="Rewrite files of an older fusionbench in their present form.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be rewritten, and write nothing.")
@json_option("Print an array: path, format, state and reason of each file.")
def migrate_command(paths: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Rewrite results, baselines and records of published numbers in PATHS: files, or folders with all below them.

    Scores that an older fusionbench called @avg4 get their present name, @mean. A result keeps its identity and its id;
    stopped, nothing is lost and the same command goes on. Data sets and archives are never rewritten.

    Older forms are read anyway: this is for files that you share, or read with other programs.

    Example: fusionbench migrate results --dry-run
    """
    from fusionbench.core.errors import DataError
    from fusionbench.core.io import escaped
    from fusionbench.core.progress import say
    from fusionbench.results.migration import migrate

    found = []
    for one in migrate(paths, dry_run=dry_run):
        found.append(one)
        if not as_json and one.state != "current":
            click.echo(f"{one.state:11} {escaped(one.path)}" + (f"  ({escaped(one.reason)})" if one.reason else ""))
    if as_json:
        rows = [{**vars(one), "path": escaped(one.path)} for one in found]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    counts = Counter(one.state for one in found)
    say(
        f"{len(found)} files: "
        + (", ".join(f"{count} {state}" for state, count in counts.items()) or "none to look at")
    )
    if counts["failed"]:
        raise DataError(f"{counts['failed']} of {len(found)} files could not be read or written; they are as they were")
