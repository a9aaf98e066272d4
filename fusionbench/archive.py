"""Reads zip files from strangers: whitelisted names, sizes known before anything is read, nothing extracted by name.

All problems are found at once. ``zipfile`` itself is only let loose on a directory whose length was looked at first.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fusionbench.errors import DataError
from fusionbench.files import atomic_write

MAX_ARCHIVE = 2 << 30
MAX_MEMBERS = 16
MAX_DIRECTORY = 64 << 10  # bytes of the central directory
MAX_RATIO = 100.0
_BLOCK = 1 << 20
_END = struct.Struct("<4s4H2LH")


@dataclass(frozen=True)
class Problem:
    """Something that is not allowed: in which file, which rule, and what to do."""

    file: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}; {self.remedy}"


def inspect(path: Path, limits: Mapping[str, int]) -> list[Problem]:
    """What is wrong with a zip that should hold exactly the files of ``limits`` (name -> most bytes).

    Nothing is decompressed. An empty list means that :func:`extract` may be called.

    Raises:
        DataError: there is no such file.
    """
    again = "make it again with `fusionbench pack`"
    if not path.is_file():
        raise DataError(f"{path}: no such submission")
    if path.stat().st_size > MAX_ARCHIVE:
        return [Problem(path.name, f"larger than {MAX_ARCHIVE >> 20} MiB", "send weights of one model only")]
    problem = _directory_problem(path)
    if problem:
        return [Problem(path.name, problem, again)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error) as error:
        return [Problem(path.name, f"not a zip file that can be read: {error}", again)]
    problems = []
    seen: set[str] = set()
    for member in members:
        # the name as the file has it; repr keeps control characters out of the message
        name, shown = member.orig_filename, repr(member.orig_filename)[1:-1]
        if name.casefold() in seen:
            problems.append(Problem(shown, "its name stands twice in the archive", again))
        seen.add(name.casefold())
        if name not in limits:
            problems.append(Problem(shown, f"only {', '.join(limits)} may be in the archive", "remove it"))
            continue
        mode = member.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            problems.append(Problem(shown, "a link or special file", "put the file itself into the archive"))
        if member.flag_bits & 0x1:
            problems.append(Problem(shown, "encrypted", again))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problems.append(Problem(shown, "compressed by a method that is not allowed", again))
        if member.file_size > limits[name]:
            problems.append(Problem(shown, f"larger than {limits[name]:,} bytes", "see docs/submissions.md"))
        if member.file_size > MAX_RATIO * max(member.compress_size, 1):
            problems.append(Problem(shown, f"shrinks by more than {MAX_RATIO:g} times", again))
    problems += [Problem(name, "missing", again) for name in limits if name.casefold() not in seen]
    return problems


def _directory_problem(path: Path) -> str | None:
    """Whether the end record promises a directory that is safe to parse."""
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _END.size - 0xFFFF))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return "not a zip file"
    _, disk, first_disk, here, total, directory, offset, _ = _END.unpack_from(tail, at)
    if 0xFFFF in (here, total) or 0xFFFFFFFF in (directory, offset) or b"PK\x06\x07" in tail[max(0, at - 20) : at]:
        return "a zip64 archive"
    if disk or first_disk or here != total:
        return "an archive in several parts"
    if total > MAX_MEMBERS or directory > MAX_DIRECTORY:
        return f"more than {MAX_MEMBERS} files or a directory of more than {MAX_DIRECTORY >> 10} KiB"
    return None


def extract(path: Path, name: str, limit: int, out: Path) -> list[Problem]:
    """Copy one member to ``out`` as a stream that ends at ``limit`` bytes, whatever the archive declares."""
    done = 0
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member, atomic_write(out) as copy:
            while block := member.read(_BLOCK):
                done += len(block)
                if done > limit:
                    raise _TooLong
                copy.write(block)
    except _TooLong:
        return [Problem(name, f"unpacks to more than {limit:,} bytes", "see docs/submissions.md")]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        return [Problem(name, f"cannot be unpacked: {error}", "make it again with `fusionbench pack`")]
    return []


class _TooLong(Exception):
    pass
