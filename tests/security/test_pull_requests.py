"""Pull requests that try to change what is not theirs, or to get out of Git's objects into a file system or a shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fusionbench.board.community.pull_request import PullRequest
from tests.helpers.community import ADA, LINK, Forge, git, paper_numbers, start_forge

INCOMING = "submissions/incoming"
GOOD = paper_numbers("A Paper")


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """One for all: whatever is refused leaves no trace."""
    return start_forge(tmp_path_factory.mktemp("forge"))


@pytest.mark.parametrize(
    "path",
    [
        "ledger.jsonl",
        "community.toml",
        "suite.toml",
        "requirements.txt",
        "constraints.txt",
        "Dockerfile",
        ".gitattributes",
        ".gitmodules",
        ".github/workflows/check.yml",
        ".github/workflows/new.yml",
        ".github/CODEOWNERS",
        "results/0001-0123456789ab/d/m/0/result.json",
        "results/reference/README.md",
        "submissions/accepted/0001-0123456789ab.zip",
        "submissions/incoming/README.md",
        "submissions/incoming/deep/a.zip",
        "submissions/incoming/.zip",
        "submissions/incoming/a.zip.sh",
        "submissions/incoming/a b.zip",
        "submissions/incoming/a\n.zip",
        "submissions/incoming/-a.zip",
        "submissions/incoming/a.ZIP",
        "Submissions/incoming/a.zip",
        "submissions/withdraw/x.txt",
    ],
)
def test_nothing_else_may_be_touched(forge: Forge, path: str) -> None:
    """Alone, and beside a submission that would pass."""
    file = ("100644", forge.blob(GOOD))
    for number, files in enumerate(({path: file}, {path: file, f"{INCOMING}/good.json": file}), 1):
        verdict = forge.check(forge.open_tree(number, files), take=forge.clone.parent / "taken")
        assert not verdict.ok and verdict.kind is None, path
        assert not (forge.clone.parent / "taken").exists()
        assert "\n" not in str(verdict.problems[0])


def test_deletions_are_refused(forge: Forge) -> None:
    verdict = forge.check(forge.open(1, {"ledger.jsonl": None, f"{INCOMING}/good.json": GOOD}))
    assert [(problem.file, problem.rule) for problem in verdict.problems] == [("ledger.jsonl", "is deleted")]


@pytest.mark.parametrize(
    ("mode", "rule"), [(LINK, "a symbolic link"), ("100755", "an executable file"), ("160000", "a submodule")]
)
def test_links_and_the_like(forge: Forge, mode: str, rule: str) -> None:
    blob = forge.blob(b"/etc/passwd") if mode != "160000" else git(forge.submitters, "rev-parse", "HEAD")
    verdict = forge.check(forge.open_tree(1, {f"{INCOMING}/a.zip": (mode, blob)}))
    assert not verdict.ok and verdict.problems[0].rule == f"is {rule}"


def test_a_link_in_place_of_a_folder(forge: Forge) -> None:
    """``submissions`` as a link elsewhere: what lies below is deleted, and the link is no submission."""
    files = git(forge.submitters, "ls-tree", "-r", "--name-only", "HEAD", "submissions").splitlines()
    entries = {path: ("0", "0" * 40) for path in files} | {"submissions": (LINK, forge.blob(b"/tmp"))}
    verdict = forge.check(forge.open_tree(1, entries))
    assert not verdict.ok and verdict.kind is None


def raw_tree(folder: Path, entries: list[tuple[str, str, str]]) -> str:
    """A tree object with any names, as ``git`` itself would not write it: (mode, name, id)."""
    content = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(each) for mode, name, each in entries)
    command = ["git", "-C", folder, "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout.decode().strip()


@pytest.mark.parametrize("name", ["..", ".git", "../../../a.zip"])
def test_names_that_leave_the_folder(forge: Forge, tmp_path: Path, name: str) -> None:
    """Trees that no checkout would write: they reach the maintainers' clone where the forge does not check them."""
    blob = forge.blob(GOOD)
    inner = raw_tree(forge.clone, [("100644", "a.json", git(forge.clone, "hash-object", "-w", "--stdin", given=GOOD))])
    if "/" in name:
        inner = raw_tree(forge.clone, [("100644", name, blob)])
        root = [("40000", "submissions", inner)]
    else:
        root = [("40000", "submissions", raw_tree(forge.clone, [("40000", name, inner)]))]
    main = git(forge.clone, "rev-parse", "main")
    commit = git(forge.clone, "commit-tree", raw_tree(forge.clone, root), "-p", main, "-m", "x")
    before = sorted(path.as_posix() for path in tmp_path.rglob("*") if ".git" not in path.as_posix())
    verdict = forge.check(PullRequest(commit, ADA, 1), take=tmp_path / "taken" / "deep")
    assert not verdict.ok and verdict.kind is None
    assert sorted(path.as_posix() for path in tmp_path.rglob("*") if ".git" not in path.as_posix()) == before


def test_rules_and_ledger_are_those_of_the_base(forge: Forge) -> None:
    """A pull request that brings a larger quota and its own kinds is measured by the rules that it wants to change."""
    settings = (forge.clone / "community.toml").read_bytes().replace(b"archive_mib = 50", b"archive_mib = 2048")
    verdict = forge.check(forge.open(1, {"community.toml": settings, f"{INCOMING}/good.json": GOOD}))
    assert [(problem.file, problem.rule) for problem in verdict.problems] == [("community.toml", "is changed")]


def test_attributes_of_a_pull_request_run_no_filter(forge: Forge, tmp_path: Path) -> None:
    """``.gitattributes`` with a filter, an external diff and a text conversion: none of them is called."""
    mark = tmp_path / "called"
    for key in ("filter.x.smudge", "filter.x.clean", "diff.x.command", "diff.x.textconv"):
        git(forge.clone, "config", key, f"touch {mark}")
    blob, attributes = forge.blob(GOOD), forge.blob(b"* filter=x diff=x\n")
    entries = {f"{INCOMING}/good.json": ("100644", blob), ".gitattributes": ("100644", attributes)}
    assert not forge.check(forge.open_tree(1, entries)).ok
    assert not mark.exists()


def test_an_unrelated_history(forge: Forge) -> None:
    git(forge.submitters, "checkout", "--quiet", "--orphan", "alone")
    git(forge.submitters, "commit", "--quiet", "-m", "x")
    (problem,) = forge.check(forge.opened(1, ADA)).problems
    assert problem.rule == "has nothing in common with main"


def test_the_summary_has_no_markup_of_the_submitter(forge: Forge) -> None:
    name = "![x](y)<script>`|"
    text = forge.check(forge.open_tree(1, {f"{name}.zip": ("100644", forge.blob(b"x"))})).as_markdown()
    assert "<script" not in text and "![x](" not in text and "\\`" in text
