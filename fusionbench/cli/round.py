"""``fusionbench round``: rounds of secret views, from the commitment to the check by anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import data_option, json_option, out_option
from fusionbench.core.errors import UsageError
from fusionbench.core.progress import say

_PATH = click.Path(path_type=Path)


@click.group("round", short_help="Score weights on views that nobody has seen, and check it afterwards.")
def round_command() -> None:
    """Rounds of secret views: `new` makes a secret and a public record that commits to it, `accept --round` scores
    weights, `reveal` publishes the secret, `verify` checks everything.

    Example: fusionbench round verify round.json --results results
    """


@round_command.command("new")
@click.argument("suite", type=Names("suites", files=True))
@out_option("The public record to write.", required=True)
@click.option(
    "--secret", required=True, type=_PATH, metavar="FILE", help="The secret: a new file, which only you can read."
)
@data_option("The data set, so that the record has the number of images.", as_path=True)
@json_option("Print the record's file, id and suite as JSON.")
def new_round_command(suite: str, out: Path, secret: Path, data: Path | None, as_json: bool) -> None:
    """Make a round of SUITE. Publish the record before the round begins, and keep the secret.

    Example: fusionbench round new quickstart -o round.json --secret ../round.secret
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.rounds import make_round, write_round, write_secret
    from fusionbench.evaluation.suites import load_suite
    from fusionbench.submissions.kinds.base import resolve_data

    if out.exists():
        raise UsageError(f"{out}: is there already; a round is never written over, name another file")
    inside = next((place for place in secret.resolve().parents if (place / ".git").exists()), None)
    if inside is not None:
        raise UsageError(f"{secret}: lies in the Git repository {inside}, which may be published; name another place")
    images = None
    if data is not None:
        rules, opened = load_suite(suite), open_dataset(resolve_data(data))
        if opened.name != rules.dataset.partition("@")[0]:
            raise UsageError(f"{data}: is {opened.name}, the suite {suite} is about {rules.dataset}")
        images = opened.size(rules.split)
    made, key = make_round(suite, images)
    write_secret(secret, key)
    try:
        write_round(out, made)
    except BaseException:
        secret.unlink()
        raise
    say(
        f"round {made.id} of {made.suite}: publish {out} before it begins; {secret} is yours alone until `round reveal`"
    )
    facts = {"file": str(out), "round": made.id, "suite": made.suite, "secret": str(secret)}
    click.echo(json.dumps(facts) if as_json else str(out))


@round_command.command("reveal")
@click.argument("record", type=_PATH)
@click.option("--secret", required=True, type=_PATH, metavar="FILE", help="The secret of the round.")
@json_option("Print the record's file and id as JSON.")
def reveal_round_command(record: Path, secret: Path, as_json: bool) -> None:
    """Publish the secret in the RECORD, after the last weights were accepted; nothing is accepted in it any more.

    Example: fusionbench round reveal round.json --secret ../round.secret
    """
    from fusionbench.submissions.round_scoring import reveal_round

    found = reveal_round(record, secret)
    say(f"round {found.id} is revealed: publish {record}, which anybody can check with `round verify`")
    click.echo(json.dumps({"file": str(record), "round": found.id}) if as_json else str(record))


@round_command.command("verify")
@click.argument("record", type=_PATH)
@click.option("--results", type=_PATH, metavar="DIR", help="Check the results of the round below this folder.")
@click.option(
    "--weights",
    multiple=True,
    type=_PATH,
    metavar="PATH",
    help="Score this submission of weights again; may be repeated.",
)
@data_option("With --weights: the data set.", as_path=True)
@click.option(
    "--suite",
    type=Names("suites", files=True),
    metavar="SUITE",
    help="With --weights: the suite's file, where it does not come with fusionbench.",
)
@click.option(
    "--seconds", default=3600, show_default=True, type=click.IntRange(1), metavar="N", help="Most time for scoring one."
)
@json_option("What was found as JSON.")
def verify_round_command(
    record: Path,
    results: Path | None,
    weights: tuple[Path, ...],
    data: Path | None,
    suite: str | None,
    seconds: int,
    as_json: bool,
) -> None:
    """Check a revealed RECORD: the secret is the one that it committed to. Exit code 1 when anything differs.

    With --results, every result that names the round has to name this commitment. With --weights, submissions are
    scored again on the views that follow from the secret, and have to have the scores of their result, within the
    tolerance of each metric.

    Example: fusionbench round verify round.json --results results --weights cvae.zip -d data/fusiondigits
    """
    from fusionbench.submissions import round_scoring

    round_scoring.require_files(results, weights, data)
    found, seed = round_scoring.revealed_seed(record)
    wrong: list[str] = []
    rows: list[dict[str, Any]] = []
    listed = [] if results is None else list(round_scoring.results_of_round(found, results))
    for file, result, problem in listed:
        rows.append({"file": file.as_posix(), "id": result.id, "title": result.title, "problem": problem})
        wrong += [f"{file}: {problem}"] if problem else []
    again: list[dict[str, Any]] = []
    for path in weights:
        assert data is not None
        made, digest = round_scoring.score_again(path, found, record, seed, data, suite, seconds)
        theirs = next((one for _, one, _ in listed if one.identity.model.weights_sha256 == digest), None)
        differs = [] if theirs is None else round_scoring.differing_scores(made, theirs)
        missing = results is not None and theirs is None
        again.append(
            {
                "file": path.as_posix(),
                "result": None if theirs is None else theirs.id,
                "scores": {key: score.mean for key, score in made.scores.items()},
                "differs": differs,
            }
        )
        wrong += [f"{path}: {line}" for line in differs]
        wrong += [f"{path}: no result of the round has these weights"] if missing else []
    if as_json:
        answer = {"round": found.id, "commitment": found.commitment, "results": rows, "weights": again}
        click.echo(json.dumps({"ok": not wrong, **answer, "problems": wrong}, indent=1, ensure_ascii=False))
    else:
        click.echo(f"round {found.id}: the secret is the one that it committed to")
        for row in rows:
            click.echo(f"{row['file']}: {row['problem'] or 'of this round'}")
        for one in again:
            same = "same scores" if one["result"] and not one["differs"] else "; ".join(one["differs"]) or "scored"
            click.echo(f"{one['file']}: {same}")
            for key, mean in one["scores"].items() if one["result"] is None else ():
                click.echo(f"  {key} {mean:.6g}")
    if results is not None and not rows:
        say(f"note: no result below {results} is of round {found.id}")
    round_scoring.require_same(wrong, str(record))
