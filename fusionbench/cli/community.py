"""``fusionbench community``: a leaderboard as a Git repository, and a suite as a Codabench competition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.codabench import PER_DAY, TOTAL, codabench_command, codabench_score_command
from fusionbench.cli.community_parts import find_place, find_pull, now, tell_end, verdict_text
from fusionbench.cli.names import Names
from fusionbench.cli.options import json_option, option, out_option
from fusionbench.core.errors import UsageError
from fusionbench.core.text import counted

if TYPE_CHECKING:
    pass

_PATH = click.Path(path_type=Path)
_FOLDER = click.option(
    "--folder", type=_PATH, metavar="DIR", default=".", show_default=True, help="A clone of the leaderboard."
)
_EVENT = click.option(
    "--event", type=_PATH, metavar="FILE", help="The facts of the pull request, as GITHUB_EVENT_PATH names them."
)
_EXPECT = option(
    "--commit",
    "expect",
    metavar="COMMIT",
    former=["--expect"],
    help="Refuse the pull request if it is at another commit.",
)
_SUBMITTER = click.option(
    "--submitter", metavar="NAME", help="Without --event: the account that opened the pull request."
)
_SUMMARY = click.option("--summary", type=_PATH, metavar="FILE", help="Add what happened to this Markdown file.")
_REMOTE = click.option(
    "--remote", metavar="NAME", default="origin", show_default=True, help="Where to push; '' commits here only."
)


@click.group("community", short_help="A leaderboard as a Git repository; a suite for Codabench.")
def community_command() -> None:
    """Start and keep a leaderboard that takes submissions as pull requests, or export one to Codabench.

    Example: fusionbench community init leaderboard --title "Our leaderboard" --suite pairs-demo --git
    """


@community_command.command("init")
@click.argument("folder", type=_PATH)
@click.option("--title", required=True, help="Title of the pages.")
@click.option(
    "--suite",
    type=Names("suites", files=True),
    required=True,
    metavar="SUITE",
    help="A suite by name, or a .toml file, which is copied.",
)
@click.option("-d", "--data", metavar="SET", help="What is scored, by its name [the suite's data set].")
@click.option("--kinds", default="weights,predictions,published", show_default=True, help="What is taken.")
@PER_DAY
@TOTAL
@click.option("--archive-mib", default=50, show_default=True, type=click.IntRange(1, 2048), help="MiB of a file.")
@click.option("--owner", metavar="@NAME", help="Who approves changes of anything but submissions.")
@click.option("--requirement", help="What pip installs [this release of fusionbench].")
@click.option("--git", is_flag=True, help="Make a Git repository with a first commit.")
@json_option("Print the folder as JSON.")
def init_command(
    folder: Path,
    title: str,
    suite: str,
    data: str | None,
    kinds: str,
    per_day: int,
    total: int,
    archive_mib: int,
    owner: str | None,
    requirement: str | None,
    git: bool,
    as_json: bool,
) -> None:
    """Write the repository of a new leaderboard to FOLDER: rules, suite, ledger, workflows, Dockerfile. Prints it.

    Example: fusionbench community init leaderboard --title "Our leaderboard" --suite pairs-demo --git
    """
    from fusionbench.board.community.settings import KIND_NAMES, Limits
    from fusionbench.board.community.start import StartRequest, start_community
    from fusionbench.core.errors import unknown_name

    chosen = [name.strip() for name in kinds.split(",") if name.strip()]
    for name in chosen:
        if name not in KIND_NAMES:
            raise unknown_name("kind of submission", name, KIND_NAMES)
    limits = Limits(per_day=per_day, total=total, archive_mib=archive_mib)
    picked = tuple(name for name in KIND_NAMES if name in chosen)
    request = StartRequest(folder, title, suite, data, picked, limits, owner, requirement, git)  # type: ignore[arg-type]
    made = str(start_community(request))
    click.echo(json.dumps({"folder": made}) if as_json else made)


@community_command.command("prepare")
@_FOLDER
@click.option(
    "--source-dir", type=_PATH, metavar="DIR", help="Folder of the upstream files, where the recipe needs them."
)
@json_option("Print data and folder as JSON; the folder is null where they are embedded.")
def prepare_command(folder: Path, source_dir: Path | None, as_json: bool) -> None:
    """Make the data that the leaderboard scores, below .data/, where they are missing. Prints their folder or name.

    Example: fusionbench community prepare
    """
    from fusionbench.board.community.settings import Leaderboard
    from fusionbench.board.community.start import prepare_data

    leaderboard = Leaderboard.read(folder)
    made, data = prepare_data(leaderboard, source_dir), leaderboard.settings.data
    facts = {"data": data, "folder": None if made is None else str(made)}
    click.echo(json.dumps(facts) if as_json else str(made or f"{data} is embedded"))


@community_command.command("check-pr")
@click.argument("base", default="HEAD")
@click.argument("head", required=False)
@_FOLDER
@_EVENT
@_EXPECT
@_SUBMITTER
@click.option("--take", type=_PATH, metavar="DIR", help="Copy the submission to this folder when it passed.")
@_SUMMARY
@option(
    "--github-output",
    "output",
    type=_PATH,
    metavar="FILE",
    former=["--output"],
    help="Add kind=submission or kind=withdrawal, and submitter=NAME, to this file.",
)
@json_option("Print the verdict as JSON.")
def check_pr_command(
    base: str,
    head: str | None,
    folder: Path,
    event: Path | None,
    expect: str | None,
    submitter: str | None,
    take: Path | None,
    summary: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Check the pull request that leads from commit BASE to HEAD; nothing of it is checked out. Exit code 1: refused.

    With --event, HEAD and the account come from the file, and BASE is the commit that is checked out.

    Example: fusionbench community check-pr main refs/pull/7 --submitter ada
    """
    from fusionbench.board.community.git import Repository
    from fusionbench.board.community.pull_request import check_pull_request
    from fusionbench.core.errors import Rejected
    from fusionbench.core.io import append_text

    repository = Repository(folder)
    pull = find_pull(event, expect, head, submitter)
    verdict = check_pull_request(repository, pull, base, now=now(), take=take)
    if summary is not None:
        append_text(summary, verdict.as_markdown())
    if output is not None and verdict.ok:
        append_text(output, f"kind={verdict.kind}\nsubmitter={pull.submitter.login}\n")
    problems = [vars(problem) for problem in verdict.problems]
    click.echo(
        json.dumps({**vars(verdict), "problems": problems, "ok": verdict.ok}) if as_json else verdict_text(verdict)
    )
    if not verdict.ok:
        raise Rejected(f"refused: {counted(len(verdict.problems), 'problem')}")


