"""A leaderboard on this machine: a bare origin as the forge, clones of maintainers, and branches as pull requests."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from fusionbench.board.community.accept import Place, accept_pull_request, score_submission
from fusionbench.board.community.git import Repository
from fusionbench.board.community.ledger import Account, AnyLine, Ledger, parse_ledger
from fusionbench.board.community.pull_request import PullRequest, PullRequestVerdict, check_pull_request
from fusionbench.board.community.settings import Leaderboard, Limits
from fusionbench.board.community.start import StartRequest, start_community
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.results import published
from fusionbench.submissions.kinds.base import PackRequest
from fusionbench.submissions.submit import pack_submission

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
ADA, BOB = Account("ada", 1001), Account("bob", 1002)
LINK = "120000"


def git(folder: Path, *words: str, given: bytes | None = None) -> str:
    """What git prints; it has to end well."""
    author = ("-c", "user.name=Somebody", "-c", "user.email=somebody@localhost")
    done = subprocess.run(["git", *author, "-C", str(folder), *words], input=given, capture_output=True)
    assert done.returncode == 0, f"{words}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode().strip()


@dataclass
class Forge:
    """A bare repository with a leaderboard, and a clone of its maintainers."""

    origin: Path
    clone: Path
    submitters: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.clone)

    @property
    def place(self) -> Place:
        return Place(self.repository, "main")

    @property
    def leaderboard(self) -> Leaderboard:
        return Leaderboard.read(self.clone)

    def pull(self) -> None:
        """Bring the maintainers' clone to the newest state."""
        git(self.clone, "pull", "--quiet", "--ff-only")

    def ledger(self) -> Ledger:
        """That of the newest state of the origin."""
        text = subprocess.run(["git", "-C", self.origin, "show", "main:ledger.jsonl"], capture_output=True, check=True)
        return parse_ledger(text.stdout, "ledger.jsonl")

    def files(self) -> list[str]:
        """All files of the newest state of the origin."""
        return git(self.origin, "ls-tree", "-r", "--name-only", "main").splitlines()

    def open(
        self, number: int, files: Mapping[str, bytes | None], by: Account = ADA, start: str = "main"
    ) -> PullRequest:
        """Push a branch that adds, changes or (None) deletes files, as pull request ``number``."""
        git(self.submitters, "fetch", "--quiet", "origin")
        git(self.submitters, "checkout", "--quiet", "--force", "--detach", f"origin/{start}")
        for name, content in files.items():
            path = self.submitters / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        git(self.submitters, "add", "--all", "--force")
        git(self.submitters, "commit", "--quiet", "--allow-empty", "-m", "Submit")
        return self.opened(number, by)

    def open_tree(self, number: int, entries: Mapping[str, tuple[str, str]], by: Account = ADA) -> PullRequest:
        """A pull request whose tree is written by hand: path -> (mode, blob)."""
        repository = Repository(self.submitters)
        main = repository.tip("origin", "main")
        lines = "".join(f"{mode} {blob}\t{path}\0" for path, (mode, blob) in entries.items())
        index = self.submitters / ".git" / "by-hand"
        repository.run("read-tree", main, index=index)
        repository.run("update-index", "-z", "--index-info", given=lines.encode(), index=index)
        tree = repository.run("write-tree", index=index).decode().strip()
        return self.opened(number, by, git(self.submitters, "commit-tree", tree, "-p", main, "-m", "Submit"))

    def blob(self, content: bytes) -> str:
        return git(self.submitters, "hash-object", "-w", "--stdin", given=content)

    def opened(self, number: int, by: Account, commit: str = "HEAD") -> PullRequest:
        """A commit of the submitters as a pull request, fetched by the maintainers as the workflows do."""
        git(self.submitters, "push", "--quiet", "--force", "origin", f"{commit}:refs/pull/{number}/head")
        git(self.clone, "fetch", "--quiet", "--no-tags", "origin", f"refs/pull/{number}/head")
        return PullRequest(git(self.submitters, "rev-parse", commit), by, number)

    def check(self, pull: PullRequest, **options: Any) -> PullRequestVerdict:
        """Check it against the newest state of the origin."""
        self.repository.tip("origin", "main")
        return check_pull_request(self.repository, pull, "refs/remotes/origin/main", **({"now": NOW} | options))

    def score(self, pull: PullRequest, out: Path, now: datetime.datetime = NOW) -> Path:
        """Take the file of a pull request and score it, as the container does."""
        verdict = self.check(pull, content=False, take=out / "taken", now=now)
        assert verdict.ok, verdict.problems
        score_submission(out / "taken" / verdict.name, self.leaderboard, out / "scored", pull.submitter.login)
        return out / "scored"

    def accept(self, pull: PullRequest, out: Path, now: datetime.datetime = NOW) -> AnyLine:
        """All of the workflow."""
        return accept_pull_request(self.place, pull, self.score(pull, out, now), lambda: now)


LIMITS = Limits(per_day=3, total=5)


def start_forge(root: Path, limits: Limits = LIMITS, rules: Path | None = None) -> Forge:
    """A leaderboard for ``rules``, or for pairs-demo, whose papers' numbers may be about FusionMNIST: both are fast."""
    suite = root / "demo.toml"
    suite.write_text(
        'format = "fusionbench.suite/1"\nname = "demo"\ntitle = "Demo"\ndataset = "pairs-demo"\nsplit = "all"\n'
        'published = "fusionmnist"\n[protocol]\nname = "pairs/1"\n[[models]]\nname = "average"\n'
    )
    request = StartRequest(root / "first", "Our leaderboard", str(rules or suite), limits=limits, git=True)
    first = start_community(request)
    origin, clone, submitters = root / "origin.git", root / "clone", root / "submitters"
    git(root, "clone", "--quiet", "--bare", str(first), str(origin))
    for folder in (clone, submitters):
        git(root, "clone", "--quiet", str(origin), str(folder))
    shutil.rmtree(first)
    return Forge(origin, clone, submitters)


def paper_numbers(title: str) -> bytes:
    """Numbers of a paper, whose only row has this title."""
    record = msgspec.toml.decode(published.template())
    record["rows"][0] |= {"title": title, "model": title.lower().replace(" ", "-")}
    return json.dumps(record).encode()


def fused_pairs(folder: Path, add: int = 0) -> Path:
    """The mean of each pair of pairs-demo as a folder of PNG files."""
    pairs = open_pairs("pairs-demo")
    folder.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(pairs.stems):
        a, b = pairs.pair(number).astype(int)
        Image.fromarray(np.clip((a + b + 1) // 2 + add, 0, 255).astype(np.uint8)).save(folder / f"{stem}.png")
    return folder


def packed_pairs(folder: Path, title: str = "Mine", by: Account = ADA, add: int = 0, **words: Any) -> bytes:
    """A submission of :func:`fused_pairs`; ``add``: grey levels on top, which make other predictions."""
    fused = fused_pairs(folder / "fused", add)
    words = {"title": title, "submitter": by.login, "model": title.lower(), "data": Path("pairs-demo")} | words
    pack_submission(PackRequest(fused, folder / "mine.zip", **words))
    return (folder / "mine.zip").read_bytes()
