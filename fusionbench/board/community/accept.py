"""Scoring a submission, and recording it: an id, its results and a line of the ledger in one commit.

The two are apart so that what is scored, in a container without network, never meets a token that may write.
Two maintainers may accept at once: a push that comes second starts again from the new tip, with the next number.
"""

from __future__ import annotations

import datetime
import hashlib
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fusionbench import __version__
from fusionbench.board.community.git import Repository
from fusionbench.board.community.ledger import (
    ID_PATTERN,
    AcceptedLine,
    Account,
    AnyLine,
    WithdrawnLine,
    read_ledger,
    submission_id,
    timestamp,
)
from fusionbench.board.community.pull_request import (
    MAX_REASON,
    BaseState,
    PullRequest,
    PullRequestVerdict,
    check_pull_request,
)
from fusionbench.board.community.rounds import given_views, round_problems
from fusionbench.board.community.settings import ACCEPTED, KIND_NAMES, LEDGER, RESULTS, WITHDRAW, KindName, Leaderboard
from fusionbench.board.community.standing import standing_problems
from fusionbench.core.errors import DataError, Rejected, UsageError, some
from fusionbench.core.io import file_sha256, read_bounded, write_bytes
from fusionbench.core.progress import say
from fusionbench.core.text import Digest, Line
from fusionbench.results.schema import Result
from fusionbench.submissions.fingerprints import FILE as FINGERPRINT
from fusionbench.submissions.fingerprints import read_fingerprint
from fusionbench.submissions.kinds import kind_of
from fusionbench.submissions.kinds.base import Scoring
from fusionbench.submissions.prediction_kinds import needs_suite
from fusionbench.submissions.rows import ACCEPT_LOCK

SCORED = "scored.json"
MAX_RESULT_FILE = 64 << 20  # bytes
MAX_RESULT_FILES = 1000
ATTEMPTS = 20
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9@+._-]{0,199}")
_FILES = {"result.json", "images.csv", "images.csv.gz", FINGERPRINT}


class ScoredSubmission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What scoring leaves beside the results: which file was scored, and what tables call it."""

    sha256: Digest
    kind: KindName
    title: Line


def score_submission(
    file: Path, leaderboard: Leaderboard, out: Path, submitter: str, round_views: Path | None = None
) -> ScoredSubmission:
    """Check and score a submitted file as the leaderboard's suite says; results and ``scored.json`` go to ``out``.

    Args:
        submitter: the account that sent it, which its record has to name.
        round_views: the folder of :func:`fusionbench.board.community.rounds.make_round_views`; weights are scored on
            its views, where it has some.

    Raises:
        Rejected: the check found problems, it is another submitter's, its row has no place among the leaderboard's
            results, or scoring failed or took too long.
        UsageError, DataError: no such file or data, a kind that is not taken, or ``out`` is not empty.
    """
    from fusionbench.submissions.submit import accept_submission

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; name a new folder")
    kind = kind_of(file)
    name = next(name for name, known in KIND_NAMES.items() if known is kind)
    if name not in leaderboard.settings.kinds:
        raise Rejected(f"{file}: is a submission of {kind.title}; {', '.join(leaderboard.settings.kinds)} are taken")
    data = leaderboard.data if kind.needs_data else None
    suite = str(leaderboard.suite_file) if data is not None and needs_suite(leaderboard.protocol) else None
    board = leaderboard.folder / RESULTS
    scoring = Scoring(out / RESULTS, data, suite, leaderboard.settings.seconds, submitter, board=board)
    given = given_views(round_views)
    if given is not None and name == "weights":
        scoring = replace(scoring, round=given[0], views=given[1])
    scoring.check_data()
    sha256 = file_sha256(file)
    accept_submission(file, scoring)
    for left in (out / RESULTS).glob(f"{ACCEPT_LOCK}*"):  # nobody else writes here, and it is no file of a result
        left.unlink()
    made = [path for path, _ in _result_files(out / RESULTS)]
    title = _title(out / RESULTS, made)
    scored = ScoredSubmission(sha256=sha256, kind=name, title=title)
    write_bytes(out / SCORED, msgspec.json.encode(scored, order="sorted") + b"\n")
    return scored


def read_scored(folder: Path) -> tuple[ScoredSubmission, dict[str, bytes], list[Result]]:
    """What :func:`score_submission` left in a folder: the record, result file -> bytes, and the results.

    The folder comes out of a container that had hostile input, so that every name, size and result is checked.

    Raises:
        DataError: anything but what scoring leaves.
    """
    from fusionbench.results import schema

    try:
        scored = msgspec.json.decode(
            read_bounded(folder / SCORED, 64 << 10, "record of scoring"), type=ScoredSubmission
        )
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / SCORED}: not a record of scoring: {error}; score the submission again") from error
    files: dict[str, bytes] = {}
    results = []
    for path, name in _result_files(folder / RESULTS):
        files[name] = read_bounded(path, MAX_RESULT_FILE, "result")
        if path.name == "result.json":
            results.append(schema.load(path))
            if results[-1].per_image is not None:
                schema.load_per_image(path)
        if path.name == FINGERPRINT:
            read_fingerprint(path)
    if not results:
        raise DataError(f"{folder / RESULTS}: has no result; score the submission again")
    return scored, files, results


def _result_files(root: Path) -> list[tuple[Path, str]]:
    """The files of results below ``root`` with their names in a ledger; nothing else may be there."""
    found = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_symlink() or not all(map(_PART.fullmatch, parts)):
            raise DataError(f"{path}: a link or a name that no result has; score the submission again")
        if path.is_dir():
            continue
        if path.name not in _FILES or len(parts) > 4:
            raise DataError(f"{path}: is no file of a result; score the submission again")
        found.append((path, "/".join(parts)))
    if len(found) > MAX_RESULT_FILES:
        raise DataError(f"{root}: {len(found)} files are too many (limit {MAX_RESULT_FILES})")
    return found


def _title(root: Path, made: list[Path]) -> str:
    from fusionbench.results import schema

    titles = list(dict.fromkeys(schema.load(path).title for path in made if path.name == "result.json"))
    return some(titles, shown=3)[:120]


@dataclass(frozen=True)
class Place:
    """Where a leaderboard's branch is: on a remote, or in the clone itself where ``remote`` is None."""

    repository: Repository
    branch: str
    remote: str | None = "origin"


