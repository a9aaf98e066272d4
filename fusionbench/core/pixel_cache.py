"""Decoded images that are asked for more than once, up to a number of bytes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


class PixelCache(Generic[Key]):
    """Arrays by key: those that came first, as long as ``max_bytes`` hold them.

    Sets of images are read from the first to the last, several times. A cache that drops what was used least recently
    would drop every image of a larger set shortly before it is asked for again; this one keeps what it has.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._arrays: dict[Key, np.ndarray] = {}

    def get(self, key: Key) -> np.ndarray | None:
        """A copy of the array of ``key``, which may be changed; None where there is none."""
        found = self._arrays.get(key)
        return None if found is None else found.copy()

    def add(self, key: Key, array: np.ndarray) -> None:
        """Keep a copy of ``array`` where there is room for it; an array that is there stays."""
        if key not in self._arrays and self.used_bytes + array.nbytes <= self.max_bytes:
            self._arrays[key] = array.copy()
            self.used_bytes += array.nbytes