@community_command.command("score")
@click.argument("submission", type=_PATH)
@_FOLDER
@out_option("A new or empty folder.", required=True)
@click.option("--submitter", required=True, metavar="NAME", help="The account that sent it; its record has to name it.")
@click.option(
    "--round-views",
    type=_PATH,
    metavar="DIR",
    help="What `community round-views` made: weights are scored on it.",
)
@json_option("Print submission, title and folder as JSON.")
def score_community_command(
    submission: Path, folder: Path, out: Path, submitter: str, round_views: Path | None, as_json: bool
) -> None:
    """Score a SUBMISSION, a file or a folder that has only one, as the leaderboard does; for a container.

    Example: fusionbench community score taken/mine.zip -o scored --submitter ada
    """
    from fusionbench.board.community.accept import score_submission
    from fusionbench.board.community.settings import Leaderboard

    if submission.is_dir():
        files = sorted(submission.iterdir())
        if len(files) != 1:
            raise UsageError(f"{submission}: has {len(files)} files; name the submission")
        submission = files[0]
    scored = score_submission(submission, Leaderboard.read(folder), out, submitter, round_views)
    facts = {"submission": submission.name, "title": scored.title, "folder": str(out)}
    click.echo(json.dumps(facts) if as_json else f"{submission.name}: scored {scored.title}")


@community_command.command("accept")
@click.argument("head", required=False)
@_FOLDER
@_EVENT
@_EXPECT
@_SUBMITTER
@click.option("--scored", type=_PATH, metavar="DIR", help="What `community score` wrote; not for a withdrawal.")
@_REMOTE
@_SUMMARY
@json_option("Print id and state as JSON.")
def accept_community_command(
    head: str | None,
    folder: Path,
    event: Path | None,
    expect: str | None,
    submitter: str | None,
    scored: Path | None,
    remote: str,
    summary: Path | None,
    as_json: bool,
) -> None:
    """Record the pull request at HEAD, or of --event: id, results and a line of the ledger, pushed. Prints the id.

    Its file, place and quota are checked again; its content is not opened. When somebody else pushes first it starts
    again with the next number.

    Example: fusionbench community accept refs/pull/7 --submitter ada --scored scored
    """
    from fusionbench.board.community.accept import accept_pull_request

    pull = find_pull(event, expect, head, submitter)
    line = accept_pull_request(find_place(folder, remote), pull, scored, now)
    tell_end(line, summary, as_json)


