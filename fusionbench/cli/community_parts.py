"""What the verbs of ``fusionbench community`` share: pull request and place that their words name, and answers."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.board.community.accept import Place
    from fusionbench.board.community.ledger import AnyLine
    from fusionbench.board.community.pull_request import PullRequest


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def find_pull(event: Path | None, expect: str | None, head: str | None, submitter: str | None) -> PullRequest:
    """The pull request of an event, or of a commit and an account."""
    from fusionbench.board.community.pull_request import pull_request_of, read_event

    if (event is None) == (head is None or submitter is None):
        raise UsageError("name the pull request with --event, or by its commit HEAD and --submitter")
    if event is not None:
        return read_event(event, expect)
    assert head is not None and submitter is not None
    return pull_request_of(head, submitter)


def find_place(folder: Path, remote: str) -> Place:
    """The clone to work in, and where it is pushed.

    Raises:
        UsageError: no such remote.
    """
    from fusionbench.board.community.accept import Place
    from fusionbench.board.community.git import Repository
    from fusionbench.board.community.settings import Leaderboard

    repository = Repository(folder)
    if remote and remote not in repository.remotes():
        raise UsageError(f"{folder}: has no remote {remote!r}; name one, or commit here only with --remote ''")
    return Place(repository, Leaderboard.read(folder).settings.branch, remote or None)


def verdict_text(verdict: object) -> str:
    """The verdict, a line a problem."""
    from fusionbench.board.community.pull_request import PullRequestVerdict

    assert isinstance(verdict, PullRequestVerdict)
    lines = [str(problem) for problem in verdict.problems]
    lines += [f"note: {note}" for note in verdict.notes]
    if verdict.ok:
        lines.insert(0, f"{verdict.name}: a {verdict.kind} that passes: {verdict.about}")
    return "\n".join(lines)


def tell_end(line: AnyLine, summary: Path | None, as_json: bool) -> None:
    """Print the id of a line of the ledger, and add what happened to a summary."""
    from fusionbench.board.community.ledger import AcceptedLine
    from fusionbench.core.io import append_text

    done = "Accepted" if isinstance(line, AcceptedLine) else "Withdrawn"
    if summary is not None:
        append_text(summary, f"{done} as `{line.id}`. This pull request is closed, not merged.\n")
    click.echo(json.dumps({"id": line.id, "state": done.lower()}) if as_json else line.id)
