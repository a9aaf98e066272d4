"""``fusionbench generate``: builds a data set, or finishes one that was begun."""

from __future__ import annotations

from pathlib import Path

import click

from fusionbench.core.errors import UsageError


@click.command("generate")
@click.argument("name", required=False)
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe file instead of NAME.")
@click.option("--source-dir", type=click.Path(path_type=Path), help="Folder of the upstream files.")
@click.option("--out", metavar="DIR|URL", default="data", help="Root of data sets: a folder, or an fsspec URL [data].")
@click.option("-j", "--jobs", type=click.IntRange(min=0), default=0, help="Worker processes [0: as many as help].")
@click.option("--scheduler", metavar="ADDRESS", help="Build on a Dask cluster: tcp://host:8786.")
@click.option("--force", is_flag=True, help="Make all shards again, although they are there.")
@click.option("--update", is_flag=True, help="Where the source has changed, make the shards again that it concerns.")
@click.option("--strict", is_flag=True, help="Refuse pictures of pairs without a partner instead of listing them.")
@click.option("--skip-refused", is_flag=True, help="Leave out files that cannot be used; the manifest lists them.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def generate_command(
    name: str | None,
    recipe_file: Path | None,
    source_dir: Path | None,
    out: str,
    jobs: int,
    scheduler: str | None,
    force: bool,
    update: bool,
    strict: bool,
    skip_refused: bool,
    as_json: bool,
) -> None:
    """Build the data set NAME; the same command finishes a build that was stopped, and repairs what is damaged.

    The bytes depend on the recipe and the source alone, not on the machine or on --jobs. Prints the folder.
    With a URL (s3://bucket/data) the data set is made here and sent there, its manifest last.

    A file that cannot be used, a damaged one or one of 16 bits, stops the build, which says how many there are. With
    --skip-refused they are left out: the recipe then names them, so the folder and the id are others than without.

    Files of the source are compared with those that a finished data set was built from, by size and time and, where
    these are new, by sha256. When they differ, nothing is made without --update, --force or another --out.

    Example: fusionbench generate fusionmnist --source-dir mnist/ --out data/
    """
    import json

    from fusionbench.data.build import build_dataset
    from fusionbench.data.recipes import list_recipes, load_recipe
    from fusionbench.data.shards.manifest import read_manifest
    from fusionbench.data.upload import build_to_url, is_url

    if (name is None) == (recipe_file is None):
        raise UsageError(f"Name one data set ({', '.join(list_recipes())}) or a recipe with --recipe FILE")
    recipe = load_recipe(recipe_file if recipe_file is not None else str(name))
    if strict:
        _refuse_missing_partners(recipe.source.name, source_dir)
    if is_url(out):
        if scheduler is not None or force or update:
            option = "--force" if force else "--update" if update else "--scheduler"
            raise UsageError(f"{option} does not go with a URL: build into a folder, and copy that")
        folder, manifest = build_to_url(recipe, source_dir, out, jobs, skip_refused)
    else:
        path = build_dataset(recipe, source_dir, out, jobs, force, scheduler, skip_refused, update)
        folder, manifest = str(path), read_manifest(path)
    if not as_json:
        click.echo(folder)
        return
    splits = {
        split: {"n": entry.n, "shards": len(entry.shards), "coverage": entry.coverage}
        for split, entry in manifest.splits.items()
    }
    facts = {"folder": folder, "name": recipe.name, "version": recipe.version, "id": manifest.id, "splits": splits}
    click.echo(json.dumps({**facts, "refused": manifest.left_out}))


def _refuse_missing_partners(source: str, source_dir: Path | None) -> None:
    from fusionbench.sources import SOURCES

    kind = SOURCES.get(source)
    if not hasattr(kind, "read_pairs"):
        raise UsageError(f"--strict is about registered pairs; the source {source!r} has none")
    kind(source_dir, strict=True)  # type: ignore[call-arg]
