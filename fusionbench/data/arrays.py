"""The arrays of a split over all its shards, by memory map: nothing is read before it is indexed."""

from __future__ import annotations

from collections.abc import Sequence
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
        if index.size and not (-len(self) <= index.min() and index.max() < len(self)):
            raise IndexError(f"index {index.min()}..{index.max()} is outside 0..{len(self) - 1}")
        wanted = np.where(index < 0, index + len(self), index).astype(np.int64)
        taken = self._gather(np.atleast_1d(wanted))
        return (taken if index.ndim else taken[0])[(slice(None), *rest) if index.ndim else (*rest,)]

    def _range(self, start: int, stop: int) -> np.ndarray:
        pieces = [
            part[max(0, start - first) : stop - first]
            for part, first in zip(self._parts, self._starts[:-1].tolist(), strict=True)
            if first < stop and start < first + len(part)
        ]
        if not pieces:
            return self._parts[0][:0]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _gather(self, index: np.ndarray) -> np.ndarray:
        if len(self._parts) == 1:
            return np.take(self._parts[0], index, axis=0)
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(which).tolist():
            mine = which == number
            out[mine] = self._parts[number][index[mine] - self._starts[number]]
        return out


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
