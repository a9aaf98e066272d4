"""Verbs around data sets: ``plan``, ``status``, ``sample``, ``diff``, ``recipe new|check``, ``export``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import Argument, jobs_option, json_option, out_option
from fusionbench.cli.range_options import load_chosen_recipe, range_options
from fusionbench.core import progress
from fusionbench.core.errors import DataError, Rejected, UsageError

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range
    from fusionbench.data.build_plan import Plan

_SOURCE = click.option(
    "--source-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the upstream files."
)
_RECIPE = click.option(
    "--recipe", "recipe_file", type=click.Path(path_type=Path), metavar="FILE", help="A recipe file, not a NAME."
)
_OUT = out_option(
    "Root of data sets, as `generate` takes it [data].", default="data", setting="data_root", type=click.STRING
)
_SKIP = click.option(
    "--skip-refused", is_flag=True, help="Without the files that cannot be used, as `generate` makes it."
)
_JSON = json_option("Print JSON.")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@click.command("plan")
@click.argument("name", required=False, type=Names("recipes", files=True))
@_RECIPE
@_SOURCE
@_OUT
@jobs_option("Worker processes [0: as many as help].")
@_SKIP
@range_options("a", "b", head="Of registered pairs: ")
@_JSON
def plan_command(
    name: str | None,
    recipe_file: Path | None,
    source_dir: Path | None,
    out: str,
    jobs: int,
    skip_refused: bool,
    range_a: Range | None,
    range_b: Range | None,
    as_json: bool,
) -> None:
    """Say what `generate` would make: samples, files, bytes, time on one core, memory, and which shards are missing.

    Exit code 2 when the data set is finished and its source has changed since.

    Example: fusionbench plan fusionmnist --source-dir mnist/
    """
    from fusionbench.data.build_plan import plan_dataset

    if (name is None) == (recipe_file is None):
        raise UsageError("Name one data set, or a recipe with --recipe FILE")
    recipe = load_chosen_recipe(name, recipe_file, range_a, range_b)
    plan = plan_dataset(recipe, source_dir, out, skip_refused, jobs)
    if as_json:
        click.echo(json.dumps(plan.as_json()))
    else:
        click.echo(f"{plan.name} {plan.version}: {_plan_text(plan)}")
        click.echo(f"  {plan.folder}: {_plan_state(plan)}")
    if plan.changed:
        raise DataError(plan.changed)


def _plan_state(plan: Plan) -> str:
    from fusionbench.data.upload import is_url

    if plan.changed and is_url(plan.folder):
        return "the source has changed; nothing would be sent"
    if plan.changed:
        return f"the source has changed; `generate --update` makes {len(plan.missing)} of {plan.shards} shards again"
    if plan.damaged:
        count = len(plan.damaged)
        return f"{count} {'file is' if count == 1 else 'files are'} damaged; `generate` repairs the data set"
    return "finished" if plan.finished else f"{len(plan.missing)} shards are missing"


@click.command("status")
@click.argument("root", metavar="[DIR|URL]", default="data", cls=Argument, setting="data_root")
@_JSON
def status_command(root: str, as_json: bool) -> None:
    """List the data sets below a folder, finished or begun; below a URL the finished ones. Nothing is written.

    Example: fusionbench status data/
    """
    from fusionbench.data.build_plan import status

    rows = status(root)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        identity = f" id {row['id'][:12]}, manifest_sha256 {row['manifest_sha256'][:12]}" if row["id"] else ""
        size = _megabytes(row["bytes"])
        click.echo(f"{row['name']} {row['version']}: {row['state']}, {row['shards']} shards, {size}")
        click.echo(f"  {row['folder']}{identity}")


@click.command("sample")
@click.argument("name", type=Names("recipes", files=True))
@click.argument("split")
@click.argument("index", type=int)
@out_option("Folder for PNG and npz [.].", default=Path("."), former=["--output"])
@_SOURCE
@_SKIP
@_JSON
def sample_command(
    name: str, split: str, index: int, out: Path, source_dir: Path | None, skip_refused: bool, as_json: bool
) -> None:
    """Make sample INDEX of SPLIT of NAME (a data set or a recipe file) from the source alone: no shards are needed.

    Writes NAME-SPLIT-INDEX.npz (the arrays of a shard's row) and .png (target and views side by side; pairs have no
    target).

    Example: fusionbench sample fusionmnist test 1234 --source-dir mnist/ -o out/
    """
    import io

    import numpy as np

    from fusionbench.core.errors import unknown_name
    from fusionbench.core.images import encode_png
    from fusionbench.core.io import write_bytes
    from fusionbench.data.recipes import load_recipe
    from fusionbench.data.refused import leave_out_refused
    from fusionbench.data.sample_builders import build_bank, sample_builder
    from fusionbench.data.shard_layout import open_source

    recipe = load_recipe(name)
    if split not in recipe.splits:
        raise unknown_name(f"split of {recipe.name}", split, recipe.splits)
    source = open_source(recipe, source_dir)
    if skip_refused:
        recipe = leave_out_refused(recipe, source)
    builder = sample_builder(recipe, source)
    rows = builder.sample_index(split)
    size = len(rows)
    if not 0 <= index < size:
        raise UsageError(f"{recipe.name} {split} has samples 0 to {size - 1}, not {index}")
    bank = build_bank(builder, split)
    arrays, _ = builder.arrays(split, np.array([index]), rows[[index]], bank)
    stem = out / f"{recipe.name}-{split}-{index}"
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value[0] for key, value in arrays.items()})
    write_bytes(f"{stem}.npz", buffer.getvalue())
    targets = [arrays["targets"][0]] if "targets" in arrays else []  # pairs have none
    strip = np.concatenate([*targets, *arrays["views"][0]], axis=1)
    write_bytes(f"{stem}.png", encode_png(strip))
    facts = {"npz": f"{stem}.npz", "png": f"{stem}.png", "name": recipe.name, "split": split, "index": index}
    click.echo(json.dumps(facts) if as_json else f"{stem}.npz\n{stem}.png")


@click.command("diff")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@out_option("Write a page (HTML) with the samples that differ most.", former=["--html"])
@_JSON
def diff_command(a: Path, b: Path, out: Path | None, as_json: bool) -> None:
    """Say how data sets A and B differ: recipe, samples, and by how much. Exit code 1 when the data differ.

    The page of -o is one file without references to others, with both images of at most 24 samples and their
    absolute difference.

    Example: fusionbench diff data/fusiondigits other/fusiondigits -o diff.html
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.data.diff import compare_datasets

    sets = open_dataset(a), open_dataset(b)
    found = compare_datasets(*sets)
    if out is not None:
        from fusionbench.board.dataset_diff import render_diff
        from fusionbench.core.io import write_bytes

        write_bytes(out, render_diff(*sets, found))
        progress.say(f"wrote {out}")
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        for key, (one, two) in found.facts.items():
            click.echo(f"{key}: {one} | {two}")
        for row in found.arrays:
            first = ", ".join(map(str, row.samples[:8])) + (", …" if row.differing > 8 else "")
            click.echo(f"{row.split} {row.array}: {row.differing:,} of {row.n:,} samples differ ({first})")
            click.echo(f"  by at most {row.largest}, {row.mean:.6g} in the mean of all values")
        if found.same:
            click.echo("the data are the same")
    if not found.same:
        raise Rejected(f"{a} and {b} hold different data")


