"""``fusionbench quickstart``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import device_option, jobs_option, json_option, out_option

if TYPE_CHECKING:
    from fusionbench.cli.quickstart_steps import Quickstart


@click.command("quickstart", short_help="See everything at work in a few minutes, without any data to fetch.")
@out_option("Folder to fill.", default="quickstart", show_default=True)
@click.option(
    "--suite",
    type=Names("suites", files=True),
    default="quickstart",
    show_default=True,
    metavar="SUITE",
    help="Another suite: a name, or a .toml file.",
)
@device_option()
@click.option(
    "--budget",
    metavar="BUDGET",
    help="Cut each training short (20s, 50 steps, 5%); such rows are marked and not ranked.",
)
@jobs_option("Processes [0: one a core; 1 on a GPU].")
@json_option("Print paths and scores as JSON.")
def quickstart_command(out: Path, suite: str, device: str, budget: str | None, jobs: int, as_json: bool) -> None:
    """Generate a data set from embedded digits, verify it, train and score models on it, fuse embedded pairs of images
    in colour, and build the pages.

    Takes minutes on two cores; stopped, the same command goes on from there. Where a row fails, the pages show the
    others, and the exit code is 3.

    Example: fusionbench quickstart
    """
    from fusionbench.cli.quickstart_steps import quickstart

    started = time.monotonic()
    made = quickstart(out, suite_name=suite, device=device, budget=budget, jobs=jobs)
    if as_json:
        paths = ("data", "contact_sheet", "sample_sheet", "fused_pairs", "runs", "results", "site")
        rows = [
            {
                "name": row.identity.model.name,
                "title": row.title,
                "trivial": row.family == "trivial",
                "cut": row.cut,
                "id": row.id,
                "scores": {key: score.mean for key, score in row.scores.items()},
            }
            for row in made.rows
        ]
        report = {**{name: str(getattr(made, name)) for name in paths}, "rows": rows}
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        _show(made, started)
    if made.failed is not None:
        raise made.failed


def _show(made: Quickstart, started: float) -> None:
    """Tables of the scores, where everything lies, and what to try next."""
    from fusionbench.cli.console import console
    from fusionbench.core.progress import say
    from fusionbench.results.tables import by_inputs

    terminal = console(120)
    for metric in ("nll", "mse_min"):
        terminal.print()
        terminal.print(by_inputs(made.rows, metric))
    terminal.print()
    for what, path in {
        "the pages": made.site,
        "views of the data": made.contact_sheet,
        "what the models draw": made.sample_sheet,
        "fused pairs": made.fused_pairs,
        "results as JSON": made.results,
        "the data set": made.data,
        "trained weights": made.runs,
    }.items():
        click.echo(f"{what:22}{path}")
    say(f"\nDone in {time.monotonic() - started:.0f} s. Open the pages in a browser; then try, for example:")
    say(f"  fusionbench compare {made.results} --score 'mse_min@*'")
    say("  fusionbench describe fusionvae")
    say("  fusionbench fuse --a INFRARED --b VISIBLE -o fused           (files or folders of your own)")
    say(f"  fusionbench preview {made.data} -o more.png --split train --count 48")
    say("  fusionbench generate fusionmnist --source-dir MNIST_FOLDER   (the four original IDX files)")
