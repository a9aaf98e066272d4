"""Zip archives of submissions: written the same every time, and read without trust.

When one is read, names are whitelisted, sizes are known before anything is read, and nothing is extracted to the name
that it claims. All problems are found at once. The size of the central directory is validated before ``zipfile`` parses
it. A file is opened once, without following a link, and everything is asked of what was opened: what lies under its
name afterwards does not matter. Names are checked again when files are extracted, by descriptors of the folders.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import msgspec

from fusionbench.core.errors import DataError, Problem

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
_SECURE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_HAS_FOLDERS = {os.open, os.mkdir, os.unlink} <= os.supports_dir_fd  # not on Windows
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


def open_regular(path: Path, what: str = "submission") -> IO[bytes]:
    """Open a file to read it: never a link, a device or a pipe, and without waiting for one.

    Raises:
        DataError: there is no such file, it is no regular file, or it cannot be read.
    """
    try:
        # a pipe without a writer would block, hence O_NONBLOCK; it means nothing for regular files
        handle = os.open(path, os.O_RDONLY | _SECURE | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: no such {what}") from error
    except OSError as error:
        if os.path.islink(path):
            raise DataError(f"{path}: a link; name the file itself") from error
        raise DataError(f"{path}: cannot read {what}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError(f"{path}: no such {what}: not a regular file")
    return os.fdopen(handle, "rb")


def copy_private(path: Path, folder: Path) -> Path:
    """Copy a submission into ``folder``, which is private, under its own name; the copy, which nobody else changes.

    A name that is too long, hidden or not UTF-8 becomes ``submission`` with the same suffix. No more than one byte
    above the most that any submission may have is copied, so that its check refuses it.

    Raises:
        DataError: there is no such file, or it is a link, a device or a pipe.
    """
    name = path.name
    if len(os.fsencode(name)) > 200 or not name.isprintable() or not name.isascii() or name.startswith("."):
        name = "submission"
    suffix = path.suffix.lower() if path.suffix.isascii() and path.suffix.isprintable() else ""
    copy = folder / (name.removesuffix(path.suffix) + suffix)
    with open_regular(path) as source, _create(copy) as target:
        left = MAX_ARCHIVE + 1
        while left and (block := source.read(min(_BLOCK, left))):
            target.write(block)
            left -= len(block)
    return copy


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SECURE, 0o600), "wb")


def member_names(path: Path) -> list[str]:
    """Names in a zip with at most as many files as any submission may have; none when it cannot be read as one."""
    try:
        with open_regular(path) as stream:
            if os.fstat(stream.fileno()).st_size > MAX_ARCHIVE or _directory_problem(stream, True):
                return []
            with zipfile.ZipFile(stream) as archive:
                return [member.orig_filename for member in archive.infolist()]
    except (OSError, DataError, *_UNREADABLE):
        return []


def unpack(path: Path, limits: Mapping[str, int], images: bool, folder: Path) -> list[Problem]:
    """Check a zip as :func:`inspect` does and extract it into ``folder`` when it is fine; opened once for both.

    Raises:
        DataError: there is no such file, or it is a link, a device or a pipe.
    """
    with open_regular(path) as stream:
        return inspect(path, limits, images, stream) or extract_all(path, limits, folder, images, stream)


def inspect(
    path: Path, limits: Mapping[str, int], images: bool = False, stream: IO[bytes] | None = None
) -> list[Problem]:
    """What is wrong with a zip that should hold exactly the files of ``limits`` (name -> most bytes).

    With ``images`` it holds 1 to 5000 files ``images/<id>.png`` as well.
    Nothing is decompressed. An empty list means that :func:`extract` may be called.

    Args:
        stream: the opened file; without it ``path`` is opened, else it is for messages only.

    Raises:
        DataError: there is no such file, or it is a link, a device or a pipe.
    """
    again = "make it again with `fusionbench pack`"
    if stream is None:
        with open_regular(path) as opened:
            return inspect(path, limits, images, opened)
    if os.fstat(stream.fileno()).st_size > MAX_ARCHIVE:
        return [Problem(path.name, f"larger than {MAX_ARCHIVE >> 20} MiB", "send weights of one model only")]
    problem = _directory_problem(stream, images)
    if problem:
        return [Problem(path.name, problem, again)]
    try:
        with zipfile.ZipFile(stream) as archive:
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
        most = _most(name, limits, images)
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


def _most(name: str, limits: Mapping[str, int], images: bool) -> int | None:
    """Most bytes of a file of this name; None when there may be none."""
    return limits.get(name, MAX_IMAGE if images and IMAGE.fullmatch(name) else None)


def _directory_problem(stream: IO[bytes], images: bool) -> str | None:
    """Whether the end record promises a directory that is safe to parse."""
    most, room = MAX_MEMBERS, MAX_DIRECTORY
    if images:
        most, room = MAX_MEMBERS + MAX_IMAGES, MAX_DIRECTORY + 256 * MAX_IMAGES
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END.size - 0xFFFF))
    tail = stream.read(_END.size + 0xFFFF)
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


def extract_all(
    path: Path, limits: Mapping[str, int], folder: Path, images: bool | None = None, stream: IO[bytes] | None = None
) -> list[Problem]:
    """Copy the files of an archive without problems into ``folder``, images into its ``images``.

    A file whose name is not allowed ends it: the archive is another one than was checked.

    Args:
        images: whether there may be images; None where that was not asked before.
        stream: the opened file; without it ``path`` is opened.

    Raises:
        DataError: there is no such file, or it is a link, a device or a pipe.
    """
    if stream is None:
        with open_regular(path) as opened:
            return extract_all(path, limits, folder, images, opened)
    problems = []
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                most = _most(member.orig_filename, limits, images is not False)
                if most is None or member.filename != member.orig_filename:
                    shown = repr(member.orig_filename)[1:-1]
                    return [Problem(shown, "was not there when the archive was checked", "send it again")]
                problems += extract(archive, member.filename, most, folder / member.filename, folder)
    except _UNREADABLE as error:
        return [
            Problem(path.name, f"not a zip file that can be read: {error}", "make it again with `fusionbench pack`")
        ]
    return problems


def extract(archive: zipfile.ZipFile, name: str, limit: int, out: Path, root: Path | None = None) -> list[Problem]:
    """Copy one member to ``out`` as a stream that ends at ``limit`` bytes, whatever the archive declares.

    ``out`` must not be there, and no folder between ``root`` (without it ``out``'s own folder) and it may be a link.
    """
    done = 0
    try:
        with archive.open(name) as member, _new_file(out, root or out.parent) as copy:
            while block := member.read(_BLOCK):
                done += len(block)
                if done > limit:
                    raise _TooLongError
                copy.write(block)
    except _TooLongError:
        return [Problem(name, f"unpacks to more than {limit:,} bytes", "see docs/submissions.md")]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        return [Problem(name, f"cannot be unpacked: {error}", "make it again with `fusionbench pack`")]
    except FileExistsError:
        return [Problem(name, "its name stands twice in the archive", "make it again with `fusionbench pack`")]
    return []


@contextlib.contextmanager
def _new_file(out: Path, root: Path) -> Iterator[IO[bytes]]:
    """A new file below the folder ``root``, reached through descriptors of folders, and gone again after an error.

    Raises:
        FileExistsError: something of this name is there.
        DataError: the folder cannot be written, or a folder on the way is a link.
    """
    *folders, name = out.relative_to(root).parts
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not _HAS_FOLDERS:
            out.parent.mkdir(parents=True, exist_ok=True)
            handle, place = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SECURE, 0o600), None
        else:
            place = os.open(root, os.O_RDONLY | os.O_DIRECTORY | _SECURE)
            try:
                for folder in folders:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, 0o700, dir_fd=place)
                    inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _SECURE, dir_fd=place)
                    os.close(place)
                    place = inner
                handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SECURE, 0o600, dir_fd=place)
            except BaseException:
                os.close(place)
                raise
    except FileExistsError:
        raise
    except OSError as error:
        raise DataError(f"{out}: cannot write: {error.strerror}; check the folder") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name if place is not None else out, dir_fd=place)
        raise
    finally:
        if place is not None:
            os.close(place)


class _TooLongError(Exception):
    pass
