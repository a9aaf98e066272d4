"""Scoring and recording: ids that stay unique when two accept at once, withdrawals, and nothing but measured files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.board.community.accept import (
    Place,
    accept_pull_request,
    read_scored,
    score_submission,
    withdraw_submission,
    write_withdrawal_request,
)
from fusionbench.board.community.git import Repository
from fusionbench.board.community.ledger import AcceptedLine, WithdrawnLine
from fusionbench.board.community.settings import Limits
from fusionbench.core.errors import DataError, Rejected, UsageError
from fusionbench.results.schema import load
from tests.helpers.community import ADA, BOB, NOW, Forge, git, packed_pairs, paper_numbers, start_forge

INCOMING = "submissions/incoming"


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return start_forge(tmp_path)


def numbers(forge: Forge, number: int, title: str = "A Paper"):  # type: ignore[no-untyped-def]
    return forge.open(number, {f"{INCOMING}/a.json": paper_numbers(title)})


def test_predictions_from_the_pull_request_to_the_result(forge: Forge, tmp_path: Path) -> None:
    content = packed_pairs(tmp_path / "made")
    pull = forge.open(7, {f"{INCOMING}/mine.zip": content})
    line = forge.accept(pull, tmp_path / "work")
    assert isinstance(line, AcceptedLine)
    sha256 = hashlib.sha256(content).hexdigest()
    assert line.id == f"0001-{sha256[:12]}" and (line.sha256, line.size) == (sha256, len(content))
    assert (line.submitter, line.pull_request, line.commit) == (ADA, 7, pull.head)
    assert (line.kind, line.title, line.time) == ("predictions", "Mine", "2026-03-01T12:00:00Z")
    forge.pull()
    assert (forge.clone / "submissions/accepted" / f"{line.id}.zip").read_bytes() == content
    (file,) = (forge.clone / "results" / line.id).rglob("result.json")
    result = load(file)
    assert (result.status, result.title, result.origin.submitter) == ("scored", "Mine", "ada")
    for name, digest in line.results.items():
        assert hashlib.sha256((forge.clone / "results" / line.id / name).read_bytes()).hexdigest() == digest
    assert not [path for path in forge.files() if path.endswith("mine.zip")], "the branch was not merged"
    assert f"Submission: {line.id}" in git(forge.origin, "log", "-1", "--format=%B", "main")


def test_what_was_scored_has_to_be_the_file(forge: Forge, tmp_path: Path) -> None:
    scored = forge.score(numbers(forge, 1, "First"), tmp_path / "work")
    other = numbers(forge, 2, "Second")
    with pytest.raises(Rejected, match="score this one"):
        accept_pull_request(forge.place, other, scored, lambda: NOW)
    with pytest.raises(UsageError, match="--scored"):
        accept_pull_request(forge.place, other, None, lambda: NOW)
    assert forge.ledger().lines == ()


def test_recording_checks_the_pull_request_again(forge: Forge, tmp_path: Path) -> None:
    scored = forge.score(numbers(forge, 1), tmp_path / "work")
    more = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper"), "ledger.jsonl": b""})
    assert git(forge.origin, "show", "main:ledger.jsonl") == ""
    pushed = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper"), "README.md": b"x"})
    for pull in (pushed,):
        with pytest.raises(Rejected, match=r"README\.md: is changed"):
            accept_pull_request(forge.place, pull, scored, lambda: NOW)
    assert more.head != pushed.head and forge.ledger().lines == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "scored.json").unlink(),
        lambda folder: (folder / "scored.json").write_text('{"sha256": "x"}'),
        lambda folder: (folder / "results" / "run.sh").write_text("x"),
        lambda folder: (folder / "results" / "link").symlink_to("/etc"),
        lambda folder: next(folder.rglob("result.json")).write_text("{}"),
        lambda folder: next(folder.rglob("result.json")).unlink(),
        lambda folder: (next(folder.rglob("result.json")).parent / "images.csv").symlink_to("/etc/passwd"),
        lambda folder: (folder / "results" / ".github").mkdir(),
    ],
)
def test_a_container_that_left_something_else(forge: Forge, tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    pull = numbers(forge, 1)
    scored = forge.score(pull, tmp_path / "work")
    read_scored(scored)
    change(scored)
    with pytest.raises(DataError):
        accept_pull_request(forge.place, pull, scored, lambda: NOW)
    assert forge.ledger().lines == ()


def test_withdrawal_by_the_submitter_and_by_a_maintainer(forge: Forge, tmp_path: Path) -> None:
    first = forge.accept(numbers(forge, 1, "First"), tmp_path / "one")
    second = forge.accept(numbers(forge, 2, "Second"), tmp_path / "two")
    forge.pull()
    request = write_withdrawal_request(forge.clone, first.id, "a  mistake")
    pull = forge.open(3, {request.relative_to(forge.clone).as_posix(): request.read_bytes()})
    request.unlink()
    gone = accept_pull_request(forge.place, pull, None, lambda: NOW)
    assert isinstance(gone, WithdrawnLine) and (gone.by, gone.reason) == (ADA, "a mistake")
    assert withdraw_submission(forge.place, second.id, "", lambda: NOW).id == second.id
    assert [path for path in forge.files() if path.startswith("results/0")] == []
    assert f"submissions/accepted/{first.id}.json" in forge.files(), "what was scored stays as evidence"
    ledger = forge.ledger()
    assert list(ledger.accepted) == [first.id, second.id] and set(ledger.withdrawn) == {first.id, second.id}
    third = forge.accept(numbers(forge, 4, "Third"), tmp_path / "three")
    assert third.id.startswith("0003-"), "no number comes back"
    with pytest.raises(Rejected, match="withdrawn already"):
        withdraw_submission(forge.place, first.id, "", lambda: NOW)
    for name in ("0009-0123456789ab", "../../x"):
        with pytest.raises(UsageError):
            withdraw_submission(forge.place, name, "", lambda: NOW)
    with pytest.raises(UsageError, match="2000"):
        withdraw_submission(forge.place, third.id, "x" * 2001, lambda: NOW)


def test_a_withdrawal_by_somebody_else_is_refused(forge: Forge, tmp_path: Path) -> None:
    line = forge.accept(numbers(forge, 1), tmp_path / "one")
    pull = forge.open(2, {f"submissions/withdraw/{line.id}.txt": b"gone"}, by=BOB)
    with pytest.raises(Rejected, match="not by bob"):
        accept_pull_request(forge.place, pull, None, lambda: NOW)
    assert set(forge.ledger().active) == {line.id}


def test_a_push_that_comes_second_starts_again(forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's submission is recorded between our look at the branch and our push: both get their own number."""
    mine, theirs = (forge.open(n, {f"{INCOMING}/{n}.json": paper_numbers(f"Paper {n}")}) for n in (1, 2))
    scored = [forge.score(pull, tmp_path / str(number)) for number, pull in enumerate((mine, theirs))]
    git(tmp_path, "clone", "--quiet", str(forge.origin), str(tmp_path / "colleague"))
    git(tmp_path / "colleague", "fetch", "--quiet", "origin", "refs/pull/2/head")
    colleague = Place(Repository(tmp_path / "colleague"), "main")
    publish, seen = Repository.publish, []

    def late(self: Repository, *arguments: object) -> bool:
        if self.folder == forge.clone and not seen:
            seen.append(accept_pull_request(colleague, theirs, scored[1], lambda: NOW).id)
        return publish(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Repository, "publish", late)
    line = accept_pull_request(forge.place, mine, scored[0], lambda: NOW)
    assert seen[0].startswith("0001-") and line.id.startswith("0002-")
    assert list(forge.ledger().accepted) == [seen[0], line.id]


