"""Folders of degraded pairs that are being written: ``degrading.jsonl`` is there until all of them are.

Its first line says what is written of which files, every further line what was written of one pair. The same command
goes on by it, another one is refused, and whoever reads the pairs meanwhile is told. It belongs to the version that
wrote it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from fusionbench import __version__
from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.io import append_text, file_sha256, read_bounded, write_bytes
from fusionbench.core.text import Digest

JOURNAL = "degrading.jsonl"
_MAX_BYTES = 1 << 28
_MAX_FIRST_LINE = 1 << 20
_DEEPEST = 3  # folders between the journal and a pair's files: shift-1/3/a
Side = Literal["a", "b", "field", "lost_a", "lost_b"]


class PairsToWrite(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The first line: whatever can change a byte of the pairs.

    Attributes:
        folders: what is done to the pairs (``shift/1 3``) -> its folder in the one with the journal.
        seed: of the random streams.
        ranges: side -> which of its values are black and white, where one was given.
        sources_sha256: over the names and the files of the clean pairs.
    """

    folders: dict[str, str]
    seed: int
    ranges: dict[str, str]
    sources_sha256: str
    fusionbench: str = __version__


class WrittenPair(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A pair that is written: what was done to it, its number in the random streams, and digests of its files."""

    done: str
    stem: str
    sample: int
    sha256: dict[Side, Digest]

    @property
    def entry(self) -> dict[str, Any]:
        """What ``degraded.json`` says of the pair."""
        return {"stem": self.stem, "sample": self.sample, "sha256": dict(self.sha256)}


@dataclass
class UnfinishedPairs:
    """A folder whose pairs are being written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.unfinished_pairs import PairsToWrite, UnfinishedPairs, refuse_unfinished
        >>> wanted = PairsToWrite(folders={"shift/1 3": "."}, seed=0, ranges={}, sources_sha256="0" * 64)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     begun = UnfinishedPairs.begin(Path(folder), wanted)
        ...     print(sorted(path.name for path in Path(folder).iterdir()))
        ...     begun.finish()
        ...     refuse_unfinished(Path(folder) / "a")
        ['degrading.jsonl']
    """

    folder: Path
    wanted: PairsToWrite
    written: dict[tuple[str, str], WrittenPair] = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path, wanted: PairsToWrite, force: bool = False) -> UnfinishedPairs:
        """Begin, or with the same files and settings go on, unless ``force``.

        Raises:
            UsageError: other pairs are unfinished in the folder.
            DataError: a damaged journal, or a folder that cannot be written.
        """
        begun, path = cls(folder, wanted), folder / JOURNAL
        whole = b""
        if path.exists() and not force:
            content = read_bounded(path, _MAX_BYTES, "journal of degraded pairs")
            whole = content[: content.rfind(b"\n") + 1]  # the last line may be what a killed process left
        if not whole:
            write_bytes(path, msgspec.json.encode(wanted) + b"\n")
            return begun
        first, *others = whole.splitlines()
        if different := _differences(_decoded(first, PairsToWrite, path), wanted):
            raise UsageError(
                f"{folder}: other degraded pairs are unfinished there ({different}); give their command again, choose "
                "another folder, or write into it with --force"
            )
        for line in others:
            one = _decoded(line, WrittenPair, path)
            begun.written[one.done, one.stem] = one
        if len(whole) < len(content):
            write_bytes(path, whole)
        return begun

    def find(self, done: str, stem: str, folder: Path) -> WrittenPair | None:
        """What is written of a pair in ``folder``; None where one of its files is not as it was written."""
        one = self.written.get((done, stem))
        if one is None:
            return None
        for side, digest in one.sha256.items():
            path = folder / side / f"{stem}.{'npy' if side == 'field' else 'png'}"
            try:
                if file_sha256(path) != digest:  # files are not waited for: a power cut may take what is in them
                    return None
            except OSError:
                return None
        return one

    def add(self, one: WrittenPair) -> None:
        """Note a pair whose files are written.

        Raises:
            DataError: the folder cannot be written.
        """
        append_text(self.folder / JOURNAL, msgspec.json.encode(one).decode() + "\n")

    def finish(self) -> None:
        """All is written."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / JOURNAL).unlink()


def has_begun(folder: Path) -> bool:
    """Whether there is a journal in a folder, or nothing but what a killed process left of one."""
    return (folder / JOURNAL).is_file() or all(path.name.startswith(f".{JOURNAL}.") for path in folder.iterdir())


def refuse_unfinished(*places: Path) -> None:
    """Refuse folders of degraded pairs (``OUT/a``, ``OUT/shift-1/3/b``) that are not all written.

    Raises:
        DataError: names the folder.
    """
    for place in places:
        whole = place.absolute()
        for above in whole.parents[:_DEEPEST]:
            path = above / JOURNAL
            if whole.name not in ("a", "b") or not path.is_file():
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                with open(path, "rb") as stream:
                    begun = msgspec.json.decode(stream.readline(_MAX_FIRST_LINE), type=PairsToWrite)
                if whole.parent in [above / folder for folder in begun.folders.values()]:
                    raise DataError(
                        f"{place}: its degraded pairs are unfinished, as {JOURNAL} in {above} says; give the same "
                        "`fusionbench degrade` again"
                    )


def _decoded(line: bytes, kind: Any, path: Path) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: damaged: {str(error)[:200]}; choose another folder, or write into it with --force"
        ) from error


def _differences(theirs: PairsToWrite, ours: PairsToWrite) -> str:
    """What is other there than here, as a text; "" where nothing is."""

    def names(of: PairsToWrite) -> str:
        return some([name[:80] for name in sorted(of.folders)], shown=3)

    texts = []
    if theirs.folders != ours.folders:
        texts.append(f"{names(theirs)}, not {names(ours)}" if names(theirs) != names(ours) else "other families")
    texts += [f"seed {theirs.seed}, not {ours.seed}"] if theirs.seed != ours.seed else []
    texts += ["other ranges"] if theirs.ranges != ours.ranges else []
    texts += ["other clean pairs"] if theirs.sources_sha256 != ours.sources_sha256 else []
    if theirs.fusionbench != ours.fusionbench:
        texts.append(f"of fusionbench {theirs.fusionbench[:40]}, not {ours.fusionbench}")
    return "; ".join(texts)


__all__ = ["JOURNAL", "PairsToWrite", "UnfinishedPairs", "WrittenPair", "has_begun", "refuse_unfinished"]
