"""Reads zip files from strangers: whitelisted names, sizes known before anything is read, nothing extracted by name.

All problems are found at once. ``zipfile`` itself is only let loose on a directory whose length was looked at first.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from fusionbench.core.errors import DataError, Problem
from fusionbench.core.io import atomic_write

MAX_ARCHIVE = 2 << 30
MAX_MEMBERS = 16
MAX_DIRECTORY = 64 << 10  # bytes of the central directory
MAX_PICTURES = 5000
MAX_PICTURE = 64 << 20  # bytes of one
MAX_UNPACKED = 4 << 30  # bytes of all files together
PICTURE = re.compile(r"images/[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\.png")
MAX_RATIO = 100.0
_BLOCK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_UNREADABLE = (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error)


def names(path: Path) -> list[str]:
    """Names in a zip with at most as many files as any submission may have; none when it cannot be read as one."""
    try:
        if path.stat().st_size > MAX_ARCHIVE or _directory_problem(path, True):
            return []
        with zipfile.ZipFile(path) as archive:
            return [member.orig_filename for member in archive.infolist()]
    except (OSError, *_UNREADABLE):
        return []


def inspect(path: Path, limits: Mapping[str, int], pictures: bool = False) -> list[Problem]:
    """What is wrong with a zip that should hold exactly the files of ``limits`` (name -> most bytes).

    With ``pictures`` it holds 1 to 5000 files ``images/<id>.png`` as well.
    Nothing is decompressed. An empty list means that :func:`extract` may be called.

    Raises:
        DataError: there is no such file.
    """
    again = "make it again with `fusionbench pack`"
    if not path.is_file():
        raise DataError(f"{path}: no such submission")
    if path.stat().st_size > MAX_ARCHIVE:
        return [Problem(path.name, f"larger than {MAX_ARCHIVE >> 20} MiB", "send weights of one model only")]
    problem = _directory_problem(path, pictures)
    if problem:
        return [Problem(path.name, problem, again)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _UNREADABLE as error:
        return [Problem(path.name, f"not a zip file that can be read: {error}", again)]
    problems = []
    allowed = f"{', '.join(limits)} and images/<id>.png" if pictures else ", ".join(limits)
    seen: set[str] = set()
    for member in members:
        # the name as the file has it; repr keeps control characters out of the message
        name, shown = member.orig_filename, repr(member.orig_filename)[1:-1]
        if name.casefold() in seen:
            problems.append(Problem(shown, "its name stands twice in the archive", again))
        seen.add(name.casefold())
        most = limits.get(name, MAX_PICTURE if pictures and PICTURE.fullmatch(name) else None)
        if most is None:
            problems.append(Problem(shown, f"only {allowed} may be in the archive", "remove it"))
            continue
        mode = member.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            problems.append(Problem(shown, "a link or special file", "put the file itself into the archive"))
        if member.flag_bits & 0x1:
            problems.append(Problem(shown, "encrypted", again))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problems.append(Problem(shown, "compressed by a method that is not allowed", again))
        if member.file_size > most:
            problems.append(Problem(shown, f"larger than {most:,} bytes", "see docs/submissions.md"))
        if member.file_size > MAX_RATIO * max(member.compress_size, 1):
            problems.append(Problem(shown, f"shrinks by more than {MAX_RATIO:g} times", again))
    if sum(member.file_size for member in members) > MAX_UNPACKED:
        problems.append(Problem(path.name, f"unpacks to more than {MAX_UNPACKED >> 30} GiB", "see docs/submissions.md"))
    problems += [Problem(name, "missing", again) for name in limits if name.casefold() not in seen]
    return problems


def _directory_problem(path: Path, pictures: bool) -> str | None:
    """Whether the end record promises a directory that is safe to parse."""
    most, room = MAX_MEMBERS, MAX_DIRECTORY
    if pictures:
        most, room = MAX_MEMBERS + MAX_PICTURES, MAX_DIRECTORY + 256 * MAX_PICTURES
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
    if total > most or directory > room:
        return f"more than {most} files or a directory of more than {room >> 10} KiB"
    return None


def extract_all(path: Path, limits: Mapping[str, int], folder: Path) -> list[Problem]:
    """Copy the files of an archive without problems into ``folder``, pictures into its ``images``."""
    problems = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            problems += extract(archive, name, limits.get(name, MAX_PICTURE), folder / name)
    return problems


def extract(archive: zipfile.ZipFile, name: str, limit: int, out: Path) -> list[Problem]:
    """Copy one member to ``out`` as a stream that ends at ``limit`` bytes, whatever the archive declares."""
    done = 0
    try:
        with archive.open(name) as member, atomic_write(out) as copy:
            while block := member.read(_BLOCK):
                done += len(block)
                if done > limit:
                    raise _TooLongError
                copy.write(block)
    except _TooLongError:
        return [Problem(name, f"unpacks to more than {limit:,} bytes", "see docs/submissions.md")]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        return [Problem(name, f"cannot be unpacked: {error}", "make it again with `fusionbench pack`")]
    return []


class _TooLongError(Exception):
    pass