@click.group("recipe")
def recipe_command() -> None:
    """Write a recipe for your own images, or check one.

    Example: fusionbench recipe new mydata > mydata.toml
    """


@recipe_command.command("new")
@click.argument("name")
@click.option("--group-before", metavar="TEXT", help="Keep files in one split whose names are the same before TEXT.")
@click.option("--group-parts", type=click.IntRange(1, 64), metavar="N", help="Before which occurrence of TEXT [1].")
@click.option(
    "--group-csv", type=click.Path(path_type=Path), metavar="FILE", help="Groups of files from a CSV: file,group."
)
@click.option(
    "--of-pairs",
    "pairs",
    is_flag=True,
    help="For registered pairs of your own: patches to train on.",
)
@click.option(
    "--from", "origin", type=Names("recipes"), metavar="RECIPE", help="A copy of a recipe that comes with fusionbench."
)
@range_options("a", "b", head="With --from: ")
@json_option("Print an object with `name` and `text`.")
def recipe_new(
    name: str,
    group_before: str | None,
    group_parts: int | None,
    group_csv: Path | None,
    pairs: bool,
    origin: str | None,
    range_a: Range | None,
    range_b: Range | None,
    as_json: bool,
) -> None:
    """Print a commented recipe NAME that masks a folder of images; --of-pairs, of patches of pairs to train on;
    --from, a copy of another recipe.

    Crops of one photograph, or frames of one film, must not be in two splits. --group-before "_" keeps all files
    together whose names are the same up to the first "_", --group-csv those that a CSV in the folder of images puts
    together.

    --from tno --range-a 14bit is the recipe tno for infrared images of 14 bits, without the digests that tno has to
    come to.

    Example: fusionbench recipe new mydata > mydata.toml

    Example: fusionbench recipe new mypairs --of-pairs > mypairs.toml
    """
    from fusionbench.core.image_ranges import Ranges
    from fusionbench.core.io import read_bounded, shipped_folder
    from fusionbench.data.groups import MAX_BYTES, read_groups
    from fusionbench.data.recipe_copies import copy_recipe_text
    from fusionbench.data.recipes import parse_recipe

    ranges = Ranges(range_a, range_b)
    if origin is None and ranges:
        raise UsageError("--range-a and --range-b go with --from and a recipe of pairs, as in --from tno")
    if origin is not None:
        if group_before is not None or group_parts is not None or group_csv is not None:
            raise UsageError("--group-… write a recipe for a folder of images; with --from, edit the copy")
        if pairs:
            raise UsageError("--of-pairs and --from are two recipes; give one")
        return _print_recipe(name, copy_recipe_text(origin, name, ranges), as_json)
    if group_before is not None and group_csv is not None:
        raise UsageError("--group-before and --group-csv are two ways to say the same; give one")
    if group_parts is not None and group_before is None:
        raise UsageError("--group-parts goes with --group-before")
    template = "template-pairs.toml.txt" if pairs else "template.toml.txt"
    text = (shipped_folder("datasets_recipes") / template).read_text("utf-8").replace("@NAME@", name)
    line = ""
    if group_before is not None:
        parts = f", parts = {group_parts}" if group_parts else ""
        line = f"group_by = {{ before = {json.dumps(group_before)}{parts} }}\n"
    if group_csv is not None:
        content = read_bounded(group_csv, MAX_BYTES, "CSV of groups")
        read_groups(content, str(group_csv))
        sha256 = hashlib.sha256(content).hexdigest()
        line = f'group_by = {{ csv = {json.dumps(group_csv.name)}, sha256 = "{sha256}" }}\n'
    if line:
        head, _, tail = text.partition("# group_by = ")
        text = head + line + tail.partition("\n")[2]
    parse_recipe(text.encode("utf-8", "surrogateescape"), f"recipe {name!r}")
    _print_recipe(name, text, as_json)


