"""``fusionbench pack``, ``check`` and ``accept``: submissions of trained models and of predictions."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import data_option, json_option, out_option, results_option
from fusionbench.core.errors import MeasurementError, Rejected, UsageError, some
from fusionbench.core.io import escaped, require_folder
from fusionbench.core.progress import say
from fusionbench.core.text import counted

if TYPE_CHECKING:
    from fusionbench.submissions.kinds.base import Scoring

_PATH = click.Path(path_type=Path)


@click.command("pack", short_help="Pack a trained run, predictions, or a paper's numbers, as a submission.")
@click.argument("made", required=False, type=_PATH)
@out_option("The zip to write; the JSON, for a paper's numbers.")
@click.option("--title", help="What tables call the model.")
@click.option("--submitter", metavar="NAME", help="Who submits it.")
@click.option("--link", help="An https address with more about it.")
@click.option("--note", default="", help="What readers should know.")
@click.option("--model", metavar="NAME", help="Predictions: what folders of results call the model.")
@data_option("Predictions: the data set, or the folder of pairs.", as_path=True)
@click.option("--group", metavar="NAME", help="The row of training runs, of several seeds, that this is one of.")
@click.option("-s", "--seed", type=click.IntRange(0), metavar="N", help="Predictions in a group: the training seed.")
@click.option("--replaces", metavar="ID", help="An earlier submission of yours that this one replaces.")
@click.option("--template", is_flag=True, help="Print the .toml of a paper's numbers, to fill in.")
@json_option("Print file, id and remarks as JSON.")
def pack_command(
    made: Path | None,
    out: Path | None,
    title: str | None,
    submitter: str | None,
    link: str | None,
    note: str,
    model: str | None,
    data: Path | None,
    group: str | None,
    seed: int | None,
    replaces: str | None,
    template: bool,
    as_json: bool,
) -> None:
    """Pack MADE into one file: a training run with its weights, or with --model and --data what a model predicted, or a
    .toml of numbers that a paper printed.

    Predictions are a folder of PNG files, one for every pair, or a .npy or HDF5 file of samples of a masked set, uint8
    (images, V+1, K, H, W[, C]).

    Example: fusionbench pack runs/cvae -o cvae.zip --title CVAE --submitter "A. Author"
    """
    from fusionbench.submissions.kinds.base import PackRequest
    from fusionbench.submissions.submit import pack_submission

    if template:
        from fusionbench.results import published

        text = published.template()
        click.echo(json.dumps({"template": text}) if as_json else text, nl=as_json)
        return
    if made is None or out is None:
        raise UsageError("name what to pack, and the file to write with --out")
    request = PackRequest(made, out, title, submitter, link, note, model, data, group, seed, replaces)
    report = pack_submission(request)
    for remark in report.notes:
        say(f"remark: {remark}")
    if report.id:
        say(f"submission {report.id}")
    facts = {"file": str(out), "id": report.id or None, "about": report.about, "notes": [*report.notes]}
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else str(out))


@click.command("check", short_help="Check a submission, or a model class of your own.")
@click.argument("submission", metavar="SUBMISSION|FILE.py:NAME", type=Names(files=True))
@data_option("Hold predictions against this data set, or folder of pairs, too.", as_path=True)
@click.option(
    "--results", type=_PATH, metavar="DIR", help="Accepted submissions: is one of another submitter the same?"
)
@click.option(
    "--source-dir", type=_PATH, metavar="DIR", help="Files of a source of your own, as FILE.py:CLASS names one."
)
@json_option("The report as JSON.")
def check_command(
    submission: str, data: Path | None, results: Path | None, source_dir: Path | None, as_json: bool
) -> None:
    """Check a SUBMISSION as the maintainer will, all problems at once, offline. Exit code 1 when something is wrong.

    With FILE.py:NAME, run the contract's checks on a model, metric, source or protocol of your own, on your own
    machine, and print the table to paste into a pull request.

    Example: fusionbench check cvae.zip

    Example: fusionbench check my_model.py:Net
    """
    from fusionbench.cli.check_plugin import check_plugin
    from fusionbench.core.plugin_files import split_plugin
    from fusionbench.submissions.submit import check_submission

    if (file := split_plugin(submission)) is not None:
        return check_plugin(file, submission, data, source_dir, as_json)
    if source_dir is not None:
        raise UsageError("--source-dir is about a source of your own, such as my_pairs.py:MyPairs")
    report = check_submission(Path(submission), data=data, results=results)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(str(problem))
        for remark in report.notes:
            click.echo(f"remark: {remark}")
        if report.ok:
            click.echo(f"{submission}: fine: {report.about}")
        if report.id:
            say(f"submission {report.id}")
    if not report.ok:
        raise Rejected(f"{submission}: {counted(len(report.problems), 'problem')}")


@click.command("accept", short_help="Score a submission and save the result.")
@click.argument("submission", required=False, type=_PATH)
@click.option(
    "--queue", type=_PATH, metavar="DIR", help="Handle everything in QUEUE/incoming instead; several workers may."
)
@click.option(
    "--suite",
    type=Names("suites", files=True),
    metavar="SUITE",
    help="The suite whose protocol applies; images of pairs need none.",
)
@data_option("The data set, or the folder of pairs; published numbers need none.", as_path=True)
@results_option(former=["--results"])
@click.option(
    "--seconds", default=3600, show_default=True, type=click.IntRange(1), metavar="N", help="Most time for scoring."
)
@click.option(
    "--submitter",
    metavar="NAME",
    help="Who handed it in, as you know: refuse another name, and mark this one confirmed.",
)
@click.option(
    "--memory", default=8, show_default=True, type=click.IntRange(1, 4096), metavar="N", help="Most GiB for scoring."
)
@click.option("--round", "round_", type=_PATH, metavar="FILE", help="Score weights on the secret views of this round.")
@click.option(
    "--secret", type=_PATH, metavar="FILE", help="The secret of the round, which `fusionbench round new` wrote."
)
@click.option("--retry", "again", is_flag=True, help="With --queue: first put what failed back into QUEUE/incoming.")
@json_option("Print folder and result as JSON; of a queue, the end of every item.")
def accept_command(
    submission: Path | None,
    queue: Path | None,
    suite: str | None,
    data: Path | None,
    out: Path,
    seconds: int,
    submitter: str | None,
    memory: int,
    round_: Path | None,
    secret: Path | None,
    again: bool,
    as_json: bool,
) -> None:
    """Check a SUBMISSION again, score it in a limited process, and save the result. Prints its folder.

    Numbers of a paper (.json) are checked and saved without a rank; nothing is scored.

    With --queue every item is handled by itself. Exit code 3 when any failed for a reason that is not known to be its
    author's, 2 when any waits for other settings; rejections are an ordinary end.

    Example: fusionbench accept cvae.zip --suite quickstart --data data/fusiondigits -o results
    """
    from fusionbench.submissions.kinds.base import Scoring
    from fusionbench.submissions.submit import accept_submission

    if (submission is None) == (queue is None):
        raise UsageError("name one submission, or a folder of them with --queue")
    # One object for a single submission and for a queue, checked first: a queue rejects nothing for our own mistake.
    scoring = Scoring(out, data, suite, seconds, submitter, memory, round_, secret)
    scoring.check_data()
    _ = scoring.opened_round
    if submission is not None:
        if again:
            raise UsageError("--retry is about a queue; name it with --queue")
        folder = str(accept_submission(submission, scoring))
        click.echo(json.dumps({"folder": folder}) if as_json else folder)
        return
    assert queue is not None
    _serve(queue, scoring, again, as_json)


def _serve(queue: Path, scoring: Scoring, again: bool, as_json: bool) -> None:
    """Handle a queue once; items and their ends go to stdout as they lie in the end."""
    from fusionbench.submissions.kinds import acceptable_kinds
    from fusionbench.submissions.queue import hidden_items, retry, serve
    from fusionbench.submissions.sandbox import limits_of_this_system
    from fusionbench.submissions.submit import accept_submission

    scoring.check_settings()
    require_folder(scoring.results)
    kinds = acceptable_kinds(scoring.data is not None)
    notes = []
    if scoring.data is None:
        names = ", ".join(f"{kind.title} ({kind.suffix})" for kind in kinds)
        say(f"without --data only {names} of the queue can be accepted; archives wait")
    else:
        isolation, unlimited = limits_of_this_system()
        notes = [f"read and scored in a process with limits, kept apart by: {isolation}"]
        notes += [f"not limited by this system: {', '.join(unlimited)}"] if unlimited else []
    if again:
        for path in retry(queue):
            say(f"tried again: {path}")
    ends = serve(queue, partial(accept_submission, scoring=scoring), [kind.suffix for kind in kinds], notes)
    if hidden := hidden_items(queue):
        names = some([escaped(name) for name in hidden])
        say(f"note: {counted(len(hidden), 'file')} of {queue}/incoming are hidden by a dot: {names}; rename them")
    if as_json:
        items = [{"item": one.item, "state": one.state, "message": one.message} for one in ends]
        click.echo(json.dumps({"queue": str(queue), "items": items}, ensure_ascii=False))
    for handled in () if as_json else ends:
        click.echo(f"{escaped(handled.item)}: {escaped(handled.message)}")
    failed = [handled for handled in ends if handled.state in ("failed", "error")]
    waiting = [handled for handled in ends if handled.state == "waits"]
    if failed:
        raise MeasurementError(
            f"{queue}: {len(failed)} of {len(ends)} items failed: {escaped(failed[0].item)}: {failed[0].message}; "
            "see their logs, mend the cause, and use --retry"
        )
    if waiting:
        raise UsageError(f"{queue}: {len(waiting)} items wait: {waiting[0].message.removeprefix('waits: ')}")
