"""The check of a pull request: one new file at the right place, from an account with quota left, that passes `check`.

Settings and ledger are those of the base, never of the pull request. What it changes is read from Git's objects; of its
content only the one file is looked at, by the check that its author ran, too.
"""

from __future__ import annotations

import datetime
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from fusionbench.board.community.git import FILE, LINK, SUBMODULE, GitChange, Repository
from fusionbench.board.community.ledger import (
    ID_PATTERN,
    MAX_LEDGER,
    Account,
    Commit,
    Ledger,
    parse_ledger,
    quota_problems,
)
from fusionbench.board.community.settings import (
    INCOMING,
    KIND_NAMES,
    LEDGER,
    MAX_SETTINGS,
    SETTINGS,
    SUITE,
    WITHDRAW,
    Community,
    Leaderboard,
    parse_community,
)
from fusionbench.board.community.standing import submitter_problem
from fusionbench.core.errors import DataError, FusionbenchError, Problem, Rejected, UsageError, some
from fusionbench.core.io import escaped, file_sha256, read_bounded, write_bytes
from fusionbench.core.text import Count, in_markdown
from fusionbench.submissions.kinds import kind_of

MAX_REASON = 2000  # characters
MAX_SUITE = 1 << 20  # bytes
_SUBMISSION = re.compile(rf"{INCOMING}/([A-Za-z0-9][A-Za-z0-9._-]{{0,99}}\.(?:zip|json))")
_WITHDRAWAL = re.compile(rf"{WITHDRAW}/({ID_PATTERN})\.txt")
_ODD = {LINK: "a symbolic link", SUBMODULE: "a submodule"}


@dataclass(frozen=True)
class PullRequest:
    """The facts of a pull request, from the forge and not from its content."""

    head: str
    submitter: Account
    number: int | None = None


class _User(msgspec.Struct):
    login: str
    id: int | None = None


class _Head(msgspec.Struct):
    sha: Commit


class _Facts(msgspec.Struct):
    number: Count
    user: _User
    head: _Head


class _Event(msgspec.Struct):
    pull_request: _Facts


def read_event(path: Path, expected: str | None = None) -> PullRequest:
    """The pull request in a file of GitHub: that of an event, or what its interface answers for one.

    ``expected``: the id of the commit that a maintainer looked at.

    Raises:
        DataError: neither of them.
        Rejected: the newest commit of the pull request is another one than ``expected``.
    """
    content = read_bounded(path, 32 << 20, "event")
    try:
        raw = msgspec.json.decode(content)
        nested = isinstance(raw, dict) and "pull_request" in raw
        facts = msgspec.convert(raw, _Event).pull_request if nested else msgspec.convert(raw, _Facts)
        submitter = msgspec.convert({"login": facts.user.login, "number": facts.user.id}, Account)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: tells of no pull request: {error}; give the file that GITHUB_EVENT_PATH names"
        ) from error
    if expected is not None and expected != facts.head.sha:
        raise Rejected(
            f"the pull request is at commit {facts.head.sha[:12]} and not at {escaped(expected)[:12]}: somebody pushed "
            "after you looked; look again"
        )
    return PullRequest(facts.head.sha, submitter, facts.number)


def pull_request_of(head: str, login: str) -> PullRequest:
    """A pull request by its newest commit and the account that opened it.

    Raises:
        UsageError: no name of an account.
    """
    try:
        return PullRequest(head, msgspec.convert({"login": login}, Account))
    except msgspec.ValidationError as error:
        raise UsageError(f"{escaped(login)!r} is not the name of an account; give it as the forge has it") from error


@dataclass
class PullRequestVerdict:
    """What the check found: ``kind`` is None where it is neither a submission nor a withdrawal.

    Attributes:
        name: of the submitted file; of a withdrawal, the id of the submission.
        blob, sha256, size: of the submitted file.
        about, notes: from the check of its content.
        reason: of a withdrawal.
    """

    kind: Literal["submission", "withdrawal"] | None = None
    problems: list[Problem] = field(default_factory=list)
    name: str = ""
    blob: str = ""
    sha256: str = ""
    size: int = 0
    about: str = ""
    notes: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.kind is not None and not self.problems

    def as_markdown(self) -> str:
        """The verdict for people, for a job's summary; nothing in it is markup of the submitter's."""
        head = {"submission": f"Submission `{self.name}`", "withdrawal": f"Withdrawal of `{self.name}`"}
        lines = [f"## {head.get(self.kind or '', 'Pull request')}: {'passed the check' if self.ok else 'refused'}", ""]
        lines += [in_markdown(self.about), ""] if self.about else []
        lines += [f"* {in_markdown(str(problem))}" for problem in self.problems]
        if self.sha256:
            lines += ["", f"sha256 `{self.sha256}`, {self.size:,} bytes"]
        lines += ["", "Remarks, which refuse nothing:", ""] if self.notes else []
        lines += [f"* {in_markdown(note)}" for note in self.notes]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class BaseState:
    """What the base of a pull request says: settings and ledger."""

    settings: Community
    ledger: Ledger

    @classmethod
    def read(cls, repository: Repository, commit: str) -> BaseState:
        """Settings and ledger of a commit.

        Raises:
            DataError: one of them is missing or damaged.
        """
        found = {}
        for name, most in ((SETTINGS, MAX_SETTINGS), (LEDGER, MAX_LEDGER)):
            content = repository.read(commit, name, most)
            if content is None:
                raise DataError(f"commit {commit[:12]} has no {name}; is it the branch of a leaderboard?")
            found[name] = content
        where = f" of commit {commit[:12]}"
        return cls(
            parse_community(found[SETTINGS], SETTINGS + where),
            parse_ledger(found[LEDGER], LEDGER + where),
        )