def accept_pull_request(
    place: Place, pull: PullRequest, scored: Path | None, now: Callable[[], datetime.datetime]
) -> AnyLine:
    """Record what a pull request asks for, on the newest state of the branch: a submission, or a withdrawal.

    The place of the file, its digest and the quota are checked again, its content is not looked at. ``scored`` is the
    folder of :func:`score_submission`; a withdrawal needs none.

    Raises:
        Rejected: the pull request is refused, or what was scored is not its file.
        UsageError, DataError: nothing was scored, or the branch cannot be pushed.
    """
    record = None if scored is None else read_scored(scored)
    pull = replace(pull, head=place.repository.commit(pull.head))

    def add(state: BaseState, tip: str) -> tuple[AnyLine, dict[str, bytes | str | None]]:
        time_now = now()
        verdict = check_pull_request(place.repository, pull, tip, now=time_now, content=False)
        if not verdict.ok:
            raise Rejected(f"pull request refused: {' | '.join(map(str, verdict.problems))}")
        if verdict.kind == "withdrawal":
            return _withdrawal(place.repository, state, tip, verdict.name, pull.submitter, verdict.reason, time_now)
        if record is None:
            raise UsageError("name the folder of `fusionbench community score` with --scored")
        scored_file, files, results = record
        problems = standing_problems(place.repository, tip, results, scored_file.kind, pull.submitter)
        if problems := problems or round_problems(place.repository, tip, results, scored_file.kind):
            raise Rejected(f"{verdict.name}: {' | '.join(problems)}")
        return _acceptance(state, pull, verdict, scored_file, files, time_now)

    return _commit(place, add)


def withdraw_submission(place: Place, submission: str, reason: str, now: Callable[[], datetime.datetime]) -> AnyLine:
    """Withdraw a submission as a maintainer: its results go, its lines and its id stay.

    Raises:
        UsageError: no such id, or a reason of more than 2000 characters.
        Rejected: it is withdrawn already.
    """
    _require_id(submission)
    reason = _reason(reason)
    return _commit(place, lambda state, tip: _withdrawal(place.repository, state, tip, submission, None, reason, now()))


