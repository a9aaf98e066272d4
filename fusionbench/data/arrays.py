"""The arrays of a split over all its shards, by memory map: nothing is read before it is indexed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np


class ShardedArray:
    """One array of a split over all its shards: read-only, memory-mapped, indexed along the first axis.

    Takes an integer, a slice or a sequence of integers (negative ones count from the end); further axes can follow,
    as in ``views[3:5, 0]``. ``np.asarray`` reads it whole.
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype
        self.ndim = len(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all values."""
        return sum(part.nbytes for part in self._parts)

    def __len__(self) -> int:
        result: int = self.shape[0]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.asarray(self._parts[0]) if len(self._parts) == 1 and not copy else np.concatenate(self._parts)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if first is Ellipsis:
            result: np.ndarray = self._range(0, len(self))[key]
            return result
        if isinstance(first, slice):
            start, stop, step = first.indices(len(self))
            if step == 1:
                return self._range(start, max(start, stop))[(slice(None), *rest)]
            first = np.arange(start, stop, step)
        index = np.asarray(first)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise IndexError(f"a mask for {len(self)} samples has shape {index.shape}")
            index = np.flatnonzero(index)
        if index.size == 0:
            index = index.astype(np.int64)
        if index.dtype.kind not in "iu" or index.ndim > 1:
            raise TypeError(f"samples are indexed by an integer, a slice or a list of integers, not {first!r}")
        wanted = np.atleast_1d(self._checked(index))
        taken = self._gather(wanted, self._shards_of(wanted))
        return (taken if index.ndim else taken[0])[(slice(None), *rest) if index.ndim else (*rest,)]

    def _checked(self, index: np.ndarray) -> np.ndarray:
        """Whole numbers of any sign as int64 within 0..n-1: a copy, which nobody can change after the check."""
        index = index.astype(np.int64)
        low, high = (index.min(), index.max()) if index.size else (0, 0)
        if index.size and not (-len(self) <= low and high < len(self)):
            raise IndexError(f"index {low}..{high} is outside 0..{len(self) - 1}")
        return index if low >= 0 else np.where(index < 0, index + len(self), index)

    def _shards_of(self, index: np.ndarray) -> np.ndarray:
        """The shard of each of ``index`` (k,), all within 0..n-1."""
        which: np.ndarray = self._starts.searchsorted(index, side="right") - 1
        return which

    def _range(self, start: int, stop: int) -> np.ndarray:
        pieces = [
            part[max(0, start - first) : stop - first]
            for part, first in zip(self._parts, self._starts[:-1].tolist(), strict=True)
            if first < stop and start < first + len(part)
        ]
        if not pieces:
            return self._parts[0][:0]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _gather(self, index: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The samples of ``index`` (k,), all within 0..n-1, which are in the shards ``which``; each is copied once."""
        if len(self._parts) == 1:
            return np.take(self._parts[0], index, axis=0)
        if (span := self._span) is not None:
            rows, shifts = span
            taken: np.ndarray = rows[shifts[which] + index * rows.dtype.itemsize]
            return taken.view(self.dtype).reshape(len(index), *self.shape[1:])
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        for number in np.unique(which).tolist():
            mine = which == number
            out[mine] = self._parts[number][index[mine] - self._starts[number]]
        return out

    @cached_property
    def _span(self) -> tuple[np.ndarray, np.ndarray] | None:
        """All shards as one array, for one gather over all of them; None where they are not plain arrays in memory.

        Item k of it is the row that begins k bytes behind the first shard in memory; that of sample i, which is in
        shard s, is ``shifts[s] + i·(bytes of a row)``. Between the shards it reaches over memory that is not ours, so
        that it must be indexed by such numbers only and be seen by nobody else: not copied, printed or pickled.
        """
        parts = [part for part in self._parts if len(part)]
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        plain = all(isinstance(part, np.ndarray) and part.flags.c_contiguous for part in self._parts)
        alike = all(part.dtype == self.dtype and part.shape[1:] == self.shape[1:] for part in self._parts)
        if not (parts and size and plain and alike):
            return None
        places = np.array([part.__array_interface__["data"][0] for part in self._parts], np.int64)
        begin = min(part.__array_interface__["data"][0] for part in parts)
        end = max(part.__array_interface__["data"][0] + part.nbytes for part in parts)
        count = end - begin - size + 1
        if count * size >= 1 << 62:  # NumPy wants to be able to count the bytes
            return None
        first = next(part for part in parts if part.__array_interface__["data"][0] == begin)
        row = np.asarray(first).reshape(-1)[: size // self.dtype.itemsize].view(f"V{size}")
        rows = np.lib.stride_tricks.as_strided(row, (count,), (1,), writeable=False)
        return rows, places - begin - self._starts[:-1] * size

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_span"}


class SampleReader:
    """Some arrays of one split, read with the same index: it is checked, and the shards are found, once for all.

    Converting a batch empties the processor's caches, so that each of these small steps costs several times what it
    does in a loop of its own.

    Raises:
        ValueError: the arrays are not divided into shards alike.

    Example:
        >>> import numpy as np
        >>> from fusionbench.data.arrays import SampleReader, ShardedArray
        >>> targets = ShardedArray([np.array([10, 11, 12]), np.array([13, 14])])
        >>> views = ShardedArray([np.zeros((3, 2)), np.ones((2, 2))])
        >>> [array.tolist() for array in SampleReader(targets, views).read(np.array([4, 0]))]
        [[14, 10], [[1.0, 1.0], [0.0, 0.0]]]
    """

    def __init__(self, *arrays: ShardedArray) -> None:
        self._arrays = arrays
        if any(not np.array_equal(array._starts, arrays[0]._starts) for array in arrays):
            raise ValueError("arrays that are read together have the same number of samples in every shard")

    def read(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """The samples of int64 ``index`` (k,) of each array in turn, as arrays of their own.

        Raises:
            IndexError: an index outside the split; before anything is read.
            TypeError: an index of another shape.
        """
        if index.ndim != 1:
            raise TypeError(f"samples are read by a list of integers, not by an array of shape {index.shape}")
        first = self._arrays[0]
        index = first._checked(index)
        which = first._shards_of(index)
        return (array._gather(index, which) for array in self._arrays)


class Arrays:
    """A split's arrays: ``targets`` (n,H,W[,C]) and ``views`` (n,V,H,W[,C]) uint8, ``params``, ``index``, ``label``.

    Registered pairs have no targets; whole ones have ``views`` of their own sizes
    (:class:`fusionbench.data.shards.ragged.Ragged`) and ``shape`` (n,2), patches have ``pair`` (n,) and ``corner``
    (n,2).
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns = columns

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(f"this split has no array {name!r}; it has {', '.join(self.columns)}") from None
