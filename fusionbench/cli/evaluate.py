"""``fusionbench evaluate``: methods by name, trained runs and classes of your own, scored under a protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.cluster_options import cluster_options
from fusionbench.cli.console import print_results, print_tables
from fusionbench.cli.names import Names
from fusionbench.cli.options import data_option, device_option, json_option, results_option, stop_option
from fusionbench.cli.protocol_options import ProtocolCommand, protocol_settings, used_protocol
from fusionbench.cli.setting_options import parse_settings
from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.core.time_limit import UnfinishedError, parse_duration, stop_before, time_limit

if TYPE_CHECKING:
    from fusionbench.results.schema import Result


@click.command("evaluate", cls=ProtocolCommand)
@click.argument("methods", nargs=-1, required=True, type=Names("models", files=True, plugin="models"))
@data_option("A data set, or pairs: a folder, or a name (a set's below --data-root).", required=True)
@click.option(
    "--protocol",
    type=Names("protocols", files=True, plugin="protocols"),
    metavar="NAME",
    help="How to score, see `fusionbench list protocols` [pairs where --data names a source or a data set of pairs, "
    "else masked].",
)
@click.option("--option", "extra", multiple=True, metavar="KEY=VALUE", help="Option of the protocol; repeatable.")
@click.option("-p", "--preset", metavar="PRESET", help="Preset of a method by name.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Parameter of a method by name; repeatable."
)
@click.option("--split", metavar="SPLIT", help="[test; pairs without one: their first]")
@click.option("--title", metavar="TEXT", help="What tables call it, where one method is scored [its own title].")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first images of the split.")
@results_option()
@device_option()
@stop_option()
@click.option("--force", is_flag=True, help="Score again although the result is there.")
@cluster_options("Score each run")
@json_option("Print the results as JSON, a line each.")
@click.pass_context
def evaluate_command(
    context: click.Context,
    /,
    methods: tuple[str, ...],
    data: str,
    protocol: str | None,
    extra: tuple[str, ...],
    preset: str | None,
    settings: tuple[str, ...],
    split: str | None,
    title: str | None,
    limit: int | None,
    out: Path,
    device: str,
    stop_after: str | None,
    force: bool,
    scheduler: str | None,
    as_json: bool,
    **own: Any,
) -> None:
    """Score METHODS at every number of inputs, or on registered pairs. Prints the folder of each result.

    Each of METHODS is the folder of a trained run, a model that learns nothing (`fusionbench list models`) or
    file.py:Class. The scores are shown on stderr as `compare` shows them, several runs of one model with different
    seeds as mean ± standard deviation. Stopped or killed, the same command goes on. Exit code 3 where one of several
    could not be scored, the others are; 75 where --stop-after ended it before all was done.

    Example: fusionbench evaluate average guided-filter my_method.py:Fuser --data my-pairs/

    Example: fusionbench evaluate runs/fusiondigits/fusionvae-seed0 --data fusiondigits

    Example: fusionbench evaluate runs/roadscene-patches/dae-fuse-seed0 --data tno --source-dir tno/

    Example: fusionbench evaluate runs/fusionmnist/* --data fusionmnist --scheduler tcp://host:8786
    """
    from fusionbench.core import progress
    from fusionbench.evaluation.cluster_runs import RunsFailed, RunsUnfinishedError, evaluate_on_cluster
    from fusionbench.evaluation.named_methods import is_run, method_by_name
    from fusionbench.evaluation.protocols.base import OPENS
    from fusionbench.training.runtime import torchrun_rank, torchrun_size

    progress.QUIET = progress.QUIET or torchrun_rank() > 0
    rules = used_protocol(context)
    if torchrun_size() > 1 and not rules.trains_on_dataset:
        raise UsageError(f"{rules.key} scores in one process: start it without torchrun")
    if title is not None and (len(methods) > 1 or not title.strip()):
        raise UsageError(f"--title {title!r}: give the one method that is called so, and a text")
    until = None if stop_after is None else time.time() + parse_duration(stop_after)
    given = protocol_settings(context, rules, own)
    options = {key: value for key, value in given.items() if key in rules.own_options}
    if limit is not None:
        options["limit"] = limit
    checked = rules.options(**options, **_further(extra, options))
    opened = rules.open(data, checked, split=split, **{key: given[key] for key in OPENS & rules.takes & given.keys()})
    takes = {key: given[key] for key in (rules.takes - OPENS) & given.keys()}
    how: dict[str, Any] = {"device": device, "force": force, "title": title, **takes}
    built: dict[str, Any] = {"preset": preset, "params": parse_settings(settings, "--set", "--set levels=5")}
    ended: RunsFailed | RunsUnfinishedError | None = None
    try:
        with time_limit(until):
            if scheduler is None:
                # all of them before hours of scoring
                found = [(name, *method_by_name(name, rules.spec(opened), **built)) for name in methods]
                results = _score_here(
                    found, lambda model, params: rules.evaluate(model, opened, checked, out=out, params=params, **how)
                )
            else:
                if preset is not None or settings or not all(map(is_run, methods)):
                    raise UsageError("a cluster scores runs: give their folders, without --preset and --set")
                where: dict[str, Any] = {"split": split, "out": out, "scheduler": scheduler}
                runs = [Path(name) for name in methods]
                results = evaluate_on_cluster(runs, rules, opened, checked, **where, **how)
    except (RunsFailed, RunsUnfinishedError) as error:
        ended, results = error, error.results
    if torchrun_rank() == 0:
        print_results(results, out, as_json)
        if results and not as_json:
            _show_scores([result.folder(out) for result in results], rules.columns)
    if ended is not None:
        raise ended


def _score_here(methods: Sequence[tuple[str, Any, Any]], evaluate: Callable[..., Result]) -> list[Result]:
    """The results of (name, model, its parameters), one after the other; of several, one that fails stops no other.

    Raises:
        RunsFailed, RunsUnfinishedError: with the results of the others.
    """
    from fusionbench.evaluation.cluster_runs import finished
    from fusionbench.evaluation.jobs import describe_error

    if len(methods) == 1:
        ((_, model, params),) = methods
        return [evaluate(model, params)]
    results: list[Result] = []
    failed: dict[Path | str, str] = {}
    unfinished: dict[Path | str, str] = {}
    for name, model, params in methods:
        try:
            stop_before(name)
            results.append(evaluate(model, params))
        except UnfinishedError as error:
            unfinished[name] = str(error)
        except (Exception, SystemExit) as error:  # also what code of a plugin raises, or sys.exit in it
            alone = "; score it alone for its traceback"
            if isinstance(error, FusionbenchError | SystemExit):
                alone = ""
            failed[name] = describe_error(error, None) + alone
    return finished(results, failed, unfinished, "method")


def _further(extra: tuple[str, ...], given: Collection[str]) -> dict[str, Any]:
    """The options of ``--option KEY=VALUE``.

    Raises:
        UsageError: one that has another form, or that an option of its own gives, too.
    """
    found = parse_settings(extra, "--option")
    for key in found:
        if key in given:
            raise UsageError(f"--option {key}: is given twice, here and by an option of its own; leave out one")
    return found


def _show_scores(folders: list[Path], scores: Sequence[str]) -> None:
    """Means, with their deviation over seeds, as talk: `fusionbench compare` gives them as data.

    Rows below each other as `compare` shows them; the scores of a single one as a list.
    """
    from fusionbench.core import progress
    from fusionbench.results import tables
    from fusionbench.results.comparison import compare_results

    if progress.QUIET:
        return
    comparison = compare_results(folders, scores=list(scores))
    if len(comparison.entries) > 1:
        print_tables(comparison, stderr=True)
        return
    progress.say(tables.label(comparison.entries[0]))
    for key, (row,) in comparison.scores.items():
        if row is not None:
            progress.say(f"  {key:20}{tables.number(row)[0]}{tables.spread_text(row)}")
    for line in tables.notes(comparison):
        progress.say(line)
