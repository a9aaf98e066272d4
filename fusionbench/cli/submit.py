"""``fusionbench pack``, ``check`` and ``accept``: submissions of trained models."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from fusionbench.errors import Rejected, UsageError

_PATH = click.Path(path_type=Path)


@click.command("pack", short_help="Pack a trained run as a submission.")
@click.argument("run", type=_PATH)
@click.option("-o", "--out", required=True, type=_PATH, help="The zip to write.")
@click.option("--title", required=True, help="What tables call the model.")
@click.option("--submitter", required=True, help="Who submits it.")
@click.option("--link", help="An https address with more about it.")
@click.option("--note", default="", help="What readers should know.")
def pack_command(run: Path, out: Path, title: str, submitter: str, link: str | None, note: str) -> None:
    """Pack the training RUN's record and weights into one file.

    Example: fusionbench pack runs/cvae -o cvae.zip --title CVAE --submitter "A. Author"
    """
    from fusionbench.submit import pack

    click.echo(str(pack(run, out, title=title, submitter=submitter, link=link, note=note)))


@click.command("check", short_help="Check a submission: all problems at once, offline.")
@click.argument("submission", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def check_command(submission: Path, as_json: bool) -> None:
    """Check a SUBMISSION as the maintainer will. Exit code 1 when something is wrong.

    Example: fusionbench check cvae.zip
    """
    from fusionbench.submit import check

    report = check(submission)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(str(problem))
        if report.submission is not None and report.ok:
            info = report.submission.run
            click.echo(f"{submission}: fine: {report.submission.title}, {info.model} on {info.dataset_name}")
    if not report.ok:
        raise Rejected(f"{submission}: {len(report.problems)} problems")


@click.command("accept", short_help="Score a submission's weights and save the result.")
@click.argument("submission", required=False, type=_PATH)
@click.option("--queue", type=_PATH, help="Handle everything in QUEUE/incoming instead; several workers may.")
@click.option("--suite", required=True, help="The suite whose protocol applies.")
@click.option("-d", "--data", required=True, type=_PATH, help="The data set's folder.")
@click.option("--results", required=True, type=_PATH, help="Root of results.")
@click.option("--seconds", default=3600, show_default=True, type=click.IntRange(1), help="Most time for scoring.")
def accept_command(
    submission: Path | None, queue: Path | None, suite: str, data: Path, results: Path, seconds: int
) -> None:
    """Check a SUBMISSION again, score its weights in a limited process, and save the result. Prints its folder.

    Example: fusionbench accept cvae.zip --suite quickstart --data data/fusiondigits --results results
    """
    from fusionbench.inbox import serve
    from fusionbench.submit import accept

    if (submission is None) == (queue is None):
        raise UsageError("name one submission, or a folder of them with --queue")
    score = partial(accept, data=data, suite=suite, results=results, seconds=seconds)
    if submission is not None:
        click.echo(str(score(submission)))
        return
    assert queue is not None
    for handled in serve(queue, score):
        click.echo(f"{handled.item}: {handled.message}")
