"""``fusionbench compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.names import Names
from fusionbench.core.errors import unknown_name

if TYPE_CHECKING:
    from fusionbench.results.tiers import Tiers


def _default(name: str) -> Any:
    """A default of :mod:`fusionbench.results.bootstrap`, looked up when it is wanted: the help needs no NumPy."""
    from fusionbench.results import bootstrap as stats

    return getattr(stats, name)


def _column(name: str, known: set[str]) -> list[str]:
    """The scores of a column: the one of this name, or a metric's own and its mean over the numbers of inputs.

    Raises:
        UsageError: no result has such a score.
    """
    by_case = {key.casefold(): key for key in known}
    wanted = [name] if "@" in name else [name, f"{name}@mean"]
    if found := [by_case[one.casefold()] for one in wanted if one.casefold() in by_case]:
        return found
    raise unknown_name("score of these results", name, known)


@click.command("compare", short_help="Compare results in pairs, with intervals and ties.")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="PATTERN",
    help="Score or pattern, e.g. 'mse_min@*'; may be repeated.",
)
@click.option(
    "--columns",
    type=Names("metrics", several=True),
    metavar="NAMES",
    help="Metrics or scores that are the columns, in this order, e.g. en,sd,vif. [default: all]",
)
@click.option(
    "--level",
    default=lambda: _default("LEVEL"),
    show_default="0.95",
    metavar="SHARE",
    type=click.FloatRange(0.5, 0.999),
    help="Of the intervals.",
)
@click.option(
    "--resamples",
    default=lambda: _default("RESAMPLES"),
    show_default="10000",
    metavar="N",
    type=click.IntRange(100, 1_000_000),
    help="Of the bootstrap.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="WORD",
    help="One of several benchmarks: data set, split, n=3 (images) or pairs/1 (protocol); may be repeated.",
)
@click.option("--strict", is_flag=True, help="Refuse all when one result is damaged, instead of setting it aside.")
@click.option(
    "--tiers",
    type=click.Choice(["apart", "together"]),
    default="apart",
    show_default=True,
    help="Submitted predictions in a table of their own, or ranked with rows that were scored from weights.",
)
@click.option("--json", "form", flag_value="json", help="The comparison as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="A Markdown table.")
@click.option("--csv", "form", flag_value="csv", help="One line per model and score.")
@click.option("--latex", "form", flag_value="latex", help="A booktabs table.")
def compare_command(
    results: tuple[Path, ...],
    scores: tuple[str, ...],
    columns: str | None,
    level: float,
    resamples: int,
    only: tuple[str, ...],
    strict: bool,
    tiers: Tiers,
    form: str | None,
) -> None:
    """Compare RESULTS: result files, or folders of them.

    All models are measured on the same images, so differences are taken image by image and their
    intervals come from resampling the images (and the training runs, where a model has three or more).
    Submitted predictions are ranked apart from rows that were scored from weights.
    Results of different data, protocols or metric versions are refused (exit code 4); where results of several
    benchmarks lie in a folder the message lists them, and --only chooses one. Means are computed again from the
    per-image tables; a result that is damaged, or states another mean, is set aside and named on stderr and in --json.

    Example: fusionbench compare quickstart/results --score 'mse_min@*'

    Example: fusionbench compare results/tno --columns en,sd,vif,qabf

    Example: fusionbench compare results --only pairs-demo --only pairs/1 --only n=3
    """
    from fusionbench.core.progress import say
    from fusionbench.results import tables
    from fusionbench.results.benchmark_choice import choose_benchmark
    from fusionbench.results.comparison import compare_results
    from fusionbench.results.input_means import renaming
    from fusionbench.results.result_set import read_results

    if note := renaming(scores):
        say(note)
    found = choose_benchmark(read_results(results, strict=strict), only)
    if columns is not None:
        known = {key for one in found.members for key in one.result.scores}
        scores = (
            *scores,
            *(key for name in columns.split(",") if name.strip() for key in _column(name.strip(), known)),
        )
    comparison = compare_results(found, scores=scores, resamples=resamples, level=level, tiers=tiers)
    if form == "json":
        aside = [one.as_json() for one in found.set_aside]
        click.echo(json.dumps({**tables.as_data(comparison), "set_aside": aside}, indent=1, ensure_ascii=False))
    elif form is not None:
        render = {"markdown": tables.as_markdown, "csv": tables.as_csv, "latex": tables.as_latex}[form]
        click.echo(render(comparison), nl=False)
    else:
        from fusionbench.cli.console import print_tables

        print_tables(comparison)
