"""The ledger: one JSON line for every submission that was accepted or withdrawn, never changed afterwards.

Every line has the sha256 of the line before it, so that a line that was edited, removed or put in between is found. A
submission's id is its number and the first digits of its file's sha256; numbers count up and are never used again.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fusionbench.board.community.settings import Limits
from fusionbench.core.errors import DataError, Problem
from fusionbench.core.formats import require_format
from fusionbench.core.io import read_bounded
from fusionbench.core.text import Count, Digest, Line, Natural, Note

FIRST = "0" * 64  # what the first line has for the line before it
MAX_LEDGER = 256 << 20  # bytes
ID_PATTERN = r"[0-9]{4,9}-[0-9a-f]{12}"
SubmissionId = Annotated[str, msgspec.Meta(pattern=rf"\A{ID_PATTERN}\Z")]
Commit = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}([0-9a-f]{24})?\Z")]
Time = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z\Z"),
]
FileName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(zip|json)\Z")]
ResultPath = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9@+._-]*(/[A-Za-z0-9][A-Za-z0-9@+._-]*)*\Z")]


class Account(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who opened a pull request, as the forge says: the name now, and the number that stays when it changes."""

    login: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?\Z")]
    number: Natural | None = None

    def is_same(self, other: Account) -> bool:
        """Whether two lines mean one account: by number where both have one."""
        if self.number is not None and other.number is not None:
            return self.number == other.number
        return self.login.casefold() == other.login.casefold()


class LedgerLine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True, tag_field="event"):
    """What every line has; ``previous`` is the sha256 of the line before it."""

    schema: Literal["fusionbench.ledger/1"] = "fusionbench.ledger/1"
    id: SubmissionId
    time: Time
    previous: Digest


class AcceptedLine(LedgerLine, kw_only=True, frozen=True, tag="accepted"):
    """A submission was accepted. ``results``: file below the submission's folder of results -> sha256."""

    number: Count
    submitter: Account
    pull_request: Count | None = None
    commit: Commit
    file: FileName
    size: Count
    sha256: Digest
    kind: Literal["weights", "predictions", "published"]
    title: Line
    fusionbench: Annotated[str, msgspec.Meta(max_length=40)]
    results: Annotated[dict[ResultPath, Digest], msgspec.Meta(min_length=1, max_length=1000)]


class WithdrawnLine(LedgerLine, kw_only=True, frozen=True, tag="withdrawn"):
    """A submission was withdrawn: its results are gone, its lines stay. ``by``: None stands for a maintainer."""

    by: Account | None = None
    reason: Note = ""


AnyLine = AcceptedLine | WithdrawnLine


def submission_id(number: int, sha256: str) -> str:
    """The permanent id of the submission with this number and this digest of its file.

    Example:
        >>> from fusionbench.board.community.ledger import submission_id
        >>> submission_id(7, "ab" * 32)
        '0007-abababababab'
    """
    return f"{number:04}-{sha256[:12]}"


def timestamp(now: datetime.datetime) -> str:
    """A time as the ledger has it: UTC, whole seconds."""
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Ledger:
    """The lines of a ledger, which belong together, and their bytes."""

    lines: tuple[AnyLine, ...] = ()
    content: bytes = b""

    @property
    def accepted(self) -> dict[str, AcceptedLine]:
        """Every submission that was ever accepted, by its id, in order."""
        return {line.id: line for line in self.lines if isinstance(line, AcceptedLine)}

    @property
    def withdrawn(self) -> dict[str, WithdrawnLine]:
        """The submissions that were withdrawn, by their id."""
        return {line.id: line for line in self.lines if isinstance(line, WithdrawnLine)}

    @property
    def active(self) -> dict[str, AcceptedLine]:
        """The submissions that were accepted and not withdrawn, by their id."""
        gone = self.withdrawn
        return {name: line for name, line in self.accepted.items() if name not in gone}

    @property
    def next_number(self) -> int:
        """The number of the next submission: one more than that of any that was ever accepted."""
        return 1 + max((line.number for line in self.accepted.values()), default=0)

    @property
    def last_digest(self) -> str:
        """What the next line has as ``previous``."""
        lines = self.content.splitlines()
        return hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST

    def add(self, line: AnyLine) -> Ledger:
        """The ledger with one line more.

        Raises:
            DataError: the line does not belong after the others.
        """
        return parse_ledger(self.content + msgspec.json.encode(line, order="sorted") + b"\n", "the new ledger")


def parse_ledger(content: bytes, where: str) -> Ledger:
    """The ledger in the bytes of a ``ledger.jsonl``; ``where`` names the file in messages.

    Raises:
        DataError: a line is damaged, edited, missing or there twice; names it.

    Example:
        >>> from fusionbench.board.community.ledger import parse_ledger
        >>> parse_ledger(b"", "ledger.jsonl").next_number
        1
    """
    remedy = "take the file from an earlier commit: its lines are only ever added"
    if content and not content.endswith(b"\n"):
        raise DataError(f"{where}: its last line is cut short; {remedy}")
    lines: list[AnyLine] = []
    accepted: dict[str, int] = {}
    withdrawn: set[str] = set()
    previous = FIRST
    for number, text in enumerate(content.split(b"\n")[:-1], 1):
        place = f"{where}: line {number}"
        try:
            line = msgspec.json.decode(text, type=AnyLine)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            _require_version(text, place)
            raise DataError(f"{place} is no line of a ledger: {' '.join(str(error).split())}; {remedy}") from error
        if line.previous != previous:
            raise DataError(f"{place} does not follow the line before it, one of them was changed; {remedy}")
        if isinstance(line, AcceptedLine):
            if line.number != len(accepted) + 1 or line.id != submission_id(line.number, line.sha256):
                raise DataError(f"{place} has the id {line.id}, which is not the next one; {remedy}")
            accepted[line.id] = number
        else:
            if line.id not in accepted or line.id in withdrawn:
                raise DataError(f"{place} withdraws {line.id}, which is not an active submission; {remedy}")
            withdrawn.add(line.id)
        lines.append(line)
        previous = hashlib.sha256(text).hexdigest()
    return Ledger(tuple(lines), content)


def read_ledger(path: Path) -> Ledger:
    """The ledger in a file.

    Raises:
        DataError: missing or damaged.
    """
    return parse_ledger(read_bounded(path, MAX_LEDGER, "ledger"), str(path))


def quota_problems(ledger: Ledger, limits: Limits, submitter: Account, now: datetime.datetime) -> list[Problem]:
    """Whether an account has no submission left. Withdrawn ones count: withdrawing buys no further try."""
    theirs = [line for line in ledger.accepted.values() if line.submitter.is_same(submitter)]
    since = timestamp(now - datetime.timedelta(days=1))
    today = sum(line.time > since for line in theirs)
    who = submitter.login
    if len(theirs) >= limits.total:
        rule = f"{who} has {len(theirs)} accepted submissions, {limits.total} are the most"
        return [Problem(who, rule, "ask the maintainers")]
    if today >= limits.per_day:
        rule = f"{who} has {today} submissions accepted in the last 24 hours, {limits.per_day} are the most"
        return [Problem(who, rule, "try again tomorrow")]
    return []


def _require_version(text: bytes, place: str) -> None:
    """Refuse a newer version with a line that says so."""
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return
    if isinstance(raw, dict):
        require_format(raw.get("schema"), "fusionbench.ledger/1", place, raw.get("fusionbench"))
