"""Git, by its plumbing: what a commit has is read from its objects, and nothing of a pull request is ever checked out.

No link is followed, no name becomes a path of this machine, no filter or hook of the repository runs. New commits are
made beside the working tree, from blobs, and pushed without force.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import atomic_write, escaped

FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_NOBODY = ("-c", "user.name=leaderboard", "-c", "user.email=leaderboard@localhost")
_NETWORK_SECONDS = 600


@dataclass(frozen=True)
class GitChange:
    """One path that differs between two commits: ``A`` added, ``M`` modified, ``D`` deleted, ``T`` another kind."""

    status: str
    path: str
    mode: str
    blob: str


class Repository:
    """A clone. Every method raises DataError when git fails."""

    def __init__(self, folder: Path) -> None:
        """Open the clone in ``folder``.

        Raises:
            UsageError: git is not installed, or there is no repository.
        """
        self.folder = folder
        try:
            self.run("rev-parse", "--git-dir")
        except FileNotFoundError as error:
            raise UsageError("git is not installed, or not on the PATH; install it") from error
        except DataError as error:
            raise UsageError(f"{folder}: no Git repository; run it in a clone of the leaderboard") from error

    def run(
        self, *arguments: str, given: bytes | None = None, index: Path | None = None, seconds: int | None = None
    ) -> bytes:
        """What ``git ARGUMENTS`` prints, with ``given`` on its stdin, on another index than the clone's."""
        environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        try:
            done = subprocess.run(
                ["git", "-C", str(self.folder), *arguments],
                env=environment,
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(f"git {arguments[0]} took longer than {seconds} s; try again") from error
        if done.returncode:
            reason = escaped(" ".join(done.stderr.decode(errors="replace").split()))[:300]
            raise DataError(f"git {arguments[0]} failed: {reason or f'exit code {done.returncode}'}")
        return done.stdout

    def commit(self, name: str) -> str:
        """The full id of the commit that ``name`` means: a branch, a tag or an id.

        Raises:
            UsageError: no such commit.
        """
        if not _NAME.fullmatch(name) or ".." in name:
            raise UsageError(f"{escaped(name)!r} is not the name of a commit; give a branch or an id")
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
        except DataError as error:
            raise UsageError(f"{name}: no such commit in {self.folder}; fetch it first") from error

    def merge_base(self, one: str, other: str) -> str | None:
        """The commit from which two went apart; None when they have nothing in common."""
        try:
            return self.run("merge-base", one, other).decode().split()[0]
        except DataError:
            return None

    def changes(self, before: str, after: str) -> list[GitChange]:
        """What differs between two commits, path by path; renames are a deletion and an addition."""
        options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--ignore-submodules=none")
        parts = self.run("diff-tree", *options, before, after).decode("utf-8", "surrogateescape").split("\0")
        found = []
        for head, path in zip(parts[::2], parts[1::2], strict=False):
            _, mode, _, blob, status = head.removeprefix(":").split(" ")
            found.append(GitChange(status[:1], path, mode, blob))
        return found

    def read(self, commit: str, path: str, most: int) -> bytes | None:
        """The bytes of a plain file of at most ``most`` bytes in a commit; None when there is none of this name.

        Raises:
            DataError: it is larger, or a link or folder.
        """
        found = self.run("ls-tree", "--full-tree", "-z", commit, "--", path)
        listed = found.decode("utf-8", "surrogateescape").split("\0")[0]
        if not listed:
            return None
        mode, kind, blob = listed.partition("\t")[0].split(" ")
        if kind != "blob" or mode not in (FILE, EXECUTABLE):
            raise DataError(f"{path} of commit {commit[:12]}: is not a plain file; put the file itself there")
        if (size := self.size(blob)) > most:
            raise DataError(f"{path} of commit {commit[:12]}: {size} bytes are too many (limit {most})")
        return self.run("cat-file", "blob", blob)

    def export(self, commit: str, folder: str, name: str, out: Path) -> None:
        """Write all plain files called ``name`` below a folder of a commit to the same paths below ``out``.

        Raises:
            DataError: git fails, or a path leads out of ``out``.
        """
        listed = self.run("ls-tree", "--full-tree", "-r", "-z", commit, "--", f"{folder}/")
        found = []
        for line in listed.decode("utf-8", "surrogateescape").split("\0"):
            head, _, path = line.partition("\t")
            if path.rpartition("/")[2] == name and head.split(" ")[0] in (FILE, EXECUTABLE):
                found.append((out / path, head.split(" ")[2]))
        if not found:
            return
        stream = io.BytesIO(self.run("cat-file", "--batch", given="".join(f"{blob}\n" for _, blob in found).encode()))
        root = out.resolve()
        for target, _ in found:
            size = int(stream.readline().split()[2])
            content = stream.read(size + 1)[:-1]
            if not target.resolve().is_relative_to(root):
                raise DataError(f"{escaped(target)}: a path that leads elsewhere; remove it from the branch")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def size(self, blob: str) -> int:
        """How many bytes a blob has."""
        return int(self.run("cat-file", "-s", blob))

    def copy_blob(self, blob: str, out: Path) -> None:
        """Write a blob to a file, as it is stored."""
        with atomic_write(out) as stream:
            done = subprocess.run(
                ["git", "-C", str(self.folder), "cat-file", "blob", blob], stdout=stream, stderr=subprocess.PIPE
            )
            if done.returncode:
                raise DataError(f"git cat-file failed: {escaped(done.stderr.decode(errors='replace').strip())[:300]}")

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of all files below a folder in a commit."""
        listed = self.run("ls-tree", "--full-tree", "-r", "-z", "--name-only", commit, "--", f"{folder}/")
        return [path for path in listed.decode("utf-8", "surrogateescape").split("\0") if path]

    def add_commit(self, parent: str, files: Mapping[str, bytes | str | None], message: str) -> str:
        """A commit after ``parent``, whose id is returned; no branch moves, and no working tree is touched.

        ``files``: path -> its new bytes, the id of a blob that is stored already, or None for a file that goes.
        """
        lines = []
        nothing = "0" * len(parent)
        for path, content in files.items():
            blob = (
                self.run("hash-object", "-w", "--stdin", given=content).decode().strip()
                if isinstance(content, bytes)
                else content
            )
            lines.append(f"0 {nothing}\t{path}" if blob is None else f"{FILE} {blob}\t{path}")
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            self.run("read-tree", parent, index=index)
            given = "".join(f"{line}\0" for line in lines).encode()
            self.run("update-index", "-z", "--index-info", given=given, index=index)
            tree = self.run("write-tree", index=index).decode().strip()
        return self.run(*self.author(), "commit-tree", tree, "-p", parent, "-m", message).decode().strip()

    def tip(self, remote: str | None, branch: str) -> str:
        """The newest commit of a branch: fetched from ``remote``, or the clone's own where that is None."""
        if remote is None:
            return self.commit(f"refs/heads/{branch}")
        place = f"refs/remotes/{remote}/{branch}"
        try:
            self.run("fetch", "--quiet", remote, f"+refs/heads/{branch}:{place}", seconds=_NETWORK_SECONDS)
        except DataError as error:
            # another process of this clone may have moved the same name a moment ago: it is as new as ours
            if "cannot lock ref" not in str(error):
                raise
        return self.commit(place)

    def publish(self, commit: str, parent: str, remote: str | None, branch: str) -> bool:
        """Move a branch from ``parent`` to ``commit``, never by force; False when somebody else moved it first.

        Raises:
            DataError: it was refused for another reason.
        """
        try:
            if remote is not None:
                self.run("push", "--quiet", remote, f"{commit}:refs/heads/{branch}", seconds=_NETWORK_SECONDS)
            elif self._checked_out() == branch:
                self.run("merge", "--quiet", "--ff-only", commit)
            else:
                self.run("update-ref", f"refs/heads/{branch}", commit, parent)
        except DataError as error:
            # a lock of somebody who is a moment ahead of us, or their commit
            if "lock" not in str(error) and self.tip(remote, branch) == parent:
                raise
            return False
        return True

    def remotes(self) -> list[str]:
        """The names of the remotes."""
        return self.run("remote").decode().split()

    def _checked_out(self) -> str:
        try:
            return self.run("symbolic-ref", "--quiet", "--short", "HEAD").decode().strip()
        except DataError:  # a commit without a branch
            return ""

    def author(self) -> Sequence[str]:
        """Options that name an author where git knows none."""
        try:
            self.run("config", "user.email")
        except DataError:
            return _NOBODY
        return ()