def test_a_quota_that_is_used_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge = start_forge(tmp_path, Limits(per_day=1, total=9))
    pulls = [forge.open(n, {f"{INCOMING}/{n}.json": paper_numbers(f"Paper {n}")}) for n in (1, 2)]
    scored = [forge.score(pull, tmp_path / str(number)) for number, pull in enumerate(pulls)]
    publish, seen = Repository.publish, []

    def late(self: Repository, *arguments: object) -> bool:
        if not seen:
            seen.append("")
            seen[0] = accept_pull_request(forge.place, pulls[1], scored[1], lambda: NOW).id
        return publish(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Repository, "publish", late)
    with pytest.raises(Rejected, match="1 are the most"):
        accept_pull_request(forge.place, pulls[0], scored[0], lambda: NOW)
    assert list(forge.ledger().accepted) == seen


def test_several_maintainers_at_once(forge: Forge, tmp_path: Path) -> None:
    """Four processes in four clones push at the same time: nothing is lost, and every id is its own."""
    processes = []
    for number in range(1, 5):
        pull = forge.open(
            number, {f"{INCOMING}/{number}.json": paper_numbers(f"Paper {number}")}, by=BOB if number > 2 else ADA
        )
        scored = forge.score(pull, tmp_path / str(number))
        clone = tmp_path / f"clone-{number}"
        git(tmp_path, "clone", "--quiet", str(forge.origin), str(clone))
        git(clone, "fetch", "--quiet", "origin", f"refs/pull/{number}/head")
        words = ["community", "accept", pull.head, "--submitter", pull.submitter.login, "--scored", str(scored)]
        command = [sys.executable, "-m", "fusionbench", *words, "--folder", str(clone)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    ids = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        ids.append(out.strip())
    ledger = forge.ledger()
    assert sorted(ledger.accepted) == sorted(ids) and [line[:4] for line in sorted(ids)] == [
        "0001",
        "0002",
        "0003",
        "0004",
    ]
    there = {path.split("/")[1] for path in forge.files() if path.startswith("results/0")}
    assert there == set(ids)


def test_without_a_remote(forge: Forge, tmp_path: Path) -> None:
    pull = numbers(forge, 1)
    scored = forge.score(pull, tmp_path / "work")
    line = accept_pull_request(Place(forge.repository, "main", None), pull, scored, lambda: NOW)
    assert json.loads((forge.clone / "ledger.jsonl").read_text())["id"] == line.id
    assert git(forge.clone, "status", "--porcelain") == "" and forge.ledger().lines == ()


def test_scoring_needs_a_new_folder_and_a_kind_that_is_taken(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(paper_numbers("A Paper"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        score_submission(tmp_path / "a.json", forge.leaderboard, tmp_path / "full", "ada")
    settings = forge.clone / "community.toml"
    settings.write_text(settings.read_text().replace('"predictions", "published"', '"predictions"'))
    with pytest.raises(Rejected, match="published numbers"):
        score_submission(tmp_path / "a.json", forge.leaderboard, tmp_path / "new", "ada")
