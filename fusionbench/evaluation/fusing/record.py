"""What a folder of fused images was made by: ``fuse.jsonl``, a line with the settings and a line for every image.

A line is written before its image, so that a command that is stopped at any moment leaves either an image that the
record knows or none. An image that the record does not know is somebody's, and is neither kept as ours nor replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.formats import require_format
from fusionbench.core.io import append_text, canonical_json, read_bounded, utf8, write_bytes
from fusionbench.core.locks import lock
from fusionbench.core.text import Digest

RECORD = "fuse.jsonl"
LOCK = ".fuse.lock"  # it stays there, as locks do
_MAX_RECORD = 1 << 28  # bytes


class FusedSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The first line: what made the images, as far as it can change a pixel or a byte of them.

    Attributes:
        method: name, version, parameters and digest of the weights.
        colour, bits, tile: see :class:`fusionbench.evaluation.fusing.fuse.FusingOptions`.
        file: format of the files, and quality of JPEG.
        ranges: side -> which of its values are black and white, where one was given.
    """

    schema: Literal["fusionbench.fused/1"] = "fusionbench.fused/1"
    method: dict[str, Any]
    colour: str
    bits: int | None
    tile: int | str
    file: dict[str, Any]
    ranges: dict[str, str]


class FusedLine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """An image: name of its file and digests of what is in it and in its sources."""

    name: str
    sha256: Digest
    a: Digest
    b: Digest


@dataclass
class FusedRecord:
    """The record of a folder.

    Attributes:
        lines: name of a file -> what was written under it, the newest last.
    """

    path: Path
    settings: FusedSettings
    lines: dict[str, list[FusedLine]] = field(default_factory=dict)
    _turn: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, line: FusedLine) -> None:
        """Write a line, before its image. Threads may call this at once.

        Raises:
            DataError: the folder cannot be written.
        """
        with self._turn:
            size = self.path.stat().st_size if self.path.exists() else 0
            try:
                append_text(self.path, msgspec.json.encode(line).decode() + "\n")
            except DataError:
                with contextlib.suppress(OSError):  # half a line of a full disk would run into the next one
                    os.truncate(self.path, size)
                raise
            self.lines.setdefault(line.name, []).append(line)

    def has(self, output: Path, a: str, b: str) -> bool:
        """Whether the file ``output`` is the fused image of the sources with the digests ``a`` and ``b``.

        Raises:
            DataError: it is a file that was not written by this record's command.
        """
        if not output.exists():
            return False
        found = hashlib.sha256(read_bounded(output, _MAX_RECORD << 2, "image")).hexdigest()
        ours = [line for line in self.lines.get(utf8(output.name), ()) if line.sha256 == found]
        if not ours:
            raise DataError(f"{output}: is there and not from this command; move it away, or replace it with --force")
        return any((line.a, line.b) == (a, b) for line in ours)


def open_record(folder: Path, settings: FusedSettings, force: bool = False) -> FusedRecord:
    """The record of ``folder``, begun where there is none, or with ``force``.

    Raises:
        UsageError: the folder holds images that were fused with other settings.
        DataError: a damaged record, or a folder that cannot be written.
    """
    record = FusedRecord(folder / RECORD, settings)
    if force or not record.path.exists() or not (whole := _whole_lines(record.path))[0]:
        write_bytes(record.path, _line(settings))
        return record
    found, lines = _parsed(whole[0], record.path)
    if different := _differences(found, settings):
        raise UsageError(
            f"{folder}: its images were fused with {'; '.join(different)}; choose another folder, or replace them "
            "with --force"
        )
    for line in lines:
        record.lines.setdefault(line.name, []).append(line)
    if not whole[1]:
        write_bytes(record.path, whole[0])
    return record


@contextlib.contextmanager
def only_fuser(folder: Path) -> Iterator[None]:
    """Hold ``folder`` against other commands that fuse into it: two would write over each other's records.

    Raises:
        UsageError: another command is at work there.
        DataError: the folder cannot be written.
    """
    with lock(folder / LOCK, wait=False) as held:
        if not held:
            raise UsageError(f"{folder}: another command is fusing into it; wait for its end, or choose another folder")
        yield


def read_record_of_fused(path: str | Path) -> tuple[FusedSettings, list[FusedLine]]:
    """The settings and the lines of a record, in the order in which they were written.

    Raises:
        DataError: missing, damaged, or of another version.
    """
    return _parsed(_whole_lines(Path(path))[0], Path(path))


def _whole_lines(path: Path) -> tuple[bytes, bool]:
    """The lines that have an end, and whether these are all: the last one may be what a killed process left."""
    content = read_bounded(path, _MAX_RECORD, "record of fused images")
    whole = content[: content.rfind(b"\n") + 1]
    return whole, bool(whole) and len(whole) == len(content)


def _parsed(whole: bytes, path: Path) -> tuple[FusedSettings, list[FusedLine]]:
    first, *others = whole.splitlines() or [b""]
    return _decoded(first, FusedSettings, path), [_decoded(text, FusedLine, path) for text in others]


def _line(settings: FusedSettings) -> bytes:
    return msgspec.json.encode(settings) + b"\n"


def _decoded(text: bytes, kind: Any, path: Path) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        try:
            head = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            head = None
        declared = head.get("schema") if isinstance(head, dict) else None
        require_format(declared, "fusionbench.fused/1", path)
        raise DataError(
            f"{path}: damaged: {str(error)[:200]}; choose another folder, or replace its images with --force"
        ) from error


def _differences(found: FusedSettings, wanted: FusedSettings) -> list[str]:
    """What is other there than here, each as ``name THEIRS, not OURS``."""
    theirs, ours = (msgspec.to_builtins(settings) for settings in (found, wanted))
    pairs = [("method", *(side["method"].get("name") for side in (theirs, ours)))]
    pairs += [(key, theirs["method"].get(key), ours["method"].get(key)) for key in ("params", "version")]
    pairs += [(key, theirs[key], ours[key]) for key in ("colour", "bits", "tile", "ranges")]
    keys = sorted(theirs["file"].keys() | ours["file"].keys())
    pairs += [(key, theirs["file"].get(key), ours["file"].get(key)) for key in keys]
    texts = [f"{name} {_shown(one)}, not {_shown(other)}" for name, one, other in pairs if one != other]
    if not texts and canonical_json(theirs) != canonical_json(ours):
        codes = [side["method"].get("code_sha256") for side in (theirs, ours)]
        texts = ["other code of the method" if codes[0] != codes[1] else "other weights of the method"]
    return texts


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner!r}" for key, inner in sorted(value.items()))[:200] or "the default"
    return "of the source" if value is None else str(value)[:200]


__all__ = [
    "LOCK",
    "RECORD",
    "FusedLine",
    "FusedRecord",
    "FusedSettings",
    "only_fuser",
    "open_record",
    "read_record_of_fused",
]
