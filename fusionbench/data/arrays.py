"""The arrays of a split over all its shards, by memory map: nothing is read before it is indexed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from fusionbench.synth import kernel


class _Span:
    """C-contiguous arrays with rows of one size as one array of bytes, whose item k is the row that begins k bytes
    behind the first of them in memory.

    Why this reads nothing but the rows that are asked for, although the array reaches over memory that is not ours:

    * Row i, of array s, begins at place[s] + (i - start[s]) * size, and the caller says start[s] <= i < start[s + 1]:
      these are bytes of array s, whatever order, distance and lengths the arrays have, and whatever lies between them.
      Indexing copies ``size`` bytes from there and no others; making the view reads nothing. Rows need no alignment,
      because raw bytes have none and NumPy looks at that before it copies them as words.
    * No array moves or goes away: the owner of the span holds all of them, and a map cannot be closed or resized while
      an array of it lives (BufferError). A file that is cut while it is mapped ends the process (SIGBUS), here as with
      indexing one map.
    * Differences of addresses are counted in int64, and in what NumPy counts bytes with, which is smaller on systems
      of 32 bits: what does not fit has no span.
    * Nobody else sees the array. Printed in a traceback or a debugger, copied or pickled it would read what lies
      between; so it is an attribute of this object, which is not shown by its values, and the owner leaves the span
      out of copies and pickles. A process that was forked has the same maps at the same addresses.
    """

    __slots__ = ("_bytes", "_rows", "_shifts", "_size")

    def __init__(self, rows: np.ndarray, shifts: np.ndarray, size: int) -> None:
        self._rows, self._shifts, self._size = rows, shifts, size
        everything = np.lib.stride_tricks.as_strided(rows[:1].view(np.uint8), (len(rows) + size - 1,), (1,))
        everything.flags.writeable = False
        self._bytes = everything

    @classmethod
    def over(cls, arrays: Sequence[np.ndarray], starts: np.ndarray, size: int) -> _Span | None:
        """Over ``arrays``, of which one or more are not empty; ``starts``: the first row of each, then their number."""
        places = [part.__array_interface__["data"][0] for part in arrays]
        begin = min(place for place, part in zip(places, arrays, strict=True) if len(part))
        end = max(place + part.nbytes for place, part in zip(places, arrays, strict=True) if len(part))
        count = end - begin - size + 1
        if end > np.iinfo(np.int64).max or count * size > np.iinfo(np.intp).max:
            return None
        first = next(part for place, part in zip(places, arrays, strict=True) if len(part) and place == begin)
        row = np.asarray(first).reshape(-1)[: size // first.itemsize].view(f"V{size}")
        rows = np.lib.stride_tricks.as_strided(row, (count,), (1,), writeable=False)
        # an empty array's address may be anything: it has no row that could be asked for
        known = [place if len(part) else begin for place, part in zip(places, arrays, strict=True)]
        return cls(rows, np.array(known, np.int64) - begin - starts[:-1] * size, size)

    def take(self, which: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Copies of rows ``index``, which are in the arrays ``which``, as raw bytes."""
        taken: np.ndarray = self._rows[self._shifts[which] + index * self._size]
        return taken

    def units(self, which: np.ndarray, index: np.ndarray, out: np.ndarray, compiled: Any) -> None:
        """Rows ``index``, which are in the arrays ``which``, over 255 into float32 ``out`` (k, images, C, pixels)."""
        compiled.unit_rows(out, self._bytes, self._shifts[which] + index * self._size)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a span cannot be copied or pickled")


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
            return span.take(which, index).view(self.dtype).reshape(len(index), *self.shape[1:])
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        for number in np.unique(which).tolist():
            mine = which == number
            out[mine] = self._parts[number][index[mine] - self._starts[number]]
        return out

    def _units(self, index: np.ndarray, which: np.ndarray, channels: int, compiled: Any) -> np.ndarray | None:
        """The bytes of those samples over 255, float32 (k, …, C, H, W), in one pass; None where there is no span."""
        if self.dtype != np.uint8 or (span := self._span) is None:
            return None
        shape = self.shape[1:] if channels == 1 else self.shape[1:-1]
        *images, height, width = shape
        out = np.empty((len(index), math.prod(images), channels, height * width), np.float32)
        span.units(which, index, out, compiled)
        return out.reshape(len(index), *images, channels, height, width)

    @cached_property
    def _span(self) -> _Span | None:
        """All shards as one array, for one gather over all of them; None where they are not plain arrays in memory."""
        parts = [part for part in self._parts if len(part)]
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        plain = all(isinstance(part, np.ndarray) and part.flags.c_contiguous for part in self._parts)
        alike = all(part.dtype == self.dtype and part.shape[1:] == self.shape[1:] for part in self._parts)
        if not (parts and size and plain and alike) or self.dtype.hasobject:
            return None
        return _Span.over(self._parts, self._starts, size)

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

    def read_units(self, index: np.ndarray, channels: int) -> list[np.ndarray] | None:
        """The samples of int64 ``index`` (k,) of arrays of images, uint8 (n, …, H, W[, C]), as float32 value/255
        (k, …, C, H, W), with the bits of :func:`fusionbench.core.unit_range.to_unit`.

        They are gathered and divided in one pass by compiled code (:mod:`fusionbench.synth.kernel`); None where that
        is not at hand or not worth loading yet, or for arrays that are not bytes in memory.

        Raises:
            IndexError, TypeError: as :meth:`read`.
        """
        if index.ndim != 1:
            raise TypeError(f"samples are read by a list of integers, not by an array of shape {index.shape}")
        first = self._arrays[0]
        values = len(index) * sum(math.prod(array.shape[1:]) for array in self._arrays)
        if (compiled := kernel.compiled(values)) is None:
            return None
        index = first._checked(index)
        which = first._shards_of(index)
        found = [array._units(index, which, channels, compiled) for array in self._arrays]
        whole = [units for units in found if units is not None]
        return whole if len(whole) == len(found) else None


class Arrays:
    """A split's arrays: ``targets`` (n,H,W[,C]) and ``views`` (n,V,H,W[,C]) uint8, ``params``, ``index``, ``label``.

    Registered pairs have no targets; whole ones have ``views`` of their own sizes
    (:class:`fusionbench.data.shards.ragged.Ragged`) and ``shape`` (n,2), patches have ``pair`` (n,) and ``corner``
    (n,2). Degraded pairs have ``clean``, as ``views`` were before, and ``degradation`` (n,2): the number of the family
    in the recipe's ``degrade.families`` (-1: none) and the severity.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns = columns

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(f"this split has no array {name!r}; it has {', '.join(self.columns)}") from None
