"""Verbs around data sets: ``plan``, ``status``, ``sample``, ``diff``, ``recipe new|check``, ``export``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.errors import DataError, Rejected, UsageError

_SOURCE = click.option("--source-dir", type=click.Path(path_type=Path), help="Folder of the upstream files.")
_RECIPE = click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe file, not a NAME.")
_OUT = click.option("--out", type=click.Path(path_type=Path), default=Path("data"), help="Root of data sets [data].")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@click.command("plan")
@click.argument("name", required=False)
@_RECIPE
@_SOURCE
@_OUT
@_JSON
def plan_command(name: str | None, recipe_file: Path | None, source_dir: Path | None, out: Path, as_json: bool) -> None:
    """Say what `generate` would make: samples, bytes, time on one core, and which shards are missing.

    Example: fusionbench plan fusionmnist --source-dir mnist/
    """
    from fusionbench.plan import plan_dataset
    from fusionbench.recipes import load_recipe

    if (name is None) == (recipe_file is None):
        raise UsageError("Name one data set, or a recipe with --recipe FILE")
    plan = plan_dataset(load_recipe(recipe_file if recipe_file is not None else str(name)), source_dir, out)
    if as_json:
        click.echo(json.dumps(plan.as_json()))
        return
    sizes = ", ".join(f"{split} {count:,}" for split, count in plan.splits.items())
    click.echo(f"{plan.name} {plan.version}: {sizes}")
    click.echo(f"  {plan.shards} shards, {_megabytes(plan.bytes)}, about {plan.seconds:.1f} s on one core")
    click.echo(f"  {plan.folder}: " + ("finished" if plan.finished else f"{len(plan.missing)} shards are missing"))


@click.command("status")
@click.argument("root", type=click.Path(path_type=Path), default=Path("data"))
@_JSON
def status_command(root: Path, as_json: bool) -> None:
    """List the data sets below ROOT, finished or begun.

    Example: fusionbench status data/
    """
    from fusionbench.plan import status

    rows = status(root)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        identity = f" id {row['id'][:12]}" if row["id"] else ""
        size = _megabytes(row["bytes"])
        click.echo(f"{row['name']} {row['version']}: {row['state']}, {row['shards']} shards, {size}")
        click.echo(f"  {row['folder']}{identity}")


@click.command("sample")
@click.argument("name")
@click.argument("split")
@click.argument("index", type=int)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("."), help="Folder for PNG and npz [.].")
@_SOURCE
def sample_command(name: str, split: str, index: int, output: Path, source_dir: Path | None) -> None:
    """Make sample INDEX of SPLIT of NAME (a data set or a recipe file) from the source alone: no shards are needed.

    Writes NAME-SPLIT-INDEX.npz (the arrays of a shard's row) and .png (target and views side by side; pairs have no
    target).

    Example: fusionbench sample fusionmnist test 1234 --source-dir mnist/ -o out/
    """
    import io

    import cv2
    import numpy as np

    from fusionbench.build import open_source
    from fusionbench.errors import unknown_name
    from fusionbench.files import write_bytes
    from fusionbench.making import bank_of, maker_of
    from fusionbench.recipes import load_recipe

    recipe = load_recipe(name)
    if split not in recipe.splits:
        raise unknown_name(f"split of {recipe.name}", split, recipe.splits)
    source = open_source(recipe, source_dir)
    maker = maker_of(recipe, source)
    rows = maker.rows(split)
    size = len(rows)
    if not 0 <= index < size:
        raise UsageError(f"{recipe.name} {split} has samples 0 to {size - 1}, not {index}")
    bank = bank_of(recipe, source, split)
    arrays, _ = maker.arrays(split, np.array([index]), rows[[index]], bank)
    stem = output / f"{recipe.name}-{split}-{index}"
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value[0] for key, value in arrays.items()})
    write_bytes(f"{stem}.npz", buffer.getvalue())
    targets = [arrays["targets"][0]] if "targets" in arrays else []  # pairs have none
    strip = np.concatenate([*targets, *arrays["views"][0]], axis=1)
    if strip.ndim == 3:
        strip = strip[..., ::-1]  # OpenCV writes blue first
    write_bytes(f"{stem}.png", cv2.imencode(".png", strip)[1].tobytes())
    click.echo(f"{stem}.npz\n{stem}.png")


@click.command("diff")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@_JSON
def diff_command(a: Path, b: Path, as_json: bool) -> None:
    """Say how data sets A and B differ: recipe, samples, and by how much. Exit code 1 when the data differ.

    Example: fusionbench diff data/fusiondigits other/fusiondigits
    """
    from fusionbench.data import open_dataset
    from fusionbench.difference import compare_datasets

    found = compare_datasets(open_dataset(a), open_dataset(b))
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
    """Write a recipe for your own pictures, or check one.

    Example: fusionbench recipe new mydata > mydata.toml
    """


@recipe_command.command("new")
@click.argument("name")
def recipe_new(name: str) -> None:
    """Print a commented recipe NAME that masks a folder of pictures.

    Example: fusionbench recipe new mydata > mydata.toml
    """
    from fusionbench.files import shipped_folder
    from fusionbench.recipes import parse_recipe

    text = (shipped_folder("datasets_recipes") / "template.toml.txt").read_text("utf-8").replace("@NAME@", name)
    parse_recipe(text.encode(), f"recipe {name!r}")
    click.echo(text, nl=False)


@recipe_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@_SOURCE
@_JSON
def recipe_check(file: Path, source_dir: Path | None, as_json: bool) -> None:
    """Check the recipe in FILE and say what it would make; with --source-dir, from which pictures.

    Example: fusionbench recipe check mydata.toml --source-dir pictures/
    """
    from fusionbench.plan import plan_dataset
    from fusionbench.recipes import load_recipe
    from fusionbench.sources import SOURCES

    if file.suffix != ".toml":
        raise DataError(f"{file}: a recipe is a .toml file")
    recipe = load_recipe(file)
    SOURCES.get(recipe.source.name)
    spec = recipe.image_spec
    facts = {
        "name": recipe.name,
        "version": recipe.version,
        "hash": recipe.hash,
        "image": [spec.height, spec.width, spec.channels],
        "views": spec.views,
        "splits": list(recipe.splits),
    }
    plan = plan_dataset(recipe, source_dir) if source_dir is not None or recipe.source.name == "digits" else None
    if plan is not None:
        facts["plan"] = plan.as_json()
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"{file}: a valid recipe for {recipe.name} {recipe.version} (recipe {recipe.hash[:12]})")
    shape = f"{spec.height}×{spec.width}×{spec.channels}"
    click.echo(f"  {spec.views} views of {shape}; splits: {', '.join(recipe.splits)}")
    if plan is not None:
        sizes = ", ".join(f"{split} {count:,}" for split, count in plan.splits.items())
        click.echo(f"  {sizes}: {plan.shards} shards, {_megabytes(plan.bytes)}, about {plan.seconds:.1f} s on one core")


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "form", required=True, help="png or webdataset.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="An empty or new folder.")
def export_command(folder: Path, form: str, output: Path) -> None:
    """Copy the data set in FOLDER for other tools: folders of PNG, or WebDataset archives.

    Example: fusionbench export data/fusiondigits --to png -o pictures/
    """
    from fusionbench.data import open_dataset
    from fusionbench.export import export

    click.echo(str(export(open_dataset(folder), form, output)))
