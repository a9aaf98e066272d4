"""Whose row a scored submission is on a leaderboard: its account's, among the results of the branch that it joins.

Scoring happens in a container that had hostile input, against the results of a moment ago. What it left is believed for
its scores alone; status, submitter and place among the others are checked here, on the newest state of the branch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fusionbench.board.community.git import Repository
from fusionbench.board.community.ledger import Account
from fusionbench.board.community.settings import KIND_NAMES, RESULTS, KindName
from fusionbench.core.errors import Problem
from fusionbench.results.schema import Result
from fusionbench.submissions.rows import row_problems


def standing_problems(
    repository: Repository, tip: str, results: Sequence[Result], kind: KindName, account: Account
) -> list[str]:
    """Why what was scored may not join the results of the commit ``tip``, a line each.

    Args:
        results: of one submission, as its container left them.
        kind: what its record of scoring says that it is.
    """
    status = KIND_NAMES[kind].status
    if wrong := next((result for result in results if result.status != status), None):
        return [f"a result has the status {wrong.status}, one of {KIND_NAMES[kind].title} is {status}"]
    if status == "published":
        other = next((result for result in results if result.origin.kind != "paper"), None)
        return [] if other is None else ["a result with the numbers of a paper names no paper"]
    if len(results) != 1:
        return [f"{len(results)} results; a submission of {KIND_NAMES[kind].title} has one"]
    (result,) = results
    submission = result.submission
    if result.origin.kind != "submission" or submission is None:
        return ["the result does not say of which submission it is"]
    if result.origin.submitter != account.login or not submission.confirmed:
        return [
            f"the result is of {result.origin.submitter!a}, the pull request of the account {account.login}; "
            f"score it with --submitter {account.login}"
        ]
    model = result.identity.model.name if status == "verified" else None
    with tempfile.TemporaryDirectory() as folder:
        repository.export(tip, RESULTS, "result.json", Path(folder))
        return row_problems(result, Path(folder) / RESULTS, model)


def submitter_problem(file: str, submitter: str, account: Account) -> Problem | None:
    """What is wrong when a record names somebody else than the account of its pull request: rows belong to accounts.

    Example:
        >>> from fusionbench.board.community.ledger import Account
        >>> from fusionbench.board.community.standing import submitter_problem
        >>> submitter_problem("mine.zip", "Ada", Account("ada")).remedy
        'pack it again with --submitter ada'
    """
    if submitter == account.login:
        return None
    rule = f"its record names {submitter!a} as the submitter, the pull request is of the account {account.login}"
    return Problem(file, rule, f"pack it again with --submitter {account.login}")
