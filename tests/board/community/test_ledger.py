"""The ledger: numbers count up, ids never come back, and no line can be changed, removed or put in between unseen."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
from typing import Any

import pytest

from fusionbench.board.community.ledger import (
    AcceptedLine,
    Account,
    Ledger,
    WithdrawnLine,
    parse_ledger,
    quota_problems,
    submission_id,
    timestamp,
)
from fusionbench.board.community.settings import Limits
from fusionbench.core.errors import DataError

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
ADA = Account("ada", 7)


def accepted(ledger: Ledger, account: Account = ADA, when: datetime.datetime = NOON, **changes: Any) -> AcceptedLine:
    number = ledger.next_number
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    facts: dict[str, Any] = {
        "id": submission_id(number, sha256),
        "time": timestamp(when),
        "previous": ledger.last_digest,
        "number": number,
        "submitter": account,
        "commit": "0" * 40,
        "file": "a.zip",
        "size": 1,
        "sha256": sha256,
        "kind": "weights",
        "title": "Theirs",
        "fusionbench": "0.1.0",
        "results": {"a/b/c/result.json": sha256},
    }
    return AcceptedLine(**(facts | changes))


def grown(count: int, account: Account = ADA, when: datetime.datetime = NOON) -> Ledger:
    ledger = Ledger()
    for _ in range(count):
        ledger = ledger.add(accepted(ledger, account, when))
    return ledger


def withdrawn(ledger: Ledger, name: str) -> WithdrawnLine:
    return WithdrawnLine(id=name, time=timestamp(NOON), previous=ledger.last_digest, by=ADA)


def test_numbers_count_up_and_withdrawing_frees_none() -> None:
    ledger = grown(2)
    first, second = ledger.accepted
    assert first.startswith("0001-") and second.startswith("0002-") and ledger.next_number == 3
    ledger = ledger.add(withdrawn(ledger, second))
    assert ledger.next_number == 3 and list(ledger.accepted) == [first, second]
    assert list(ledger.active) == [first] and list(ledger.withdrawn) == [second]
    assert parse_ledger(ledger.content, "x").lines == ledger.lines


def test_each_line_has_the_digest_of_the_one_before() -> None:
    lines = grown(3).content.splitlines()
    for before, after in itertools.pairwise(lines):
        assert json.loads(after)["previous"] == hashlib.sha256(before).hexdigest()
    assert json.loads(lines[0])["previous"] == "0" * 64


def test_an_edited_removed_or_inserted_line_is_found() -> None:
    lines = grown(4).content.splitlines(keepends=True)
    edited = [lines[0], lines[1].replace(b"Theirs", b"Better"), *lines[2:]]
    with pytest.raises(DataError, match="line 3 does not follow"):
        parse_ledger(b"".join(edited), "ledger.jsonl")
    for changed in ([lines[0], *lines[2:]], [lines[0], lines[0], *lines[1:]], [lines[1], lines[0], *lines[2:]]):
        with pytest.raises(DataError, match=r"ledger\.jsonl: line \d does not follow"):
            parse_ledger(b"".join(changed), "ledger.jsonl")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<<<<<<< HEAD\n", "line 1 is no line of a ledger"),
        (b'{"event": "accepted"}\n', "line 1 is no line"),
        (b'{"schema": "fusionbench.ledger/2", "event": "accepted"}\n', "is a fusionbench.ledger/2"),
        (b"[" * 100_000 + b"\n", "line 1 is no line"),
        (b"\xff\n", "line 1 is no line"),
        (b"{}", "cut short"),
    ],
    ids=["merge marker", "fields", "version", "nested", "bytes", "cut"],
)
def test_damage_is_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        parse_ledger(content, "ledger.jsonl")
    assert "\n" not in str(raised.value)


def test_lines_that_do_not_belong_there() -> None:
    ledger = grown(1)
    (name,) = ledger.accepted
    with pytest.raises(DataError, match="not the next one"):
        ledger.add(accepted(ledger, number=5, id=submission_id(5, "5" * 64), sha256="5" * 64))
    with pytest.raises(DataError, match="not the next one"):
        ledger.add(accepted(ledger, id=name))
    with pytest.raises(DataError, match="not an active submission"):
        ledger.add(withdrawn(ledger, "0009-" + "a" * 12))
    gone = ledger.add(withdrawn(ledger, name))
    with pytest.raises(DataError, match="not an active submission"):
        gone.add(withdrawn(gone, name))
    with pytest.raises(DataError, match="no line of a ledger"):
        ledger.add(accepted(ledger, results={"../../x": "0" * 64}))


def test_quota_of_a_day_and_in_all() -> None:
    limits = Limits(per_day=2, total=3)
    assert quota_problems(grown(1), limits, ADA, NOON) == []
    (problem,) = quota_problems(grown(2), limits, ADA, NOON)
    assert "2 submissions accepted in the last 24 hours" in problem.rule
    assert quota_problems(grown(2), limits, ADA, NOON + datetime.timedelta(days=1)) == []
    (problem,) = quota_problems(grown(3), limits, ADA, NOON + datetime.timedelta(days=400))
    assert "3 are the most" in problem.rule
    assert quota_problems(grown(3), limits, Account("bob", 8), NOON) == []


def test_withdrawing_buys_no_further_try() -> None:
    ledger = grown(2)
    for name in list(ledger.accepted):
        ledger = ledger.add(withdrawn(ledger, name))
    assert quota_problems(ledger, Limits(per_day=2, total=2), ADA, NOON)


def test_an_account_is_its_number_and_without_one_its_name() -> None:
    assert ADA.is_same(Account("renamed", 7)) and not ADA.is_same(Account("ada", 8))
    assert ADA.is_same(Account("ADA")) and not ADA.is_same(Account("adam"))
