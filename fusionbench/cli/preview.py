"""``fusionbench preview``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.cli.options import json_option, out_option
from fusionbench.core.errors import UsageError


@click.command("preview", short_help="Draw targets and views of a data set as one image.")
@click.argument("folder", type=click.Path(path_type=Path))
@out_option("The PNG to write.", required=True)
@click.option("--split", metavar="SPLIT", help="Split to show.  [default: test where there is one]")
@click.option("--count", type=click.IntRange(1, 400), metavar="N", help="Number of samples [24]; of cut-outs [all].")
@click.option(
    "--index", "indices", multiple=True, type=click.IntRange(0), metavar="N", help="Show this sample; may be repeated."
)
@click.option(
    "--cutouts", is_flag=True, help="Show the cut-outs that are pasted over targets instead, the worst first."
)
@json_option("Print what was drawn as JSON.")
def preview_command(
    folder: Path,
    out: Path,
    split: str | None,
    count: int | None,
    indices: tuple[int, ...],
    cutouts: bool,
    as_json: bool,
) -> None:
    """Draw the data set in FOLDER: targets beside their views, spread evenly over the split.

    With --cutouts: all objects that were cut out to be pasted over the targets of the split, each with its score. The
    score is the agreement with the source's mask, or how closed the outline is, before a repair; * marks repaired ones.

    Example: fusionbench preview data/fusiondigits -o sheet.png
    """
    from fusionbench.core.io import write_bytes
    from fusionbench.data.dataset import open_dataset
    from fusionbench.data.preview import draw_cutouts, draw_preview

    dataset = open_dataset(folder)
    split = split or ("test" if "test" in dataset.splits else dataset.splits[0])
    if cutouts:
        if indices:
            raise UsageError("--index shows samples, not cut-outs: leave it or --cutouts out")
        sheet, numbers = draw_cutouts(dataset, split, count)
        write_bytes(out, sheet)
        facts = {"file": str(out), "split": split, "cutouts": numbers}
        click.echo(json.dumps(facts) if as_json else str(out))
        return
    size, count = dataset.size(split), count or 24
    chosen = list(indices) if indices else [i * size // min(count, size) for i in range(min(count, size))]
    if max(chosen) >= size:
        raise UsageError(f"--index {max(chosen)}: the {split} split of {dataset.name} has samples 0..{size - 1}")
    write_bytes(out, draw_preview(dataset, split, chosen))
    click.echo(json.dumps({"file": str(out), "split": split, "indices": chosen}) if as_json else str(out))
