"""Arrays of a shard that is not here: the bytes that an index needs are fetched, and no others.

The arrays of a shard are contiguous ranges of its file, so a sample is a range of bytes. Such values cannot be checked
against the digest of the file, which is over all bytes. What can be checked is: names, types and shapes of the arrays
belong to the content digest of the manifest, and arrays of up to :data:`WHOLE` bytes (index, labels, parameters) are
fetched whole and compared with their own digests. Everything larger is as good as the connection.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.data.remote_store import Store
from fusionbench.data.shards import ragged
from fusionbench.data.shards.manifest import ShardEntry
from fusionbench.data.shards.reader import Shard, read_layout
from fusionbench.data.shards.writer import array_digests, content_digest

WHOLE = 1 << 18  # bytes of an array that is fetched whole, and checked
GAP = 1 << 16  # bytes between two ranges that are rather fetched than asked for apart
_BLOCK = 1 << 16  # bytes of the file's own structure that are fetched at once
_THREADS = 8

Read = Callable[[int, int], bytes]  # start, stop


@dataclass(frozen=True)
class RangeArray:
    """One array of a shard elsewhere; what is indexed is fetched: integers, slices, lists and masks, as of NumPy.

    ``shape`` and ``dtype`` are the array's; further axes can follow the first in an index.
    """

    read: Read
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def row(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Of all values."""
        return len(self) * self.row

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis or first is None or isinstance(first, tuple):
            whole: np.ndarray = self._rows(0, len(self))[key]
            return whole
        if isinstance(first, slice):
            start, stop, step = first.indices(len(self))
            if step == 1:
                return self._rows(start, max(start, stop))[(slice(None), *rest)]
        index = np.arange(len(self))[first]  # an error for what is no index, with NumPy's own words
        taken = self.take(np.atleast_1d(index))
        result: np.ndarray = taken[(slice(None), *rest)] if np.ndim(index) else taken[(0, *rest)]
        return result

    def take(self, indices: Any, axis: int = 0, out: np.ndarray | None = None, mode: str = "raise") -> np.ndarray:
        """Rows by index, as :func:`numpy.take` does."""
        if axis != 0:
            raise NotImplementedError("rows are taken along the first axis")
        wanted = np.asarray(indices, np.int64)
        if wanted.size and not (-len(self) <= wanted.min() and wanted.max() < len(self)):
            raise IndexError(f"index {wanted.min()}..{wanted.max()} is outside 0..{len(self) - 1}")
        rows, inverse = np.unique(np.where(wanted < 0, wanted + len(self), wanted), return_inverse=True)
        runs = list(self._runs(rows))
        with ThreadPoolExecutor(_THREADS) as pool:
            blocks = list(pool.map(lambda run: self._rows(*run), runs))
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for (start, stop), block in zip(runs, blocks, strict=True):
            mine = (rows >= start) & (rows < stop)
            found[mine] = block[rows[mine] - start]
        result = found[inverse.reshape(wanted.shape)]
        if out is None:
            return result
        out[...] = result
        return out

    def _runs(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """Ranges of rows that hold the sorted ``rows``, with gaps that are not worth a request."""
        if not len(rows):
            return
        far = max(1, GAP // max(1, self.row))
        for part in np.split(rows, np.flatnonzero(np.diff(rows) > far) + 1):
            yield int(part[0]), int(part[-1]) + 1

    def _rows(self, start: int, stop: int) -> np.ndarray:
        shape = (stop - start, *self.shape[1:])
        if start >= stop or not self.row:
            return np.empty(shape, self.dtype)
        content = self.read(self.offset + start * self.row, self.offset + stop * self.row)
        return np.frombuffer(content, self.dtype).reshape(shape)


def open_ranges(store: Store, entry: ShardEntry) -> Shard:
    """The shard of a manifest's entry, read by ranges: its structure now, values when they are indexed.

    Raises:
        StoreError: the store sends no ranges, or fails.
        DataError: it is not the shard that the manifest describes.
    """
    import h5py

    place: Any = store.place(entry.file)  # it is only named

    def read(start: int, stop: int) -> bytes:
        return store.read_range(entry.file, start, stop)

    frame = _Blocks(read, entry.bytes)
    try:
        frame.seek(0)
        if frame.read(8) != b"\x89HDF\r\n\x1a\n":
            raise DataError(f"{store.place(entry.file)}: not an HDF5 file; not used")
        with h5py.File(frame, "r") as file:
            header, layout = read_layout(place, file, entry.bytes)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        if frame.failed is not None:  # the library has its own words for what a store said
            raise frame.failed from error
        raise DataError(f"{store.place(entry.file)}: damaged shard ({str(error)[:120]}); not used") from error
    arrays: dict[str, Any] = {
        name: RangeArray(read, np.dtype(dtype), shape, offset) for name, (dtype, shape, offset) in layout.items()
    }
    right = arrays.keys() == entry.arrays.keys() and content_digest(arrays, entry.arrays) == entry.content_sha256
    if not right or header.get("content_sha256") != entry.content_sha256:
        raise DataError(f"{store.place(entry.file)}: not the shard that the manifest describes; not used")
    for name, array in arrays.items():
        if array.nbytes <= WHOLE or name in (ragged.OFFSETS, ragged.SHAPE):
            arrays[name] = array[:]
            if array_digests({name: arrays[name]})[name] != entry.arrays[name]:
                raise DataError(f"{store.place(entry.file)}: {name!r} is not that of the manifest; not used")
    if set(ragged.FLAT) & arrays.keys() and (wrong := ragged.problem(arrays)) is not None:
        raise DataError(f"{store.place(entry.file)}: {wrong}; not used")
    return Shard(place, header, arrays)


class _Blocks(io.RawIOBase):
    """A file elsewhere for a library that reads its structure: blocks are fetched once. ``failed``: why reading did."""

    def __init__(self, read: Read, size: int) -> None:
        self._read, self._size, self._at = read, size, 0
        self._blocks: dict[int, bytes] = {}
        self.failed: DataError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._size)
        done = 0
        while self._at < stop:
            number, inside = divmod(self._at, _BLOCK)
            if number not in self._blocks:
                try:
                    self._blocks[number] = self._read(number * _BLOCK, min((number + 1) * _BLOCK, self._size))
                except DataError as error:
                    self.failed = error
                    raise OSError(str(error)) from error
            piece = self._blocks[number][inside : inside + stop - self._at]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done