@community_command.command("withdraw")
@click.argument("submission")
@_FOLDER
@click.option("--reason", default="", help="Why; it is public.")
@click.option("--request", "as_request", is_flag=True, help="Only write the file for a pull request of your own.")
@_REMOTE
@_SUMMARY
@json_option("Print id and state, or the file of the request, as JSON.")
def withdraw_command(
    submission: str, folder: Path, reason: str, as_request: bool, remote: str, summary: Path | None, as_json: bool
) -> None:
    """Withdraw the SUBMISSION with this id as a maintainer: its results go, its line stays. Prints the id.

    Who submitted it writes a file with --request and opens a pull request with it.

    Example: fusionbench community withdraw 0007-3f2a9c01d4e5 --reason "trained on the test split"
    """
    from fusionbench.board.community.accept import withdraw_submission, write_withdrawal_request

    if as_request:
        file = str(write_withdrawal_request(folder, submission, reason))
        click.echo(json.dumps({"file": file}) if as_json else file)
        return
    tell_end(withdraw_submission(find_place(folder, remote), submission, reason, now), summary, as_json)


@community_command.command("round-views")
@_FOLDER
@out_option("A new or empty folder for the views.", required=True)
@click.option(
    "--secret", type=_PATH, metavar="FILE", help="The secret of the round [the variable FUSIONBENCH_ROUND_SECRET]."
)
@json_option("Print the round, null where none is open, and the folder as JSON.")
def round_views_command(folder: Path, out: Path, secret: Path | None, as_json: bool) -> None:
    """Make the views of the open round in rounds/, for a container that never sees the secret. Prints the folder.

    Without an open round the folder stays empty, and submissions are scored on the public views.

    Example: fusionbench community round-views -o views --secret ../spring.secret
    """
    from fusionbench.board.community.rounds import make_round_views
    from fusionbench.board.community.settings import Leaderboard
    from fusionbench.core.progress import say

    made = make_round_views(Leaderboard.read(folder), out, secret)
    say("no round is open" if made is None else f"views of round {made.id}: they are secret until it is revealed")
    facts = {"round": None if made is None else made.id, "folder": str(out)}
    click.echo(json.dumps(facts) if as_json else str(out))


@community_command.command("rounds")
@_FOLDER
@_SUMMARY
@json_option("Print an array: file, round, results, state and problems of each.")
def rounds_command(folder: Path, summary: Path | None, as_json: bool) -> None:
    """Check all rounds: secrets and commitments, and the results that name them. Exit code 1 when anything is wrong.

    Example: fusionbench community rounds
    """
    from fusionbench.board.community.rounds import check_rounds
    from fusionbench.board.community.settings import Leaderboard
    from fusionbench.core.errors import Rejected
    from fusionbench.core.io import append_text
    from fusionbench.core.text import in_markdown

    found = check_rounds(Leaderboard.read(folder))
    lines = [f"{one.file}: round {one.record.id}, {counted(one.results, 'result')}, {one.state}" for one in found]
    lines += [f"{one.file}: {problem}" for one in found for problem in one.problems]
    facts = [
        {"file": str(x.file), "round": x.record.id, "results": x.results, "state": x.state, "problems": [*x.problems]}
        for x in found
    ]
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(lines) or "no rounds")
    if summary is not None and lines:
        append_text(summary, "".join(f"* {in_markdown(line)}\n" for line in lines))
    if wrong := [one.file for one in found if one.problems]:
        raise Rejected(f"{counted(len(wrong), 'round')} with problems, the first is {wrong[0]}")


@community_command.command("pages")
@_FOLDER
@out_option("Folder of the pages.", required=True)
@click.option("--strict", is_flag=True, help="Exit code 1 when a result is set aside.")
@_SUMMARY
@json_option("Print where the pages are, and what is set aside, as JSON.")
def pages_command(folder: Path, out: Path, strict: bool, summary: Path | None, as_json: bool) -> None:
    """Build the pages of the leaderboard. Results that are damaged or were changed are set aside, and listed.

    Example: fusionbench community pages -o site
    """
    from fusionbench.board.community.pages import build_pages
    from fusionbench.board.community.settings import Leaderboard
    from fusionbench.core.errors import Rejected
    from fusionbench.core.io import append_text
    from fusionbench.core.progress import say
    from fusionbench.core.text import in_markdown

    pages = build_pages(Leaderboard.read(folder), out)
    for one in pages.set_aside:
        say(f"note: set aside: {one.path}: {one.reason}")
    if summary is not None:
        lines = [f"* {in_markdown(f'{one.path}: {one.reason}')}" for one in pages.set_aside]
        append_text(summary, "\n".join([f"{pages.shown} submissions, {len(lines)} set aside", "", *lines, ""]))
    aside = [{"file": str(one.path), "reason": one.reason} for one in pages.set_aside]
    facts = {"index": str(pages.index), "shown": pages.shown, "set_aside": aside}
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else str(pages.index))
    if strict and pages.set_aside:
        raise Rejected(f"{len(pages.set_aside)} results were set aside, the first is {pages.set_aside[0].path}")


community_command.add_command(codabench_command)
community_command.add_command(codabench_score_command)
