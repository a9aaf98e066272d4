"""``fusionbench gate``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.core.errors import UsageError

_PATH = click.Path(path_type=Path)


@click.command("gate", short_help="Fail when a metric has become worse: exit codes for CI.")
@click.argument("candidate", type=_PATH)
@click.option("-b", "--baseline", required=True, type=_PATH, help="The baseline, a JSON file.")
@click.option("--junit", type=_PATH, help="Write JUnit XML to this file.")
@click.option("--markdown", type=_PATH, help="Append a summary to this file, as $GITHUB_STEP_SUMMARY wants it.")
@click.option("--json", "as_json", is_flag=True, help="Print all cases as JSON.")
@click.option("--all", "everything", is_flag=True, help="Show the scores that are fine, too.")
@click.option("--update-baseline", is_flag=True, help="Write the candidate as the new baseline; review the diff.")
@click.option("--calibrate", type=click.IntRange(3, 100), help="Train every model with this many seeds for --update.")
@click.option("--data", type=_PATH, help="The data set's folder, for --calibrate.")
@click.option("--runs", type=_PATH, default="runs/calibrate", show_default=True, help="Runs of --calibrate.")
@click.option("--device", default="auto", show_default=True, help="Device of --calibrate.")
def gate_command(
    candidate: Path,
    baseline: Path,
    junit: Path | None,
    markdown: Path | None,
    as_json: bool,
    everything: bool,
    update_baseline: bool,
    calibrate: int | None,
    data: Path | None,
    runs: Path,
    device: str,
) -> None:
    """Judge CANDIDATE (a result, or a folder of results) against a baseline.

    A score regressed when its mean is worse by more than its tolerance and the paired interval of the difference
    leaves zero out. Exit codes: 0 fine, 1 regression, 2 usage, 3 could not measure, 4 not comparable.

    Example: fusionbench gate results --baseline benchmarks/baselines/quickstart.json
    """
    from fusionbench.core.progress import say
    from fusionbench.results import gate_report
    from fusionbench.results.gate import baseline_of, gate, read_baseline, write_baseline
    from fusionbench.results.result_set import read_results

    if calibrate is not None:
        if data is None or not update_baseline:
            raise UsageError("--calibrate trains for a new baseline: it needs --data FOLDER and --update-baseline")
        from fusionbench.evaluation.calibrate import complete_seeds

        complete_seeds(candidate, runs, data, calibrate, device)
    held = read_baseline(baseline) if baseline.exists() or not update_baseline else None
    results = read_results(candidate)
    outcome = None if held is None else gate(results, held)
    if outcome is not None:
        from fusionbench.core.io import append_text, write_bytes

        if junit is not None:
            write_bytes(junit, gate_report.outcome_junit(outcome))
        if markdown is not None:
            append_text(markdown, gate_report.outcome_markdown(outcome))  # the summary of a job grows step by step
        if as_json:
            click.echo(json.dumps(gate_report.outcome_data(outcome), indent=1, ensure_ascii=False))
        else:
            from fusionbench.cli.console import console

            console(160).print(gate_report.outcome_table(outcome, everything))
            click.echo(gate_report.summary(outcome))
    if update_baseline:
        write_baseline(baseline, baseline_of(results))
        say(f"{baseline}: written; review the diff and commit it")
    elif outcome is not None:
        outcome.require()
