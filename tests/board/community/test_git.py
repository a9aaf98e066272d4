"""Git's objects as they are: what changed, and commits that are made and pushed beside the working tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.board.community.git import Repository
from fusionbench.core.errors import DataError, UsageError
from tests.helpers.community import git


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    (folder / "a.txt").write_bytes(b"one\n")
    (folder / "b.txt").write_bytes(b"two\n")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_changes_are_told_with_kind_and_mode(clone: Path) -> None:
    repository = Repository(clone)
    before = repository.commit("main")
    (clone / "a.txt").write_bytes(b"other\n")
    (clone / "b.txt").rename(clone / "c.txt")
    (clone / "d").symlink_to("/etc/passwd")
    (clone / "e\nf").write_bytes(b"")
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "-m", "second")
    found = {
        change.path: (change.status, change.mode) for change in repository.changes(before, repository.commit("main"))
    }
    assert found == {
        "a.txt": ("M", "100644"),
        "b.txt": ("D", "000000"),
        "c.txt": ("A", "100644"),
        "d": ("A", "120000"),
        "e\nf": ("A", "100644"),
    }


@pytest.mark.parametrize("name", ["--help", "-x", "main..main", "main:a.txt", "main^", "", "a b", "no-such-branch"])
def test_names_that_are_none(clone: Path, name: str) -> None:
    with pytest.raises(UsageError):
        Repository(clone).commit(name)


def test_reading_follows_no_link_and_has_a_limit(clone: Path) -> None:
    (clone / "link").symlink_to("a.txt")
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "-m", "second")
    repository = Repository(clone)
    assert repository.read("main", "a.txt", 4) == b"one\n" and repository.read("main", "none", 4) is None
    with pytest.raises(DataError, match="4 bytes are too many"):
        repository.read("main", "a.txt", 3)
    with pytest.raises(DataError, match="not a plain file"):
        repository.read("main", "link", 99)


def test_a_commit_touches_nothing_but_its_files(clone: Path) -> None:
    repository = Repository(clone)
    parent = repository.commit("main")
    blob = git(clone, "rev-parse", "main:a.txt")
    made = repository.add_commit(parent, {"x/new.txt": b"new\r\n", "x/same.txt": blob, "b.txt": None}, "Third")
    assert repository.commit("main") == parent and git(clone, "status", "--porcelain") == ""
    assert not (clone / "x").exists()
    assert repository.read(made, "x/new.txt", 99) == b"new\r\n" and repository.read(made, "x/same.txt", 99) == b"one\n"
    assert repository.files(made, "x") == ["x/new.txt", "x/same.txt"] and repository.read(made, "b.txt", 9) is None
    assert repository.publish(made, parent, None, "main") and (clone / "x" / "new.txt").read_bytes() == b"new\r\n"


def test_a_branch_that_moved_is_not_overwritten(clone: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(clone), str(tmp_path / "origin.git"))
    git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "other"))
    repository = Repository(tmp_path / "other")
    tip = repository.tip("origin", "main")
    first, second = (repository.add_commit(tip, {"n.txt": text}, "n") for text in (b"1", b"2"))
    assert repository.publish(first, tip, "origin", "main")
    assert not repository.publish(second, tip, "origin", "main"), "somebody else was faster"
    assert repository.tip("origin", "main") == first


def test_a_push_that_is_refused_for_another_reason_says_it(clone: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(clone), str(tmp_path / "origin.git"))
    git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "other"))
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected branch >&2\nexit 1\n")
    hook.chmod(0o755)
    repository = Repository(tmp_path / "other")
    tip = repository.tip("origin", "main")
    with pytest.raises(DataError, match="protected branch"):
        repository.publish(repository.add_commit(tip, {"n.txt": b"1"}, "n"), tip, "origin", "main")


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Git repository"):
        Repository(tmp_path)


def test_histories_with_nothing_in_common(clone: Path) -> None:
    git(clone, "checkout", "--quiet", "--orphan", "other")
    git(clone, "commit", "--quiet", "-m", "alone")
    assert Repository(clone).merge_base("main", "other") is None


def test_files_of_a_name_are_written_as_they_are_stored(clone: Path, tmp_path: Path) -> None:
    for name, content in {"r/x/result.json": b"1\n2", "r/y z/result.json": b"", "r/x/other.json": b"o"}.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes(content)
    (clone / "r" / "link").mkdir()
    (clone / "r" / "link" / "result.json").symlink_to("/etc/passwd")
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "-m", "second")
    Repository(clone).export("main", "r", "result.json", tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("result.json")}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "r/x/result.json": b"1\n2",
        "r/y z/result.json": b"",
    }
    Repository(clone).export("main", "nothing", "result.json", tmp_path / "none")
    assert not (tmp_path / "none").exists()
