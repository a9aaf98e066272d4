"""Bytes on disk: canonical JSON, digests, atomic writes.

Everything that fusionbench writes goes through :func:`atomic_write` (temporary name in
the same folder, fsync, rename), so that a killed process or a full disk leaves either
the old file or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from fusionbench.core.errors import DataError

# Controls of terminals, what turns the direction of the text after it, and what ends a line somewhere.
UNSEEN = frozenset(
    {*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)}
)


def utf8(text: str) -> str:
    """Text that UTF-8 can hold: each byte of a file's name that is not UTF-8 becomes ``\\xHH``, the rest stays."""
    return "".join(_escape(letter) if "\ud800" <= letter <= "\udfff" else letter for letter in text)


def escaped(name: str | Path) -> str:
    """A name as one line of text for people: as :func:`utf8`, with control characters as ``\\xHH``, too."""
    return "".join(_escape(letter) if ord(letter) in UNSEEN else letter for letter in utf8(str(name)))


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python spells a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def utf8_names(files: Mapping[str, Path]) -> dict[str, Path]:
    """Files by name, with names that are not UTF-8 escaped as by :func:`utf8`.

    Raises:
        DataError: two names become one.
    """
    found: dict[str, Path] = {}
    for name, path in files.items():
        if (shown := utf8(name)) in found:
            raise DataError(
                f"{path.parent}: two files are called {shown} once what is not UTF-8 is escaped; rename one"
            )
        found[shown] = path
    return found


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys, no blanks and no NaN: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def readable_json(value: Any, indent: int = 1) -> bytes:
    """UTF-8 JSON with sorted keys, a line a value and a line end: for people, and still equal for equal values."""
    return json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def digest(value: Any) -> str:
    """Hex sha256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_write(path: str | Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a binary stream whose content replaces ``path`` only when the block ends without an error.

    Args:
        durable: wait until the disk has the content, so that it outlives a power cut. Without it thousands of small
            files, which can be made again, are written many times as fast.

    Raises:
        DataError: the folder cannot be written or the disk is full; ``path`` is as it was.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        # a name may be as long as the file system allows, and its temporary name no longer
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def write_bytes(path: str | Path, content: bytes, *, durable: bool = True) -> None:
    """Write ``content`` to ``path`` atomically; ``durable`` as :func:`atomic_write` takes it."""
    with atomic_write(path, durable=durable) as stream:
        stream.write(content)


def write_json(path: str | Path, value: Any, *, indent: int | None = None) -> None:
    """Write ``value`` as JSON, canonical unless ``indent`` asks for a readable form."""
    write_bytes(path, canonical_json(value) if indent is None else readable_json(value, indent))


def read_bounded(path: str | Path, limit: int, what: str) -> bytes:
    """Read a whole file that may not be larger than ``limit`` bytes.

    Raises:
        DataError: missing, unreadable, not a regular file, or larger than ``limit``.
    """
    try:  # one stat and one read: sources call this for every one of 200,000 images
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path}: no such {what}")
        if found.st_size > limit:
            raise DataError(f"{path}: {found.st_size} bytes is too large for {what} (limit {limit})")
        with open(path, "rb", buffering=0) as stream:
            return stream.read(found.st_size)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: no such {what}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot read {what}: {error.strerror}") from error


def _cannot_write(path: Path, error: OSError | ValueError) -> DataError:
    code, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or error
    remedy = "free some space and run the same command again" if code == errno.ENOSPC else "check the folder"
    return DataError(f"{path}: cannot write: {reason}; {remedy}")


def require_folder(path: str | Path) -> None:
    """Refuse a place that cannot be a folder, before long work; nothing is made.

    Raises:
        DataError: the nearest place there is on the way to it is a file, or a folder that cannot be written.
    """
    place = Path(path).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise DataError(f"{path}: cannot write: Not a directory; check the folder")
    if not os.access(place, os.W_OK):
        raise DataError(f"{path}: cannot write: Permission denied; check the folder")


def append_text(path: str | Path, text: str) -> None:
    """Add ``text`` to the end of a file, created when missing.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except (OSError, ValueError) as error:
        raise _cannot_write(Path(path), error) from error


def shipped_folder(name: str) -> Path:
    """The folder ``datasets_recipes`` or ``benchmarks`` that came with fusionbench.

    In a checkout it stands at the top of the repository, in an installed package inside it.
    """
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
