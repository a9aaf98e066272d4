"""The local cache of files from elsewhere, by their sha256: shards lie in it once, whatever URLs they came from.

A file enters checked. A note beside it has size, times and number of the file as they were then; as long as they are
the same, so are the bytes, and opening costs no hashing. Otherwise the file is hashed again, and a damaged one is
removed, so that it is fetched anew. The files that were used longest ago are removed when the cache outgrows its limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import file_sha256, read_bounded, write_json
from fusionbench.core.locks import lock

ROOT, LIMIT = "FUSIONBENCH_CACHE", "FUSIONBENCH_CACHE_SIZE"
DEFAULT_LIMIT = 50 * 10**9  # bytes
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MAX_NOTE = 4096
VERIFY, FRESH = "verify-", "fresh-"  # how names of scratch folders beside the files begin
_LEFT = 48 * 3600  # seconds after which what is half written belongs to nobody
_SHARE = 50  # the limit is looked at whenever so much of it, 1/50, was added


def cache_root() -> Path:
    """``FUSIONBENCH_CACHE``, or the folder that the system has for caches.

    Raises:
        UsageError: the library that knows the system's folder is not installed.
    """
    if named := os.environ.get(ROOT):
        return Path(named).absolute()
    try:
        import platformdirs
    except ImportError as error:
        raise UsageError(f"name a folder in {ROOT}, or: pip install 'fusionbench[remote]'") from error
    return Path(platformdirs.user_cache_dir("fusionbench", appauthor=False))


def cache_limit() -> int:
    """Bytes that the cache may hold: ``FUSIONBENCH_CACHE_SIZE``, such as ``20G``.

    Raises:
        UsageError: it is not a size.
    """
    text = os.environ.get(LIMIT, "")
    if not text:
        return DEFAULT_LIMIT
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)B?", text.strip().upper())
    if found is None:
        raise UsageError(f"{LIMIT}={text!r} is not a size; write bytes, or 500M, 20G, 1T")
    return int(found[1]) * _UNITS[found[2]]


class Cache:
    """A folder of checked files; any number of processes may use it at once.

    Args:
        root: the folder; made when it is first written.
        limit: bytes; files that this object has handed out are never removed, so they may exceed it. It is looked at
            from time to time only, so 2 % more may be there.
    """

    def __init__(self, root: str | Path | None = None, limit: int | None = None) -> None:
        self.root = cache_root() if root is None else Path(root).absolute()
        self.limit = cache_limit() if limit is None else limit
        self._used: set[str] = set()
        self._added = self.limit  # bytes since the limit was last looked at; at first nobody knows

    def path(self, sha256: str) -> Path:
        """Where the file with this digest lies, or would."""
        return self.root / "files" / sha256[:2] / f"{sha256}.h5"

    def get(self, sha256: str, size: int) -> Path | None:
        """The file, when it is here and is what its name says; a damaged one is removed."""
        path = self.path(sha256)
        try:
            if path.stat().st_size != size:
                self._remove(path)
                return None
            if _noted(path) != _stamp(path):
                if file_sha256(path) != sha256:
                    self._remove(path)
                    return None
                write_json(_note(path), _stamp(path))
            else:
                os.utime(_note(path))  # when it was last used
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{path}: cannot use the cache: {error.strerror}; name another folder in {ROOT}") from error
        self._used.add(sha256)
        return path

    def ensure(self, sha256: str, size: int, write: Callable[[Path], None]) -> Path:
        """The file; ``write`` makes it, checked, when it is not here. Of several processes one writes, the others wait.

        Raises:
            DataError: it cannot be made, or there is no space.
        """
        found = self.get(sha256, size)
        if found is not None:
            return found
        path = self.path(sha256)
        with lock(self.root / "locks" / f"{sha256}.lock"):
            found = self.get(sha256, size)
            if found is not None:
                return found
            self._require_space(size)
            write(path)
            write_json(_note(path), _stamp(path))
            self._used.add(sha256)
        self._added += size
        if self._added * _SHARE > self.limit:  # not for each of 10,000 shards, since it looks at all files
            self._added = 0
            self.prune()
        return path

    def _require_space(self, size: int) -> None:
        free = shutil.disk_usage(self.root).free
        if size > free:
            raise DataError(
                f"{self.root}: a file of {size:,} bytes does not fit into the {free:,} that are free; free some, or "
                f"name another folder in {ROOT}"
            )

    def prune(self) -> int:
        """Remove what was used longest ago until the limit is kept; returns the bytes that were removed."""
        removed = 0
        with lock(self.root / "locks" / "prune.lock", wait=False) as held:
            if not held:  # another process is at it
                return 0
            self._sweep()
            rows = []
            for path in (self.root / "files").glob("*/*.h5"):
                with contextlib.suppress(OSError):
                    note = _note(path)
                    used = (note if note.exists() else path).stat().st_mtime_ns
                    rows.append((used, path.stat().st_size, path))
            total = sum(size for _, size, _ in rows)
            for _, size, path in sorted(rows):
                if total <= self.limit:
                    break
                if path.stem not in self._used:
                    self._remove(path)
                    total, removed = total - size, removed + size
        return removed

    def _sweep(self) -> None:
        """Remove what killed processes left half written: what nobody has written to for long."""
        old = time.time() - _LEFT
        for pattern in ("files/*/.*.tmp", f"{VERIFY}*", f"{FRESH}*"):
            for path in self.root.glob(pattern):
                with contextlib.suppress(OSError):
                    if max(found.stat().st_mtime for found in (path, *path.rglob("*"))) < old:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()

    @staticmethod
    def _remove(path: Path) -> None:
        with contextlib.suppress(OSError):  # in use, on Windows
            _note(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _stamp(path: Path) -> dict[str, int]:
    found = path.stat()
    return {"size": found.st_size, "mtime": found.st_mtime_ns, "ctime": found.st_ctime_ns, "inode": found.st_ino}


def _noted(path: Path) -> object:
    try:
        return json.loads(read_bounded(_note(path), _MAX_NOTE, "note"))
    except (DataError, ValueError, RecursionError):
        return None