def check_pull_request(
    repository: Repository,
    pull: PullRequest,
    base: str,
    *,
    now: datetime.datetime,
    content: bool = True,
    take: Path | None = None,
) -> PullRequestVerdict:
    """Everything that is wrong with a pull request to the commit ``base``.

    Args:
        content: whether the submitted file is looked at; without it, its place, size, digest and the quota alone.
        take: a folder into which the submitted file is copied when it passed.

    Raises:
        UsageError, DataError: no such commit, or damaged settings or ledger in the base.
    """
    base, head = repository.commit(base), repository.commit(pull.head)
    state = BaseState.read(repository, base)
    verdict = PullRequestVerdict()
    start = repository.merge_base(base, head)
    if start is None:
        rule = f"has nothing in common with {state.settings.branch}"
        verdict.problems.append(Problem("the pull request", rule, "start from a clone of this repository"))
        return verdict
    change = _only_change(repository.changes(start, head), verdict)
    if change is None:
        return verdict
    if found := _WITHDRAWAL.fullmatch(change.path):
        verdict.kind, verdict.name = "withdrawal", found[1]
        _check_withdrawal(repository, change, state, pull.submitter, verdict)
        return verdict
    verdict.kind, verdict.name, verdict.blob = "submission", change.path.rpartition("/")[2], change.blob
    verdict.size = repository.size(change.blob)
    if verdict.size > state.settings.limits.archive_mib << 20:
        rule = f"{verdict.size:,} bytes; {state.settings.limits.archive_mib} MiB are the most"
        verdict.problems.append(Problem(verdict.name, rule, "send one model, packed by `fusionbench pack`"))
        return verdict
    verdict.problems += quota_problems(state.ledger, state.settings.limits, pull.submitter, now)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / verdict.name
        repository.copy_blob(change.blob, file)
        verdict.sha256 = file_sha256(file)
        _check_new(state.ledger, verdict)
        if content and not verdict.problems:
            suite = Path(folder) / "rules" / SUITE
            _write_suite(repository, base, state.settings, suite)
            _check_content(file, Leaderboard(repository.folder, state.settings), suite, pull.submitter, verdict)
        if take is not None and verdict.ok:
            repository.copy_blob(change.blob, take / verdict.name)
    return verdict


def _only_change(changes: list[GitChange], verdict: PullRequestVerdict) -> GitChange | None:
    """The one file that a pull request adds; everything else that it does becomes a problem."""
    fitting = []
    wrong = []
    for change in changes:
        shown = escaped(change.path)
        allowed = _SUBMISSION.fullmatch(change.path) or _WITHDRAWAL.fullmatch(change.path)
        if change.status != "A":
            rule = {"D": "is deleted", "M": "is changed"}.get(change.status, "is made another kind of file")
        elif change.mode != FILE:
            rule = f"is {_ODD.get(change.mode, 'an executable file')}"
        elif not allowed:
            rule = "is not a place for submissions"
        else:
            fitting.append(change)
            continue
        wrong.append((shown, rule))
    remedy = f"a pull request adds exactly one file, {INCOMING}/NAME.zip or .json; maintainers change the rest"
    verdict.problems += [Problem(path, rule, remedy) for path, rule in wrong[:20]]
    if len(wrong) > 20:
        verdict.problems.append(Problem("the pull request", f"{len(wrong) - 20} more such files", remedy))
    if len(fitting) > 1:
        names = some([change.path for change in fitting])
        verdict.problems.append(Problem("the pull request", f"adds {len(fitting)} submissions ({names})", remedy))
    if not changes:
        verdict.problems.append(Problem("the pull request", "changes nothing", remedy))
    return fitting[0] if len(fitting) == 1 and not wrong else None


