"""sha256 of files, computed again only when a file's stamp has changed: the cache that makes a second look cheap.

The stamp is size, time of the last change of the contents, time of the last change of anything, and inode number. A
program that changes a file and sets its time back changes the third, which no program can set. On file systems without
it (FAT, some network shares) and on Windows, a change that keeps size and time is not noticed; there `--force` and
`verify --regenerate all` read everything.

A file that was changed less than two seconds before it was read is read again the next time: a later change may have
the same time (two seconds are the resolution of FAT; Linux has some milliseconds).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fusionbench.core.cpus import core_count
from fusionbench.core.errors import DataError
from fusionbench.core.io import file_sha256, read_bounded, write_bytes

CACHE = "digests.json"  # in the journal
MAX_BYTES = 512 << 20
_SETTLED = 2_000_000_000  # nanoseconds
_POOLED = 32  # files from which on threads hash them
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Stamp = tuple[int, int, int, int]


class _Known(msgspec.Struct, array_like=True, frozen=True):
    size: int
    changed: int  # ns; the contents
    touched: int  # ns; anything, names and rights included
    inode: int
    sha256: _Sha256
    settled: bool  # False: the file was so new that its stamp proves nothing

    @property
    def stamp(self) -> Stamp:
        return self.size, self.changed, self.touched, self.inode


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]  # of this cache, which belongs to the release that wrote it
    files: dict[str, _Known]


class DigestCache:
    """Digests of files by a key that names them; :meth:`save` keeps them in a data set's journal.

    Args:
        path: of the cache; a missing or damaged one is an empty one. None: nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.hashed, self._dirty = path, 0, False
        self._known: dict[str, _Known] = {}
        if path is not None:
            with contextlib.suppress(DataError, msgspec.DecodeError, RecursionError):
                self._known = msgspec.json.decode(read_bounded(path, MAX_BYTES, "cache"), type=_File).files

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def sha256(self, key: str, path: str | Path) -> str:
        """Hex sha256 of the file at ``path``; "" where no file can be read."""
        return self.sha256_of({key: path})[key]

    def sha256_of(self, files: Mapping[str, str | Path]) -> dict[str, str]:
        """The same for many, by key; those whose stamps are new are read by threads."""
        found: dict[str, str] = {}
        read: list[tuple[str, str | Path]] = []
        for key, path in files.items():
            known = self._known.get(key)
            if known is not None and known.settled and _stamp(path) == known.stamp:
                found[key] = known.sha256
            else:
                read.append((key, path))
        if len(read) < _POOLED:
            results: Iterable[_Known | None] = map(_read, (path for _, path in read))
            return found | self._learn(read, results)
        with ThreadPoolExecutor(core_count()) as pool:
            return found | self._learn(read, pool.map(_read, [path for _, path in read]))

    def _learn(self, read: list[tuple[str, str | Path]], results: Iterable[_Known | None]) -> dict[str, str]:
        found: dict[str, str] = {}
        for (key, _), known in zip(read, results, strict=True):
            self.hashed += 1
            if known is None:
                self._dirty |= self._known.pop(key, None) is not None
            elif self._known.get(key) != known:
                self._known[key], self._dirty = known, True
            found[key] = known.sha256 if known is not None else ""
        return found

    def trust(self, key: str, path: Path, sha256: str, witness: Path) -> None:
        """Take the digest of a file that was hashed while it was written, unless it is newer than ``witness``.

        That is a file which was written after it.
        """
        now, stamp, later = time.time_ns(), _stamp(path), _stamp(witness)
        if stamp is None or later is None or stamp[1] > later[1]:
            self.sha256(key, path)
            return
        known = _Known(*stamp, sha256, now - max(stamp[1], stamp[2]) > _SETTLED)
        if self._known.get(key) != known:
            self._known[key], self._dirty = known, True

    def save(self) -> None:
        """Keep what was learnt, atomically; a folder that cannot be written costs the next look some time, no more."""
        if self.path is None or not self._dirty or not self.path.parent.is_dir():
            return
        with contextlib.suppress(DataError):
            write_bytes(self.path, msgspec.json.encode(_File(1, self._known)))
            self._dirty = False


def _stamp(path: str | Path) -> Stamp | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    touched = found.st_ctime_ns if os.name == "posix" else 0  # elsewhere it is the time of creation
    return found.st_size, found.st_mtime_ns, touched, found.st_ino


def _read(path: str | Path) -> _Known | None:
    """Digest and stamp of a file as it was while it was read; None where it cannot be read."""
    for _ in range(3):
        now, before = time.time_ns(), _stamp(path)
        if before is None or not os.path.isfile(path):
            return None
        try:
            sha256 = file_sha256(Path(path))
        except OSError:
            return None
        if _stamp(path) == before:
            break
        before = None
    if before is None:
        return None  # it is being written all the time
    return _Known(*before, sha256, now - max(before[1], before[2]) > _SETTLED)
