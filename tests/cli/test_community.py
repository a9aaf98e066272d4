"""``fusionbench community`` as people and workflows call it: a leaderboard from start to pages, and the exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.runner import run
from tests.helpers.community import ADA, Forge, git, paper_numbers, start_forge

INCOMING = "submissions/incoming"


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return start_forge(tmp_path)


def event(path: Path, head: str, number: int, login: str = ADA.login) -> Path:
    """What the forge tells a workflow."""
    facts = {"number": number, "user": {"login": login, "id": ADA.number}, "head": {"sha": head}}
    path.write_text(json.dumps({"action": "labeled", "label": {"name": "accept"}, "pull_request": facts}))
    return path


def test_from_the_first_command_to_the_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "board"
    words = ("--title", "Our leaderboard", "--suite", "pairs-demo", "--per-day", 1, "--owner", "@ours", "--git")
    code, out, err = run(capsys, "community", "init", folder, *words)
    assert code == 0 and out.strip() == str(folder), err
    assert git(folder, "status", "--porcelain") == ""
    code, out, _ = run(capsys, "community", "prepare", "--folder", folder)
    assert code == 0 and out.strip() == "pairs-demo is embedded"
    code, out, _ = run(capsys, "community", "pages", "--folder", folder, "-o", tmp_path / "site")
    assert code == 0 and "Our leaderboard" in Path(out.strip()).read_text()
    assert run(capsys, "community", "init", folder, *words)[0] == 2, "the folder is taken"


def test_the_steps_of_the_workflows(forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--folder", forge.clone)
    pull = forge.open(7, {f"{INCOMING}/a.json": paper_numbers("A Paper")})
    facts = ("--event", event(tmp_path / "event.json", pull.head, 7), "--commit", pull.head)
    more = ("--take", tmp_path / "taken", "--github-output", tmp_path / "output", "--summary", tmp_path / "summary.md")
    code, out, err = run(capsys, "community", "check-pr", *where, *facts, *more)
    assert code == 0 and "a submission that passes" in out, err
    assert (tmp_path / "output").read_text() == "kind=submission\nsubmitter=ada\n"
    assert "passed the check" in (tmp_path / "summary.md").read_text()
    code, _, err = run(
        capsys, "community", "score", tmp_path / "taken", "-o", tmp_path / "scored", "--submitter", "ada", *where
    )
    assert code == 0, err
    message = tmp_path / "message.md"
    scored = ("--scored", tmp_path / "scored", "--summary", message)
    code, out, err = run(capsys, "community", "accept", *where, *facts, *scored)
    assert code == 0 and re.fullmatch(r"0001-[0-9a-f]{12}\n", out), err
    name = out.strip()
    assert name in message.read_text()
    (line,) = forge.ledger().accepted.values()
    assert (line.id, line.submitter, line.pull_request) == (name, ADA, 7)
    code, _, err = run(capsys, "community", "accept", *where, *facts, *scored)
    assert code == 1 and name in err, "the same again is refused"
    code, out, err = run(capsys, "community", "withdraw", name, *where, "--reason", "a mistake")
    assert code == 0 and out.strip() == name, err
    assert forge.ledger().withdrawn[name].reason == "a mistake"
    assert run(capsys, "community", "withdraw", name, *where)[0] == 1
    assert run(capsys, "community", "withdraw", "x", *where)[0] == 2


def test_refusals_have_exit_code_1_and_list_everything(
    forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = forge.open(1, {"README.md": b"mine", "ledger.jsonl": b"{}\n", f"{INCOMING}/a.zip": b"x"})
    words = ("community", "check-pr", "main", pull.head, "--submitter", "ada", "--folder", forge.clone)
    code, out, err = run(capsys, *words, "--github-output", tmp_path / "output")
    assert code == 1 and "README.md: is changed" in out and "ledger.jsonl: is changed" in out and "2 problems" in err
    assert not (tmp_path / "output").exists(), "no workflow goes on"
    code, out, _ = run(capsys, *words, "--json")
    verdict = json.loads(out)
    assert code == 1 and verdict["ok"] is False and verdict["problems"][0]["file"] == "README.md"


def test_a_commit_that_was_pushed_after_the_label(
    forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper")})
    pushed = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("Another")})
    facts = ("--event", event(tmp_path / "event.json", pushed.head, 1), "--commit", seen.head)
    code, _, err = run(capsys, "community", "check-pr", *facts, "--folder", forge.clone)
    assert code == 1 and "somebody pushed after you looked" in err


def test_mistakes_of_the_caller(forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--folder", forge.clone)
    for words in (
        ("check-pr", "main", *where),
        ("check-pr", "main", "no-such-commit", "--submitter", "ada", *where),
        ("check-pr", "main", "main", "--submitter", "a;b", *where),
        ("check-pr", "main", "main", "--submitter", "ada", "--folder", tmp_path / "none"),
        ("accept", "main", "--submitter", "ada", "--remote", "elsewhere", *where),
        ("score", tmp_path, "-o", tmp_path / "new", "--submitter", "ada", *where),
        ("pages", "-o", tmp_path / "site", "--folder", tmp_path),
        ("init", tmp_path / "x", "--title", "T", "--suite", "pairs-demo", "--kinds", "weigths"),
        ("codabench", "no-such-suite", "-o", tmp_path / "bundle"),
    ):
        code, _, err = run(capsys, "community", *words)
        assert code == 2 and err.count("\n") <= 4 and "Traceback" not in err, words
    words = ("init", tmp_path / "x", "--title", "T", "--suite", "pairs-demo", "--kinds", "weigths")
    assert "Did you mean 'weights'" in run(capsys, "community", *words)[2]


def test_strict_pages(forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (forge.clone / "results" / "0001-0123456789ab").mkdir()
    words = ("community", "pages", "--folder", forge.clone, "-o", tmp_path / "site")
    code, _, err = run(capsys, *words, "--summary", tmp_path / "summary.md")
    assert code == 0 and "set aside: 0001-0123456789ab" in err
    assert "no line of the ledger" in (tmp_path / "summary.md").read_text()
    assert run(capsys, *words, "--strict")[0] == 1


def test_a_request_to_withdraw_is_a_file(forge: Forge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pull = forge.open(1, {f"{INCOMING}/a.json": paper_numbers("A Paper")})
    name = forge.accept(pull, tmp_path / "work").id
    forge.pull()
    code, out, _ = run(capsys, "community", "withdraw", name, "--request", "--reason", "why", "--folder", forge.clone)
    file = Path(out.strip())
    assert (
        code == 0 and file == forge.clone / "submissions" / "withdraw" / f"{name}.txt" and file.read_text() == "why\n"
    )
    assert forge.ledger().withdrawn == {}
