"""``fusionbench doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fusionbench.cli.options import json_option
from fusionbench.core.errors import CannotMeasure


@click.command("doctor", short_help="Check the installation and the machine.")
@json_option("The findings as JSON.")
@click.option("--quick", is_flag=True, help="Leave out the training steps that check the gradients.")
def doctor_command(as_json: bool, quick: bool) -> None:
    """Check Python, processor, memory, packages, devices, disk and plugins. Exit code 3 when something will not work.

    Every required package is imported and used once, and every model that learns takes a training step whose gradients
    are compared with float64, all in child processes.

    Example: fusionbench doctor
    """
    from fusionbench import __version__
    from fusionbench.cli.console import echo_marked, wrapped
    from fusionbench.cli.diagnostics import examine

    findings = examine(without=["gradients"] if quick else [])
    failed = [finding for finding in findings if finding.status == "fail"]
    if as_json:
        report = {"fusionbench": __version__, "ok": not failed, "findings": [asdict(found) for found in findings]}
        click.echo(json.dumps(report, indent=1))
    else:
        marks = {"ok": ("ok  ", "green"), "warn": ("look", "yellow"), "fail": ("FAIL", "red")}
        click.echo(f"fusionbench {__version__}")
        for finding in findings:
            text, colour = marks[finding.status]
            first, *more = wrapped(f"{finding.check:12}{finding.detail}", 5, 17)
            echo_marked(text, f" {first}", fg=colour)
            click.echo("".join(f"{line}\n" for line in more), nl=False)
            if finding.remedy:
                click.echo("\n".join(wrapped(f"{'':17}→ {finding.remedy}", 0, 19)))
    if failed:
        raise CannotMeasure(f"{len(failed)} of {len(findings)} checks failed: {', '.join(f.check for f in failed)}")
