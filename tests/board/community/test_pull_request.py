"""The check of a pull request: what passes, what is refused with which reason, and whose word counts.

Pull requests that attack are in ``tests/security/test_pull_requests.py``.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from fusionbench.board.community.ledger import Account
from fusionbench.board.community.pull_request import pull_request_of, read_event
from fusionbench.board.community.settings import Limits
from fusionbench.core.errors import DataError, Rejected, UsageError
from tests.helpers.community import ADA, BOB, NOW, Forge, git, packed_pairs, paper_numbers, start_forge

INCOMING = "submissions/incoming"
COMMIT = "c" * 40


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return start_forge(tmp_path)


def test_a_good_submission_passes_and_is_copied(forge: Forge, tmp_path: Path) -> None:
    content = packed_pairs(tmp_path / "made")
    pull = forge.open(1, {f"{INCOMING}/mine.zip": content})
    verdict = forge.check(pull, take=tmp_path / "taken")
    assert verdict.ok and verdict.kind == "submission" and verdict.problems == []
    assert verdict.about == "Mine, predictions of mine on pairs-demo"
    assert (tmp_path / "taken" / "mine.zip").read_bytes() == content
    assert "Submission `mine.zip`: passed the check" in verdict.as_markdown()
    assert git(forge.clone, "status", "--porcelain") == "", "nothing of it was checked out"


def test_a_bad_submission_is_refused_with_every_problem(forge: Forge, tmp_path: Path) -> None:
    verdict = forge.check(forge.open(1, {f"{INCOMING}/mine.zip": b"no zip"}), take=tmp_path / "taken")
    assert not verdict.ok and "not a zip file" in str(verdict.problems[0])
    assert not (tmp_path / "taken").exists()
    assert "refused" in verdict.as_markdown()


def test_a_base_that_moved_on_does_not_matter(forge: Forge) -> None:
    """What others did to the branch since the pull request was opened is not a change of its."""
    pull = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper")})
    git(forge.clone, "commit", "--quiet", "--allow-empty", "-m", "later")
    (forge.clone / "README.md").write_text("changed later\n")
    git(forge.clone, "commit", "--quiet", "-am", "later")
    git(forge.clone, "push", "--quiet")
    assert forge.check(pull).ok


def test_exactly_one_file(forge: Forge) -> None:
    two = {f"{INCOMING}/{name}.json": paper_numbers(name) for name in ("one", "two")}
    (problem,) = forge.check(forge.open(1, two)).problems
    assert "adds 2 submissions" in problem.rule
    (problem,) = forge.check(forge.open(2, {})).problems
    assert problem.rule == "changes nothing"
    more = {f"{INCOMING}/one.json": paper_numbers("one"), "README.md": b"mine is best"}
    verdict = forge.check(forge.open(3, more))
    assert not verdict.ok and [str(problem).split(":")[0] for problem in verdict.problems] == ["README.md"]
    many = {f"x{number}.txt": b"x" for number in range(50)}
    assert len(forge.check(forge.open(4, many)).problems) == 21, "20 and how many more there are"


def test_too_large(tmp_path: Path) -> None:
    forge = start_forge(tmp_path, Limits(archive_mib=1))
    verdict = forge.check(forge.open(1, {f"{INCOMING}/a.zip": bytes((1 << 20) + 1)}))
    assert "1 MiB are the most" in verdict.problems[0].rule and len(verdict.problems) == 1


def test_kinds_and_data_sets_that_are_not_taken(forge: Forge, tmp_path: Path) -> None:
    settings = forge.clone / "community.toml"
    settings.write_text(settings.read_text().replace('["weights", "predictions", "published"]', '["predictions"]'))
    git(forge.clone, "commit", "--quiet", "-am", "Take predictions only")
    git(forge.clone, "push", "--quiet")
    verdict = forge.check(forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper")}))
    assert "published numbers" in verdict.problems[0].rule and "takes predictions" in verdict.problems[0].remedy


def test_numbers_about_another_data_set(forge: Forge) -> None:
    suite = forge.clone / "suite.toml"
    suite.write_text(suite.read_text().replace('published = "fusionmnist"\n', ""))
    git(forge.clone, "commit", "--quiet", "-am", "No papers")
    git(forge.clone, "push", "--quiet")
    verdict = forge.check(forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper")}))
    assert verdict.problems[0].rule == "is about fusionmnist; pairs-demo is scored here"


def test_the_quota_is_that_of_the_account_that_opened_it(tmp_path: Path) -> None:
    forge = start_forge(tmp_path, Limits(per_day=1, total=2))
    forge.accept(forge.open(1, {f"{INCOMING}/a.json": paper_numbers("First")}), tmp_path / "one")
    again = {f"{INCOMING}/a.json": paper_numbers("Second")}
    (problem,) = forge.check(forge.open(2, again)).problems
    assert "ada has 1 submissions accepted in the last 24 hours" in problem.rule
    assert forge.check(forge.open(3, again, by=BOB)).ok
    renamed = Account("ada-lovelace", ADA.number)
    assert not forge.check(forge.open(4, again, by=renamed)).ok, "a new name is no new account"
    later = NOW + datetime.timedelta(days=2)
    assert forge.check(forge.open(5, again), now=later).ok
    forge.accept(forge.open(5, again), tmp_path / "two", later)
    third = {f"{INCOMING}/a.json": paper_numbers("Third")}
    (problem,) = forge.check(forge.open(6, third), now=later + datetime.timedelta(days=30)).problems
    assert "ada has 2 accepted submissions, 2 are the most" in problem.rule


def test_the_same_file_is_not_taken_twice(forge: Forge, tmp_path: Path) -> None:
    content = paper_numbers("First")
    line = forge.accept(forge.open(1, {f"{INCOMING}/a.json": content}), tmp_path / "one")
    (problem,) = forge.check(forge.open(2, {f"{INCOMING}/other.json": content}, by=BOB)).problems
    assert line.id in problem.rule


def test_only_who_submitted_may_withdraw(forge: Forge, tmp_path: Path) -> None:
    line = forge.accept(forge.open(1, {f"{INCOMING}/a.json": paper_numbers("First")}), tmp_path / "one")
    file = f"submissions/withdraw/{line.id}.txt"
    verdict = forge.check(forge.open(2, {file: b"a mistake\nin  it\n"}))
    assert verdict.ok and (verdict.kind, verdict.name, verdict.reason) == ("withdrawal", line.id, "a mistake in it")
    (problem,) = forge.check(forge.open(3, {file: b""}, by=BOB)).problems
    assert "was submitted by ada, not by bob" in problem.rule
    (problem,) = forge.check(forge.open(4, {"submissions/withdraw/0009-0123456789ab.txt": b""})).problems
    assert problem.rule == "no such submission"
    (problem,) = forge.check(forge.open(5, {file: b"x" * 2001})).problems
    assert "2000 characters" in problem.rule
    assert not forge.check(forge.open(6, {file: b"\xff"})).ok


def test_an_event_of_the_forge(tmp_path: Path) -> None:
    facts = {"number": 7, "user": {"login": "ada", "id": 1001, "type": "User"}, "head": {"sha": COMMIT, "ref": "$(x)"}}
    path = tmp_path / "event.json"
    for body in (facts, {"action": "labeled", "pull_request": facts}):
        path.write_text(json.dumps(body))
        pull = read_event(path, COMMIT)
        assert (pull.head, pull.submitter, pull.number) == (COMMIT, ADA, 7)
    with pytest.raises(Rejected, match="somebody pushed after you looked"):
        read_event(path, "d" * 40)
    for broken in ({}, {"pull_request": None}, facts | {"head": {"sha": "main"}}, facts | {"user": {"login": "a;b"}}):
        path.write_text(json.dumps(broken))
        with pytest.raises(DataError, match="tells of no pull request"):
            read_event(path)


def test_a_pull_request_by_its_parts() -> None:
    assert pull_request_of("main", "ada").submitter == Account("ada")
    with pytest.raises(UsageError, match="not the name of an account"):
        pull_request_of("main", "ada; rm")


def test_a_base_without_a_leaderboard(forge: Forge, tmp_path: Path) -> None:
    pull = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper")})
    git(forge.clone, "rm", "--quiet", "ledger.jsonl")
    git(forge.clone, "commit", "--quiet", "-m", "gone")
    git(forge.clone, "push", "--quiet")
    with pytest.raises(DataError, match=r"has no ledger\.jsonl"):
        forge.check(pull)


def test_the_suite_is_that_of_the_base_and_not_what_is_checked_out(forge: Forge, tmp_path: Path) -> None:
    pull = forge.open(1, {f"{INCOMING}/mine.zip": packed_pairs(tmp_path / "made")})
    suite = forge.clone / "suite.toml"
    suite.write_text(suite.read_text().replace('"pairs-demo"', '"tno"').replace('split = "all"', 'split = "test"'))
    assert forge.check(pull).ok, "the working tree says nothing"
    git(forge.clone, "commit", "--quiet", "-am", "another suite")
    git(forge.clone, "push", "--quiet")
    git(forge.clone, "checkout", "--quiet", "--detach", "HEAD~1")
    rules = [problem.rule for problem in forge.check(pull).problems]
    assert "is about pairs-demo; tno is scored here" in rules
    git(forge.clone, "checkout", "--quiet", "main")
    suite.write_text("x")
    git(forge.clone, "commit", "--quiet", "-am", "damaged")
    git(forge.clone, "push", "--quiet")
    with pytest.raises(DataError, match=r"^suite\.toml of the base: "):
        forge.check(pull)
    git(forge.clone, "rm", "--quiet", "suite.toml")
    git(forge.clone, "commit", "--quiet", "-m", "no suite")
    git(forge.clone, "push", "--quiet")
    with pytest.raises(DataError, match=r"has no suite\.toml"):
        forge.check(pull)
