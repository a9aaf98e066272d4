"""Zip archives of submissions: written the same every time, and read without trust.

When one is read, names are whitelisted, sizes are known before anything is read, and nothing is extracted to the name
that it claims. All problems are found at once. The size of the central directory is validated before ``zipfile`` parses
it.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fusionbench.core.errors import DataError, Problem
from fusionbench.core.io import atomic_write

META = "submission.json"
MAX_META = 64 << 10  # bytes
MAX_ARCHIVE = 2 << 30
MAX_MEMBERS = 16
MAX_DIRECTORY = 64 << 10  # bytes of the central directory
MAX_IMAGES = 5000
MAX_IMAGE = 64 << 20  # bytes of one
MAX_UNPACKED = 4 << 30  # bytes of all files together
IMAGE = re.compile(r"images/[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\.png")
MAX_RATIO = 100.0
_BLOCK = 1 << 20
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same archive
_END = struct.Struct("<4s4H2LH")
_UNREADABLE = (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error)


def archive_entry(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """An entry to write that is the same whenever and wherever it is made: a fixed time, a plain file."""
    entry = zipfile.ZipInfo(name, _FIXED_TIME)
    entry.external_attr = 0o100644 << 16
    entry.compress_type = method
    return entry


def write_record(archive: zipfile.ZipFile, record: msgspec.Struct) -> None:
    """Write ``submission.json``: the same record gives the same bytes."""
    text = msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1)
    archive.writestr(archive_entry(META), text)


def member_names(path: Path) -> list[str]:
    """Names in a zip with at most as many files as any submission may have; none when it cannot be read as one."""
    try:
        if path.stat().st_size > MAX_ARCHIVE or _directory_problem(path, True):
            return []
        with zipfile.ZipFile(path) as archive:
            return [member.orig_filename for member in archive.infolist()]
    except (OSError, *_UNREADABLE):
        return []


def inspect(path: Path, limits: Mapping[str, int], images: bool = False) -> list[Problem]:
    """What is wrong with a zip that should hold exactly the files of ``limits`` (name -> most bytes).

    With ``images`` it holds 1 to 5000 files ``images/<id>.png`` as well.
    Nothing is decompressed. An empty list means that :func:`extract` may be called.

    Raises:
        DataError: there is no such file.
    """
    again = "make it again with `fusionbench pack`"
    if not path.is_file():
        raise DataError(f"{path}: no such submission")
    if path.stat().st_size > MAX_ARCHIVE:
        return [Problem(path.name, f"larger than {MAX_ARCHIVE >> 20} MiB", "send weights of one model only")]
    problem = _directory_problem(path, images)
    if problem:
        return [Problem(path.name, problem, again)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _UNREADABLE as error:
        return [Problem(path.name, f"not a zip file that can be read: {error}", again)]
    problems = []
    allowed = f"{', '.join(limits)} and images/<id>.png" if images else ", ".join(limits)
    seen: set[str] = set()
    for member in members:
        # the name as the file has it; repr keeps control characters out of the message
        name, shown = member.orig_filename, repr(member.orig_filename)[1:-1]
        if name.casefold() in seen:
            problems.append(Problem(shown, "its name stands twice in the archive", again))
        seen.add(name.casefold())
        most = limits.get(name, MAX_IMAGE if images and IMAGE.fullmatch(name) else None)
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


def _directory_problem(path: Path, images: bool) -> str | None:
    """Whether the end record promises a directory that is safe to parse."""
    most, room = MAX_MEMBERS, MAX_DIRECTORY
    if images:
        most, room = MAX_MEMBERS + MAX_IMAGES, MAX_DIRECTORY + 256 * MAX_IMAGES
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
    """Copy the files of an archive without problems into ``folder``, images into its ``images``."""
    problems = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            problems += extract(archive, name, limits.get(name, MAX_IMAGE), folder / name)
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
