"""Files behind an URL, through fsspec: whole ones with their sha256, ranges of bytes, and one line for every failure.

What comes from a store is hostile until it is checked. Nothing is read without a limit, and a whole file counts as
fetched only when its size and sha256 are those that were expected. Failures that may pass (5xx, 429, time-outs, cut
connections) are tried again, a bounded number of times.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.io import atomic_write, escaped
from fusionbench.core.urls import join_url, shown_url

T = TypeVar("T")
ATTEMPTS = 4  # the first one included
DELAY = 0.5  # seconds before the second attempt, doubled each time
CONNECT_SECONDS, READ_SECONDS = 15, 60  # without a connection, and without a byte
_CHUNK = 1 << 20
_BLOCK = 8 << 20  # bytes that object stores are asked for at once
_UNREACHABLE = {
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "ConnectionRefusedError",
    "ConnectTimeoutError",
    "EndpointConnectionError",
    "gaierror",
}
_TRANSIENT = {
    "ClientPayloadError",
    "ConnectionClosedError",
    "ConnectionResetError",
    "HTTPClientError",
    "IncompleteRead",
    "IncompleteReadError",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
}
_REDIRECT = {"InvalidUrlRedirectClientError", "NonHttpUrlRedirectClientError", "TooManyRedirects", "InvalidURL"}


class StoreError(DataError):
    """A file behind an URL could not be read.

    Attributes:
        missing: it is not there.
        short: it is there, and ends too early.
        unreachable: nobody answered.
        transient: worth another attempt.
    """

    def __init__(
        self,
        text: str,
        *,
        missing: bool = False,
        short: bool = False,
        unreachable: bool = False,
        transient: bool = False,
    ) -> None:
        super().__init__(text)
        self.missing, self.short, self.unreachable, self.transient = missing, short, unreachable, transient


@dataclass(frozen=True)
class _Failure:
    reason: str
    missing: bool = False
    unreachable: bool = False
    transient: bool = False


def read_failure(error: BaseException) -> _Failure:
    """What an exception of any store means; their classes are known by name, so that no library has to be there."""
    chain: list[BaseException] = []
    while error is not None and error not in chain and len(chain) < 8:
        chain.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    status = next((code for link in chain if (code := _status(link)) is not None), None)
    if status in (404, 410) or (status is None and isinstance(chain[0], FileNotFoundError)):
        return _Failure("not found", missing=True)
    if status in (401, 403) or (status is None and names & {"PermissionError", "NoCredentialsError"}):
        return _Failure(f"access denied{f' ({status})' if status else ''}; check credentials and storage options")
    if status is not None and (status >= 500 or status == 429):
        return _Failure(f"the server answers {status}", transient=True)
    if names & _REDIRECT:
        return _Failure("the server redirects to something that is not followed")
    if names & _UNREACHABLE:
        return _Failure("cannot connect to the server", unreachable=True)
    if "TimeoutError" in names:  # also those of asyncio, fsspec and aiohttp
        return _Failure("the server does not answer in time", unreachable=True, transient=True)
    if names & _TRANSIENT:
        return _Failure("the connection was cut before all bytes had arrived", transient=True)
    first = escaped((str(chain[0]).splitlines() or [""])[0][:120]) or type(chain[0]).__name__
    return _Failure(f"the server answers {status}" if status else first)


def _status(error: BaseException) -> int | None:
    found = getattr(error, "status", None)  # of aiohttp
    if found is None and isinstance(response := getattr(error, "response", None), dict):  # of botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


class Store:
    """The files of one folder behind an URL. It can be pickled, and works after a fork.

    Args:
        url: any that fsspec knows; the library of its protocol (s3fs, gcsfs, aiohttp, …) must be installed.
        options: keyword arguments for fsspec's file system, its ``storage_options``.

    Raises:
        UsageError: an unknown protocol, a library that is not installed, or chained URLs.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url, self.shown, self.options = url, shown_url(url), dict(options or {})
        if "::" in url:
            raise UsageError(f"{self.shown}: chained URLs are not opened; name the folder itself")
        self._opened: tuple[int, Any, str] | None = None
        self._system()

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.url, self.options)

    @property
    def is_http(self) -> bool:
        """Whether it is a web server, which cannot list its files."""
        return self.url.startswith(("http://", "https://"))

    def place(self, name: str = "") -> str:
        """How messages name a file."""
        return f"{self.shown}/{escaped(name)}" if name else self.shown

    def _system(self) -> tuple[Any, str]:
        if self._opened is None or self._opened[0] != os.getpid():  # connections do not survive a fork
            self._opened = (os.getpid(), *open_system(self.url, self.options))
        return self._opened[1:]

    def _path(self, name: str) -> tuple[Any, str]:
        system, root = self._system()
        if not self.is_http:
            system.invalidate_cache()  # of what was there when files were listed
        return system, join_url(root, name)

    def _attempts(self, name: str, action: Callable[[], T]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except FusionbenchError as error:
                if not (isinstance(error, StoreError) and error.transient) or attempt == ATTEMPTS - 1:
                    raise
            except Exception as error:  # every store has other exceptions
                failure = read_failure(error)
                if not failure.transient or attempt == ATTEMPTS - 1:
                    raise self._told(name, failure) from error
            time.sleep(DELAY * 2**attempt)
        raise AssertionError("unreachable")

    def _told(self, name: str, failure: _Failure) -> StoreError:
        return StoreError(
            f"{self.place(name)}: {failure.reason}",
            missing=failure.missing,
            unreachable=failure.unreachable,
            transient=failure.transient,
        )

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in order, in one attempt."""
        try:
            system, path = self._path(name)
            # a size of 1 keeps fsspec from asking for it first: some servers refuse HEAD, and the reason would be lost
            options = {"block_size": 0, "size": 1} if self.is_http else {"block_size": _BLOCK}
            with system.open(path, "rb", **options) as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except FusionbenchError:
            raise
        except Exception as error:
            raise self._told(name, read_failure(error)) from error

    def read(self, name: str, limit: int) -> bytes:
        """A whole file of at most ``limit`` bytes.

        Raises:
            StoreError: it cannot be read.
            DataError: it is larger.
        """

        def action() -> bytes:
            parts, size = [], 0
            with contextlib.closing(self.chunks(name)) as chunks:  # type: ignore[type-var]
                for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise DataError(
                            f"{self.place(name)}: more than {limit:,} bytes, too large for what it should be"
                        )
                    parts.append(chunk)
            return b"".join(parts)

        return self._attempts(name, action)

    def digest(self, name: str, size: int, write: Callable[[bytes], object] | None = None) -> str:
        """The sha256 of a file that must have ``size`` bytes; ``write`` gets them, from the start in each attempt.

        Raises:
            StoreError: it cannot be read.
            DataError: it has more bytes, or less.
        """
        state, at = hashlib.sha256(), 0
        with contextlib.closing(self.chunks(name)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                at += len(chunk)
                if at > size:
                    raise DataError(f"{self.place(name)}: more than the {size:,} bytes that the manifest says")
                state.update(chunk)
                if write is not None:
                    write(chunk)
        if at < size:
            raise StoreError(f"{self.place(name)}: {at:,} bytes arrived of {size:,}", short=True, transient=True)
        return state.hexdigest()

    def check(self, name: str, size: int, sha256: str) -> None:
        """Read a file and compare it; nothing is kept.

        Raises:
            StoreError, DataError: it cannot be read, or is another one.
        """
        if self._attempts(name, lambda: self.digest(name, size)) != sha256:
            raise self._wrong(name)

    def fetch(self, name: str, path: Path, size: int, sha256: str) -> None:
        """Copy a file to ``path``, which appears whole and checked or not at all.

        Raises:
            StoreError, DataError: it cannot be read, is another one, or ``path`` cannot be written.
        """

        def action() -> None:
            with atomic_write(path) as stream:
                if self.digest(name, size, stream.write) != sha256:
                    raise self._wrong(name)

        self._attempts(name, action)

    def copy(self, name: str, path: Path, limit: int) -> None:
        """Copy a file as it is, unchecked; of a longer one, one byte more than ``limit``.

        Raises:
            StoreError, DataError: it cannot be read, or ``path`` cannot be written.
        """

        def action() -> None:
            left = limit + 1
            with atomic_write(path) as stream, contextlib.closing(self.chunks(name)) as chunks:  # type: ignore[type-var]
                for chunk in chunks:
                    stream.write(chunk[:left])
                    left -= len(chunk)
                    if left <= 0:
                        break

        self._attempts(name, action)

    def _wrong(self, name: str) -> DataError:
        return DataError(f"{self.place(name)}: its sha256 is not that of the manifest; damaged or replaced; not used")

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """The bytes ``start`` .. ``stop - 1`` of a file.

        Raises:
            StoreError: it cannot be read, or the server sends no ranges.
        """
        return self._attempts(name, lambda: self._range(name, start, stop))

    def _range(self, name: str, start: int, stop: int) -> bytes:
        system, path = self._path(name)
        if not self.is_http:
            content: bytes = system.cat_file(path, start=start, end=stop)
        else:  # fsspec's own way reads whatever comes, also the whole file
            asked = {**system.kwargs.get("headers", {}), "Range": f"bytes={start}-{stop - 1}"}
            with system.open(path, "rb", block_size=0, size=1, headers=asked) as stream:
                given = stream.r.headers.get("Content-Range", "")
                if stream.r.status != 206 or not given.startswith(f"bytes {start}-{stop - 1}/"):
                    raise StoreError(
                        f"{self.place(name)}: the server sends no ranges of files; open the data set without `partial`"
                    )
                parts, size = [], 0
                while size <= stop - start and (chunk := stream.read(_CHUNK)):
                    parts.append(chunk)
                    size += len(chunk)
                content = b"".join(parts)
        if len(content) != stop - start:
            raise StoreError(f"{self.place(name)}: {len(content):,} bytes arrived of a range of {stop - start:,}")
        return content

    def find(self, name: str, depth: int) -> list[str]:
        """Where files ``name`` lie, here or in folders down to ``depth``: parts of the path, ``a/b``, sorted.

        Web servers list nothing: none but the one here is found.
        """
        if self.is_http:
            return []

        def action() -> list[str]:
            system, root = self._system()
            system.invalidate_cache()
            root = root.rstrip("/")
            patterns = [f"{root}/{'*/' * level}{name}" for level in range(1, depth + 1)]
            found = {str(path) for pattern in patterns for path in system.glob(pattern)}
            below = [path.lstrip("/").removeprefix(root.lstrip("/")).strip("/") for path in found]
            return sorted(path.removesuffix(f"/{name}") for path in below)

        return self._attempts("", action)

    def names(self) -> list[str] | None:
        """Names of the files of the folder, sorted; None where the store lists nothing."""
        if self.is_http:
            return None

        def action() -> list[str]:
            system, root = self._system()
            system.invalidate_cache()
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in system.ls(root, detail=False))

        return self._attempts("", action)


def open_system(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """The file system of an URL and the place in it.

    Raises:
        UsageError: an unknown protocol, or a library that is not installed.
    """
    options = dict(options or {})
    shown = shown_url(url)
    try:
        import fsspec.core
    except ImportError as error:
        raise UsageError(f"{shown}: URLs need fsspec: pip install 'fusionbench[remote]'") from error
    try:
        if url.startswith(("http://", "https://")):
            import aiohttp

            times = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
            options["client_kwargs"] = {"timeout": times, **options.get("client_kwargs", {})}
            # ranges and sizes are of the file's own bytes
            options["headers"] = {**options.get("headers", {}), "Accept-Encoding": "identity"}
        elif url.startswith(("s3://", "s3a://")):
            limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retries": {"max_attempts": 1}}
            options["config_kwargs"] = {**limits, **options.get("config_kwargs", {})}
        system, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        line = (str(error).splitlines() or [""])[0]
        remedy = "; pip install 'fusionbench[remote]'" if isinstance(error, ImportError) else ""
        raise UsageError(f"{shown}: {escaped(line)}{remedy}") from error
    except Exception as error:  # what a library finds wrong with its options
        raise UsageError(f"{shown}: cannot be opened ({read_failure(error).reason})") from error
    return system, str(root)