def _check_new(ledger: Ledger, verdict: PullRequestVerdict) -> None:
    """Refuse the same bytes a second time, whoever sends them."""
    for line in ledger.accepted.values():
        if line.sha256 == verdict.sha256:
            gone = " and withdrawn" if line.id in ledger.withdrawn else ""
            rule = f"this file was accepted as {line.id}{gone}"
            verdict.problems.append(Problem(verdict.name, rule, "send something new"))


def _check_withdrawal(
    repository: Repository, change: GitChange, state: BaseState, submitter: Account, verdict: PullRequestVerdict
) -> None:
    """Only who sent a submission may withdraw it, once."""
    name = verdict.name
    if repository.size(change.blob) > 4 * MAX_REASON:
        verdict.problems.append(Problem(change.path, f"more than {MAX_REASON} characters", "say it more briefly"))
        return
    text = repository.run("cat-file", "blob", change.blob)
    try:
        verdict.reason = " ".join(text.decode().split())
    except UnicodeDecodeError:
        verdict.problems.append(Problem(change.path, "not UTF-8", "give the reason as plain text"))
    if len(verdict.reason) > MAX_REASON:
        verdict.problems.append(Problem(change.path, f"more than {MAX_REASON} characters", "say it more briefly"))
    line = state.ledger.accepted.get(name)
    if line is None:
        verdict.problems.append(Problem(name, "no such submission", f"ids are in {LEDGER}"))
    elif name in state.ledger.withdrawn:
        verdict.problems.append(Problem(name, "is withdrawn already", "nothing is left to do"))
    elif not line.submitter.is_same(submitter):
        rule = f"was submitted by {line.submitter.login}, not by {submitter.login}"
        verdict.problems.append(Problem(name, rule, "ask the maintainers"))
    else:
        verdict.about = f"{line.title}, accepted {line.time}"


def _write_suite(repository: Repository, base: str, settings: Community, out: Path) -> None:
    """The suite of the commit ``base``, and not the one that happens to be checked out, as a file."""
    content = repository.read(base, settings.suite, MAX_SUITE)
    if content is None:
        raise DataError(f"commit {base[:12]} has no {settings.suite}, which its {SETTINGS} names; add it there")
    write_bytes(out, content)


def _check_content(
    file: Path, leaderboard: Leaderboard, suite: Path, account: Account, verdict: PullRequestVerdict
) -> None:
    """The submissions' own check, and whether the leaderboard takes this kind of them, for its data, from this account.

    Raises:
        DataError: the suite of the base is damaged.
    """
    from fusionbench.evaluation.suites import load_suite
    from fusionbench.submissions.predictions import Predictions

    kind = kind_of(file)
    names = leaderboard.settings.kinds
    if kind not in [KIND_NAMES[name] for name in names]:
        remedy = f"this leaderboard takes {', '.join(names)}"
        verdict.problems.append(Problem(verdict.name, f"is a submission of {kind.title}", remedy))
        return
    try:
        report = kind.check(file, leaderboard.data_at_hand if kind.needs_data else None)
    except FusionbenchError as error:
        verdict.problems.append(Problem(verdict.name, str(error), "make it again with `fusionbench pack`"))
        return
    verdict.problems += report.problems
    verdict.notes, verdict.about = report.notes, report.about
    submitter = getattr(report.submission, "submitter", None)  # papers are entered by whoever likes to, and not ranked
    if isinstance(submitter, str) and (problem := submitter_problem(verdict.name, submitter, account)) is not None:
        verdict.problems.append(problem)
    try:
        rules = load_suite(suite)
    except DataError as error:
        raise DataError(str(error).replace(str(suite), f"{leaderboard.settings.suite} of the base")) from error
    dataset = _dataset_of(report.submission)
    if dataset is not None and dataset not in (rules.dataset.partition("@")[0], rules.published):
        rule = f"is about {dataset}; {rules.dataset} is scored here"
        verdict.problems.append(Problem(verdict.name, rule, "send it to a leaderboard of that data set"))
    if isinstance(report.submission, Predictions) and report.submission.split != rules.split:
        rule = f"predictions for the split {report.submission.split}; {rules.split} is scored"
        verdict.problems.append(Problem(verdict.name, rule, "make the predictions on that split"))


def _dataset_of(record: msgspec.Struct | None) -> str | None:
    """The name of the data set that the record of a submission is about; None of no record."""
    from fusionbench.submissions.kinds.weights import Submission

    if isinstance(record, Submission):
        return record.run.dataset_name
    name = getattr(record, "dataset", None)
    return name if isinstance(name, str) else None
