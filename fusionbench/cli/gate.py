"""``fusionbench gate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.options import data_option, device_option, json_option, option
from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.results.baseline import Baseline
    from fusionbench.results.gate import GateOutcome
    from fusionbench.results.result_set import ResultSet

_PATH = click.Path(path_type=Path)


@click.command("gate", short_help="Fail when a metric has become worse: exit codes for CI.")
@click.argument("candidate", type=_PATH, nargs=-1, required=True)
@click.option("-b", "--baseline", required=True, type=_PATH, metavar="FILE", help="The baseline, a JSON file.")
@click.option("--junit", type=_PATH, metavar="FILE", help="Write JUnit XML to this file.")
@option(
    "--summary",
    type=_PATH,
    metavar="FILE",
    former=["--markdown"],
    help="Add what happened to this Markdown file, such as $GITHUB_STEP_SUMMARY.",
)
@json_option("Print all cases as JSON.")
@click.option("--all", "everything", is_flag=True, help="Show the scores that are fine, too.")
@click.option("--better", default="", help="Directions of a file of scores: lower:loss,higher:acc.")
@click.option("--tolerance", default="", help="Tolerances of a file of scores, for --update-baseline: loss:0.01.")
@click.option("--update-baseline", is_flag=True, help="Write the candidate as the new baseline; review the diff.")
@click.option("--accept-regression", is_flag=True, help="Let --update-baseline accept what is worse or not comparable.")
@click.option("--drop", multiple=True, metavar="MODEL", help="Let --update-baseline drop this model or its scores.")
@click.option(
    "--alpha", type=float, help="Rate of false alarms over all scores, for --update-baseline.  [default: 0.05]"
)
@click.option("--calibrate", type=click.IntRange(3, 100), help="Seeds of every model to train for --update-baseline.")
@data_option("The data set, for --calibrate: its folder, or its name below --data-root.", as_path=True)
@click.option(
    "--runs",
    type=_PATH,
    metavar="DIR",
    default="runs/calibrate",
    show_default=True,
    help="Root of training runs of --calibrate.",
)
@device_option("Of --calibrate: auto, cpu, cuda or cuda:1.")
def gate_command(
    candidate: tuple[Path, ...],
    baseline: Path,
    junit: Path | None,
    summary: Path | None,
    as_json: bool,
    everything: bool,
    better: str,
    tolerance: str,
    update_baseline: bool,
    accept_regression: bool,
    drop: tuple[str, ...],
    alpha: float | None,
    calibrate: int | None,
    data: Path | None,
    runs: Path,
    device: str,
) -> None:
    """Judge CANDIDATE against a baseline: results, folders of results, or CSV and JSON files of per-image scores.

    A score regressed when its mean is worse by more than its tolerance and by more than noise explains. Exit codes:
    0 fine, 1 regression (or an update that would hide one), 2 usage, 3 could not measure, 4 not comparable.

    Example: fusionbench gate results --baseline benchmarks/baselines/quickstart.json
    """
    from fusionbench.results.gate import gate, read_baseline
    from fusionbench.results.score_files import parse_directions, parse_tolerances, read_candidate

    if not update_baseline and (accept_regression or drop or tolerance or alpha is not None):
        raise UsageError("--accept-regression, --drop, --tolerance and --alpha are for --update-baseline")
    if calibrate is not None:
        if data is None or not update_baseline:
            raise UsageError("--calibrate trains for a new baseline: it needs --data FOLDER and --update-baseline")
        if len(candidate) > 1 or candidate[0].is_file():
            raise UsageError("--calibrate adds results to a folder: give one folder of results")
        from fusionbench.evaluation.calibrate import complete_seeds

        complete_seeds(candidate[0], runs, data, calibrate, device)
    held = read_baseline(baseline) if baseline.exists() or not update_baseline else None
    results = read_candidate(
        candidate,
        better=parse_directions(better),
        tolerances=parse_tolerances(tolerance),
        baseline=held,
        lenient=not update_baseline,
    )
    outcome = None if held is None else gate(results, held)
    if outcome is not None:
        _report(outcome, junit, summary, as_json, everything)
    if update_baseline:
        rate = alpha if alpha is not None else None if held is None else held.error_rate
        _update(baseline, held, results, outcome, rate, accept_regression, drop)
        if as_json and outcome is None:  # nothing to judge: the first baseline
            click.echo(json.dumps({"baseline": str(baseline), "written": True}))
    elif outcome is not None:
        outcome.require()


def _report(outcome: GateOutcome, junit: Path | None, summary: Path | None, as_json: bool, everything: bool) -> None:
    from fusionbench.core.io import append_text, write_bytes
    from fusionbench.results import gate_report

    if junit is not None:
        write_bytes(junit, gate_report.outcome_junit(outcome))
    if summary is not None:
        append_text(summary, gate_report.outcome_markdown(outcome))  # the summary of a job grows step by step
    if as_json:
        click.echo(json.dumps(gate_report.outcome_data(outcome), indent=1, ensure_ascii=False))
        return
    from fusionbench.cli.console import console

    console(160).print(gate_report.outcome_table(outcome, everything))
    for line in gate_report.basis(outcome):
        click.echo(line)
    click.echo(gate_report.summary(outcome))


def _update(
    path: Path,
    held: Baseline | None,
    results: ResultSet,
    outcome: GateOutcome | None,
    alpha: float | None,
    accept_regression: bool,
    drop: tuple[str, ...],
) -> None:
    """Write a new baseline, unless it would hide something that was not asked for."""
    from fusionbench.core.progress import say
    from fusionbench.results.baseline import baseline_bytes, baseline_of, write_baseline
    from fusionbench.results.baseline_update import review_update
    from fusionbench.results.gate_report import calibration
    from fusionbench.results.gate_statistics import ALPHA

    made = baseline_of(results, alpha=ALPHA if alpha is None else alpha)
    if held is not None and outcome is not None:
        update = review_update(held, made, outcome)
        update.require(drop, accept_regression)
        for _, text in update.dropped:
            say(f"dropped: {text}")
        if update.accepted:
            say(f"accepted: {len(update.accepted)} scores that are worse or not comparable")
        for note in update.notes:
            say(f"note: {note}")
        if path.read_bytes() == baseline_bytes(made):
            say(f"{path}: unchanged")
            return
    elif drop or accept_regression:
        raise UsageError(f"{path}: there is no baseline yet; leave out --drop and --accept-regression")
    write_baseline(path, made)
    for line in calibration(made):
        say(line)
    say(f"{path}: written; review the diff and commit it")
