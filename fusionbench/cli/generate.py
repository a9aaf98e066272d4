"""``fusionbench generate``: builds a data set, or finishes one that was begun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import jobs_option, json_option, out_option
from fusionbench.cli.range_options import load_chosen_recipe, range_options
from fusionbench.core.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range
    from fusionbench.data.shards.manifest import Manifest


@click.command("generate")
@click.argument("name", required=False, type=Names("recipes", files=True))
@click.option(
    "--recipe", "recipe_file", type=click.Path(path_type=Path), metavar="FILE", help="A recipe file instead of NAME."
)
@click.option("--source-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the upstream files.")
@out_option(
    "Root of data sets: a folder, or an fsspec URL [--data-root of other verbs: data].",
    default="data",
    setting="data_root",
    type=click.STRING,
)
@jobs_option("Worker processes [0: as many as help].")
@click.option("--scheduler", metavar="ADDRESS", help="Build on a Dask cluster: tcp://host:8786.")
@click.option("--force", is_flag=True, help="Make all shards again, although they are there.")
@click.option("--update", is_flag=True, help="Where the source has changed, make the shards again that it concerns.")
@click.option("--strict", is_flag=True, help="Refuse images of pairs without a partner instead of listing them.")
@click.option("--skip-refused", is_flag=True, help="Leave out files that cannot be used; the manifest lists them.")
@click.option(
    "--sign", "key", metavar="KEY", type=click.Path(path_type=Path), help="Check it, then sign it with KEY (PEM)."
)
@click.option(
    "--form",
    type=click.Choice(["whole", "targets"]),
    default="whole",
    help="What is sent to a URL: targets has no views, which are made on arrival [whole].",
)
@range_options("a", "b", head="Of registered pairs: ")
@json_option("Print what was made as JSON.")
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
    key: Path | None,
    form: Literal["whole", "targets"],
    range_a: Range | None,
    range_b: Range | None,
    as_json: bool,
) -> None:
    """Build the data set NAME; the same command finishes a build that was stopped, and repairs what is damaged.

    NAME is the newest version of a recipe that comes with fusionbench, NAME@VERSION an older one (fusionceleba@1.0.0);
    `fusionbench describe NAME` lists them.

    The bytes depend on the recipe and the source alone, not on the machine or on --jobs. Prints the folder.
    With a URL (s3://bucket/data) the data set is made here and sent there, its manifest last.

    A file that cannot be used, a damaged one or one of 16 bits, stops the build, which says how many there are. With
    --skip-refused they are left out: the recipe then names them, so the folder and the id are others than without.

    Files of the source are compared with those that a finished data set was built from, by size and time and, where
    these are new, by sha256. When they differ, nothing is made without --update, --force or another --out.

    --range-a and --range-b say what black and white are in the image files of a recipe of your own for pairs, as the
    keys range_a and range_b below its [pairs] do: the data set is that of the recipe with these keys.

    --sign adds provenance (in-toto, SLSA) signed with an ed25519 key: `openssl genpkey -algorithm ed25519 -out KEY`.

    Example: fusionbench generate fusionmnist --source-dir mnist/ --out data/
    """
    import json

    from fusionbench.core.progress import say
    from fusionbench.data.build import build_dataset
    from fusionbench.data.recipes import list_recipes
    from fusionbench.data.shards.manifest import read_manifest
    from fusionbench.data.upload import build_to_url, is_url

    if (name is None) == (recipe_file is None):
        many = len(list_recipes())
        raise UsageError(f"Name one data set of {many} (`fusionbench list recipes`), or a recipe with --recipe FILE")
    recipe = load_chosen_recipe(name, recipe_file, range_a, range_b)
    if strict:
        _refuse_missing_partners(recipe.source.name, source_dir)
    if is_url(out):
        if scheduler is not None or force or update or key is not None:
            option = "--force" if force else "--update" if update else "--sign" if key is not None else "--scheduler"
            raise UsageError(f"{option} does not go with a URL: build into a folder, and copy that")
        folder, manifest = build_to_url(recipe, source_dir, out, jobs, skip_refused, form)
    else:
        if form != "whole":
            raise UsageError("--form targets goes with a URL; for a folder: `fusionbench export FOLDER --to targets`")
        path = build_dataset(recipe, source_dir, out, jobs, force, scheduler, skip_refused, update)
        folder, manifest = str(path), read_manifest(path)
        _tell_alignment(path)
        if key is not None:
            _sign(path, manifest, key)
    say(f"{recipe.name} {recipe.version}: id {manifest.id}, manifest_sha256 {manifest.manifest_sha256}")
    if not as_json:
        click.echo(folder)
        return
    splits = {
        split: {"n": entry.n, "shards": len(entry.shards), "coverage": entry.coverage}
        for split, entry in manifest.splits.items()
    }
    ids = {"id": manifest.id, "manifest_sha256": manifest.manifest_sha256}
    facts = {"folder": folder, "name": recipe.name, "version": recipe.version, **ids, "splits": splits}
    click.echo(json.dumps({**facts, "refused": manifest.left_out}))


def _tell_alignment(folder: Path) -> None:
    """Say so when the views of pairs that were made are displaced against each other."""
    from fusionbench.core.progress import say
    from fusionbench.data.alignment import SAMPLE, measure_alignment, sample_of
    from fusionbench.data.dataset import open_dataset

    dataset = open_dataset(folder)
    if not hasattr(dataset.recipe, "pairs"):
        return
    split = max(dataset.splits, key=dataset.size)
    views = dataset.arrays(split).views
    most = SAMPLE if dataset.recipe.whole else 8 * SAMPLE  # patches are small
    found = measure_alignment(views[place] for place in sample_of(dataset.size(split), most))
    if found is not None and found.told:
        say(f"note: {folder}, {split}: {found.text}")


def _sign(folder: Path, manifest: Manifest, key: Path) -> None:
    """A signature is a promise: only what is right gets one."""
    from fusionbench.core.progress import say
    from fusionbench.data.signatures import FILE, sign
    from fusionbench.data.verify import verify_dataset

    problems = [problem for problem in verify_dataset(folder).problems if problem.file != FILE]
    if problems:
        more = f" and {len(problems) - 1} more problems" if len(problems) > 1 else ""
        raise RejectedError(f"{folder}: not signed: {problems[0]}{more}; see `fusionbench verify`")
    say(f"{folder}: signed by key {sign(folder, manifest, key)}")


def _refuse_missing_partners(source: str, source_dir: Path | None) -> None:
    from fusionbench.core.interfaces import has_pairs
    from fusionbench.sources import SOURCES

    kind = SOURCES.get(source)
    if not has_pairs(kind):
        raise UsageError(f"--strict is about registered pairs; the source {source!r} has none")
    kind(source_dir, strict=True)  # type: ignore[call-arg]
