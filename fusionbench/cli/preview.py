"""``fusionbench preview``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.core.errors import UsageError


@click.command("preview", short_help="Draw targets and views of a data set as one image.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The PNG to write.")
@click.option("--split", help="Split to show.  [default: test where there is one]")
@click.option("--count", default=24, show_default=True, type=click.IntRange(1, 400), help="Number of samples.")
@click.option("--index", "indices", multiple=True, type=click.IntRange(0), help="Show this sample; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as JSON.")
def preview_command(
    folder: Path, out: Path, split: str | None, count: int, indices: tuple[int, ...], as_json: bool
) -> None:
    """Draw the data set in FOLDER: targets beside their views, spread evenly over the split.

    Example: fusionbench preview data/fusiondigits -o sheet.png
    """
    from fusionbench.core.io import write_bytes
    from fusionbench.data.dataset import open_dataset
    from fusionbench.data.preview import draw_preview

    dataset = open_dataset(folder)
    split = split or ("test" if "test" in dataset.splits else dataset.splits[0])
    size = dataset.size(split)
    chosen = list(indices) if indices else [i * size // min(count, size) for i in range(min(count, size))]
    if max(chosen) >= size:
        raise UsageError(f"--index {max(chosen)}: the {split} split of {dataset.name} has samples 0..{size - 1}")
    write_bytes(out, draw_preview(dataset, split, chosen))
    click.echo(json.dumps({"file": str(out), "split": split, "indices": chosen}) if as_json else str(out))