def _print_recipe(name: str, text: str, as_json: bool) -> None:
    click.echo(json.dumps({"name": name, "text": text}) if as_json else text, nl=as_json)


@recipe_command.command("check")
@click.argument("recipe_name", metavar="FILE|NAME", type=Names("recipes", files=True))
@_SOURCE
@_JSON
def recipe_check(recipe_name: str, source_dir: Path | None, as_json: bool) -> None:
    """Check the recipe in FILE, or the one called NAME, and say what it would make.

    With --source-dir every file of the source is read, and those that are refused are listed, the first 8 here and all
    with --json; the exit code is 2 when the recipe needs one of them.

    Example: fusionbench recipe check mydata.toml --source-dir images/
    """
    from fusionbench.data.build_plan import plan_dataset
    from fusionbench.data.groups import group_facts
    from fusionbench.data.recipes import list_recipes, load_recipe
    from fusionbench.data.refused import cannot_skip, find_refused, refused_lines, source_place, without
    from fusionbench.data.shard_layout import open_source
    from fusionbench.sources import SOURCES

    known = recipe_name.partition("@")[0] in list_recipes()
    if not recipe_name.endswith(".toml") and not known and Path(recipe_name).suffix:
        raise DataError(f"{recipe_name}: a recipe is a .toml file")
    recipe = load_recipe(recipe_name)
    SOURCES.get(recipe.source.name)
    spec, whole = recipe.image_spec, hasattr(recipe, "pairs") and recipe.whole
    size = "pairs of their own sizes" if whole else f"{spec.height}×{spec.width}×{spec.channels}"
    facts: dict[str, Any] = {
        "name": recipe.name,
        "version": recipe.version,
        "hash": recipe.hash,
        "image": None if whole else [spec.height, spec.width, spec.channels],
        "views": spec.views,
        "splits": list(recipe.splits),
    }
    lines = [f"{recipe_name}: a valid recipe for {recipe.name} {recipe.version} (recipe {recipe.hash[:12]})"]
    lines.append(f"  {spec.views} views of {size}; splits: {', '.join(recipe.splits)}")
    problem = ""
    if source_dir is not None or recipe.source.name in ("digits", "pairs-demo"):  # embedded ones
        source = open_source(recipe, source_dir, fresh=True)
        found = find_refused(recipe, source, everything=True)
        facts["looked_at"], facts["refused"] = found.looked_at, [one.as_json() for one in found.refused]
        if found.refused:
            lines.append(f"  {found.head()}:")
            lines += [f"    {line}" for line in refused_lines(found.refused, "--json lists all")]
        skipping = bool(found.used) and not cannot_skip(recipe, source)
        if found.used:
            remedy = "repair them, or leave them out with `generate --skip-refused`" if skipping else "fetch them again"
            problem = f"{source_place(source)}: {found.head(found.used)}; {remedy}"
        if skipping or not found.used:
            try:
                plan = plan_dataset(without(recipe, found.used), source_dir)
            except DataError as error:  # nothing is left
                if not problem:
                    raise
                lines.append(f"  without them: {error}")
            else:
                facts["plan_without" if skipping else "plan"] = plan.as_json()
                if groups := group_facts(recipe, source):
                    facts["groups"] = groups
                    lines.append("  groups: " + ", ".join(f"{split} {count:,}" for split, count in groups.items()))
                lines.append(f"  {'without them: ' if skipping else ''}{_plan_text(plan)}")
                if plan.changed:
                    lines.append(f"  {plan.changed}")
    click.echo(json.dumps(facts) if as_json else "\n".join(lines))
    if problem:
        raise DataError(problem)


def _plan_text(plan: Plan) -> str:
    sizes = ", ".join(f"{split} {count:,}" for split, count in plan.splits.items())
    processes = "" if plan.processes == 1 else f" in {plan.processes} processes"
    return (
        f"{sizes}: {plan.shards} shards, {plan.files} files, {_megabytes(plan.bytes)}, about {plan.seconds:.1f} s on "
        f"one core, about {plan.memory / 1e6:,.0f} MB of memory{processes}"
    )


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "form", required=True, metavar="FORM", help="png, webdataset or targets.")
@out_option("An empty or new folder.", required=True, former=["--output"])
@_JSON
def export_command(folder: Path, form: str, out: Path, as_json: bool) -> None:
    """Copy the data set in FOLDER for other tools: folders of PNG, or WebDataset archives.

    With --to targets the copy is the same data set with the same id, for fusionbench, in a fraction of the bytes: it
    has no views, which are made when it is opened.

    Example: fusionbench export data/fusiondigits --to png -o images/
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.data.export import export

    made = str(export(open_dataset(folder), form, out))
    click.echo(json.dumps({"folder": made, "form": form}) if as_json else made)
