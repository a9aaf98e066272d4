"""``fusionbench score``: fused pictures against their sources."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fusionbench.score import Scores

_PLACE = click.Path(path_type=Path)


@click.command("score")
@click.option("--a", required=True, type=_PLACE, help="First source (infrared, CT, PET): a picture or a folder.")
@click.option("--b", required=True, type=_PLACE, help="Second source (visible, MRI): a picture or a folder.")
@click.option("--fused", required=True, type=_PLACE, help="What to score: a picture or a folder, paired by stem.")
@click.option("--metrics", help="Comma-separated names, or all. [default: the eight of the field's tables]")
@click.option("--dialect", default="standard/1", show_default=True, help="Whose definitions, for example cddfuse.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with full float64 values.")
@click.option("--csv", "csv_path", type=_PLACE, help="Write the values per image to this file as well.")
@click.option("--jobs", type=int, help="Images at a time. [default: the processors at hand]")
@click.option("--strict", is_flag=True, help="Refuse when a picture lacks its partner.")
def score_command(
    a: Path,
    b: Path,
    fused: Path,
    metrics: str | None,
    dialect: str,
    as_json: bool,
    csv_path: Path | None,
    jobs: int | None,
    strict: bool,
) -> None:
    """Score fused pictures against their two sources.

    Example: fusionbench score --a ir --b vi --fused out --dialect cddfuse

    Pictures are PNG, JPEG, BMP or TIFF; colour is scored by its BT.601 luma. Only standard/1 is ranked;
    the other dialects reproduce the numbers of papers.
    """
    from fusionbench.progress import say
    from fusionbench.score import score_files

    names = [name.strip() for name in metrics.split(",") if name.strip()] if metrics is not None else None
    scores = score_files(a, b, fused, names, dialect, jobs=jobs, strict=strict)
    for warning in scores.warnings:
        say(f"warning: {warning}")
    if csv_path is not None:
        from fusionbench.files import write_bytes

        write_bytes(csv_path, _csv(scores).encode())
        say(f"values per image: {csv_path}")
    if as_json:
        click.echo(json.dumps(scores.to_json(), indent=1, allow_nan=False))
    else:
        click.echo(_table(scores))


def _csv(scores: Scores) -> str:
    names = [metric.name for metric in scores.metrics]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["id", *names])
    for row, name in enumerate(scores.ids):
        # repr of a float is the shortest text that reads back to the same float64
        writer.writerow([name, *(repr(float(scores.values[metric][row])) for metric in names)])
    return buffer.getvalue()


def _table(scores: Scores) -> str:
    """Values per image, their mean and half the 95 % interval of the mean, in aligned columns."""
    names = [metric.name for metric in scores.metrics]
    rows = [["", *names], ["", *(f"[{metric.unit}]" for metric in scores.metrics)]]
    for place, name in enumerate(scores.ids):
        rows.append([name, *(f"{scores.values[metric][place]:.4f}" for metric in names)])
    if len(scores.ids) > 1:
        means, halves = [], []
        for name in names:
            score = scores.summary[name]
            means.append("not finite" if score.mean is None else f"{score.mean:.4f}")
            halves.append("" if score.ci95 is None or score.mean is None else f"{score.ci95[1] - score.mean:.4f}")
        rows += [["mean", *means], ["± (95 %)", *halves]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
    count = f"{len(scores.ids)} image" + ("s" if len(scores.ids) != 1 else "")
    return "\n".join([f"{count}, {scores.dialect}", *lines])