def write_withdrawal_request(folder: Path, submission: str, reason: str) -> Path:
    """Write the file with which the account that submitted it withdraws a submission, for a pull request; its path.

    Raises:
        UsageError: no such submission here, or a reason of more than 2000 characters.
        Rejected: it is withdrawn already.
    """
    _require_id(submission)
    ledger = read_ledger(folder / LEDGER)
    if submission not in ledger.accepted:
        raise UsageError(f"no submission has the id {submission}; ids are in {folder / LEDGER}")
    if submission in ledger.withdrawn:
        raise Rejected(f"{submission}: is withdrawn already")
    path = folder / WITHDRAW / f"{submission}.txt"
    write_bytes(path, f"{_reason(reason)}\n".encode())
    return path


def _require_id(submission: str) -> None:
    if not re.fullmatch(ID_PATTERN, submission):
        raise UsageError(f"{submission!r} is not the id of a submission; ids are in {LEDGER}")


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if len(reason) > MAX_REASON:
        raise UsageError(f"the reason has {len(reason)} characters, {MAX_REASON} are the most")
    return reason


def _acceptance(
    state: BaseState,
    pull: PullRequest,
    verdict: PullRequestVerdict,
    scored: ScoredSubmission,
    results: dict[str, bytes],
    now: datetime.datetime,
) -> tuple[AnyLine, dict[str, bytes | str | None]]:
    """The line of a submission and the files of its commit."""
    if scored.sha256 != verdict.sha256:
        raise Rejected(
            f"{verdict.name}: has sha256 {verdict.sha256[:12]}…, the file that was scored {scored.sha256[:12]}…; "
            "score this one"
        )
    number = state.ledger.next_number
    line = AcceptedLine(
        id=submission_id(number, verdict.sha256),
        time=timestamp(now),
        previous=state.ledger.last_digest,
        number=number,
        submitter=pull.submitter,
        pull_request=pull.number,
        commit=pull.head,
        file=verdict.name,
        size=verdict.size,
        sha256=verdict.sha256,
        kind=scored.kind,
        title=scored.title,
        fusionbench=__version__,
        results={name: hashlib.sha256(content).hexdigest() for name, content in results.items()},
    )
    files: dict[str, bytes | str | None] = {f"{RESULTS}/{line.id}/{name}": body for name, body in results.items()}
    if state.settings.keep_archives:
        files[f"{ACCEPTED}/{line.id}{Path(verdict.name).suffix}"] = verdict.blob
    return line, files


def _withdrawal(
    repository: Repository,
    state: BaseState,
    tip: str,
    submission: str,
    by: Account | None,
    reason: str,
    now: datetime.datetime,
) -> tuple[AnyLine, dict[str, bytes | str | None]]:
    """The line of a withdrawal; the results go, the archive stays as the evidence of what was scored."""
    if submission not in state.ledger.accepted:
        raise UsageError(f"no submission has the id {submission}; ids are in {LEDGER}")
    if submission in state.ledger.withdrawn:
        raise Rejected(f"{submission}: is withdrawn already")
    line = WithdrawnLine(id=submission, time=timestamp(now), previous=state.ledger.last_digest, by=by, reason=reason)
    return line, dict.fromkeys(repository.files(tip, f"{RESULTS}/{submission}"))


def _commit(place: Place, add: Callable[[BaseState, str], tuple[AnyLine, dict[str, bytes | str | None]]]) -> AnyLine:
    """Add a line and its files to the branch; starts again when somebody else was faster."""
    for attempt in range(ATTEMPTS):
        tip = place.repository.tip(place.remote, place.branch)
        state = BaseState.read(place.repository, tip)
        line, files = add(state, tip)
        files[LEDGER] = state.ledger.add(line).content
        about = f"Accept {line.title}" if isinstance(line, AcceptedLine) else "Withdraw a submission"
        commit = place.repository.add_commit(tip, files, f"{about}\n\nSubmission: {line.id}\n")
        if place.repository.publish(commit, tip, place.remote, place.branch):
            return line
        say(f"note: {place.branch} has moved on; once more from its newest commit")
        time.sleep(random.uniform(0, 0.1 * (attempt + 1)))
    raise DataError(f"{place.branch} moved on {ATTEMPTS} times in a row; run the same command again")
