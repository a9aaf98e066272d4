"""``fusionbench community codabench``: a suite as a competition of Codabench."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import data_option, json_option, out_option

_PATH = click.Path(path_type=Path)
PER_DAY = click.option(
    "--per-day", default=2, show_default=True, type=click.IntRange(1), metavar="N", help="A day and account."
)
TOTAL = click.option(
    "--total", default=20, show_default=True, type=click.IntRange(1), metavar="N", help="An account in all."
)


@click.command("codabench")
@click.argument("suite", type=Names("suites", files=True))
@out_option("A new folder, or a .zip.", required=True)
@data_option("The data; copied where the licence of their source allows it.", as_path=True)
@click.option("--title", help="Title of the competition [the suite's].")
@click.option("--image", help="The Docker image that has fusionbench, made of docker/ in the bundle.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC [today].")
@PER_DAY
@TOTAL
@click.option(
    "--seconds", default=3600, show_default=True, type=click.IntRange(1), metavar="N", help="Most time for one upload."
)
@json_option("Print bundle and the state of its reference data as JSON.")
def codabench_command(
    suite: str,
    out: Path,
    data: Path | None,
    title: str | None,
    image: str | None,
    start: datetime.datetime | None,
    per_day: int,
    total: int,
    seconds: int,
    as_json: bool,
) -> None:
    """Export a SUITE as a competition bundle for Codabench: competition.yaml, scoring program, reference data, pages.

    Example: fusionbench community codabench pairs-demo -o bundle.zip
    """
    from fusionbench.board.community.codabench import BundleRequest, export_bundle
    from fusionbench.board.community.settings import Limits
    from fusionbench.core.progress import say

    first = (start or datetime.datetime.now(datetime.UTC)).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=datetime.UTC
    )
    limits = Limits(per_day=per_day, total=total)
    more = {} if image is None else {"image": image}
    bundle = export_bundle(BundleRequest(suite, out, first, data, title, limits=limits, seconds=seconds, **more))
    if bundle.reference == "missing":
        say("note: the data are not in the bundle; its reference_data/README.md says what to put there")
    if image is None:
        say("note: build the image of docker/, push it, and name it with --image or in competition.yaml")
    facts = {"bundle": str(bundle.path), "reference": bundle.reference}
    click.echo(json.dumps(facts) if as_json else str(bundle.path))


@click.command("codabench-score", hidden=True)
@click.argument("inputs", type=_PATH)
@click.argument("outputs", type=_PATH)
@click.option("--suite", required=True, type=_PATH, metavar="SUITE", help="The suite's file.")
@json_option("As without: the scores are an object.")
def codabench_score_command(inputs: Path, outputs: Path, suite: Path, as_json: bool) -> None:
    """What the scoring program of a bundle calls: INPUTS has res/ and ref/, OUTPUTS gets scores.json."""
    from fusionbench.board.community.codabench_scoring import score_upload

    click.echo(json.dumps(score_upload(inputs, outputs, suite), sort_keys=True))
