"""What ran here: the commit of the checkout and no other, packages without opening them, commands without homes."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import pytest

from fusionbench.core import environment
from fusionbench.core.environment import anonymous_command, describe_code, describe_environment, source_digest
from fusionbench.core.io import file_sha256

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *author, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text("class Net: ...\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_packages_are_those_that_are_installed() -> None:
    packages = dict(one.split("==") for one in describe_environment()["packages"].split())
    for name in ("numpy", "msgspec", "torch", "scikit-image"):
        assert packages[name] == importlib.metadata.version(name)
    assert describe_environment() is describe_environment(), "worked out once"


@needs_git
def test_the_commit_of_a_model_and_whether_it_was_changed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = checkout / "net.py"
    clean = {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    assert describe_code(file) == {"file": "net.py", "sha256": file_sha256(file), "code": clean}
    monkeypatch.setenv("GIT_DIR", str(checkout / "elsewhere"))
    found = describe_code(file)
    assert found is not None and found["code"] == clean, "variables do not point to another repository"
    file.write_text("class Net: pass\n")
    found = describe_code(file)
    assert found is not None and found["code"] == {**clean, "dirty": True}


@needs_git
def test_a_repository_starts_no_program_of_its_own(checkout: Path) -> None:
    program = checkout / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {checkout / 'ran'}\n")
    program.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(program))
    assert describe_code(checkout / "net.py") is not None
    assert not (checkout / "ran").exists()


def test_without_a_checkout_git_is_never_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: object, **options: object) -> None:
        raise AssertionError("git was called")

    monkeypatch.setattr(environment.subprocess, "run", refused)
    (tmp_path / "net.py").write_text("")
    found = describe_code(tmp_path / "net.py")
    assert found is not None and found["code"] is None
    (tmp_path / ".git").mkdir()
    installed = tmp_path / "lib" / "site-packages" / "net.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    found = describe_code(installed)
    assert found is not None and found["code"] is None, "a repository around an environment is not its code"
    assert describe_code(environment.__file__) is None and describe_code(tmp_path / "none.py") is None


def test_a_repository_that_git_cannot_read_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "net.py").write_text("")
    found = describe_code(tmp_path / "net.py")
    assert found is not None and found["code"] is None


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/home/ada/data", "~/data"),
        ("--data=/Users/ada/data", "--data=~/data"),
        (r"C:\Users\ada\data", r"~\data"),
        ("/root/data", "~/data"),
        ("/srv/root/home/data", "/srv/root/home/data"),
        ("data/home/set", "data/home/set"),
        ("https://ada:secret@example.org/a?X-Signature=1", "https://example.org/a"),
        ("mse_min@*", "mse_min@*"),
        ("caf\udce9", "caf\\xe9"),
        ("x" * 900, "x" * 500),
    ],
)
def test_commands_do_not_say_whose_machine_it_was(word: str, shown: str) -> None:
    assert anonymous_command(["/home/ada/bin/fusionbench", word]) == ["fusionbench", shown]


def test_commands_are_bounded() -> None:
    found = anonymous_command(["fusionbench", *["a"] * 500])
    assert len(found) == 201 and found[-1] == "and 301 more"
    assert anonymous_command([]) == []


def test_the_digest_of_sources_is_over_their_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [source_digest(tmp_path)]

    def write(name: str, text: str = "x = 1") -> str | None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return source_digest(tmp_path)

    digests += [write("a.py"), write("a.py", "x = 2"), write("below/a.py")]
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    digests.append(source_digest(tmp_path))
    assert len(set(digests)) == len(digests)
    for name in ("notes.txt", ".venv/a.py", "site-packages/a.py", "__pycache__/a.py"):
        assert write(name) == digests[-1], name
    monkeypatch.setattr(environment, "MAX_SOURCES", 1)
    assert source_digest(tmp_path) is None
    monkeypatch.setattr(environment, "MAX_SOURCES", 2)
    assert source_digest(tmp_path) == digests[-1]
    (tmp_path / "c.py").symlink_to(tmp_path / "nothing")
    monkeypatch.setattr(environment, "MAX_SOURCES", 9)
    assert source_digest(tmp_path) is None  # one that cannot be read
