"""Decoded images in memory: what came first, up to the bound, and nothing that a reader could change."""

from __future__ import annotations

import numpy as np

from fusionbench.core.pixel_cache import PixelCache


def test_what_came_first_stays_and_the_bound_holds() -> None:
    cache: PixelCache[int] = PixelCache(10)
    for key, count in enumerate((6, 5, 4, 1)):  # the second has no room, the third takes the last of it
        cache.add(key, np.full(count, key, np.uint8))
    assert [cache.get(key) is not None for key in range(4)] == [True, False, True, False]
    assert cache.used_bytes == 10


def test_bytes_are_counted_and_not_values() -> None:
    cache: PixelCache[str] = PixelCache(16)
    cache.add("wide", np.zeros(3, np.float64))
    assert cache.get("wide") is None and cache.used_bytes == 0
    cache.add("two", np.zeros(2, np.float64))
    assert cache.used_bytes == 16


def test_neither_side_can_change_what_is_held() -> None:
    cache: PixelCache[str] = PixelCache(100)
    given = np.arange(4, dtype=np.uint8)
    cache.add("x", given)
    given[:] = 9
    found = cache.get("x")
    assert found is not None and found.tolist() == [0, 1, 2, 3]
    found[:] = 7
    again = cache.get("x")
    assert again is not None and again.tolist() == [0, 1, 2, 3]
    cache.add("x", np.zeros(50, np.uint8))
    assert cache.used_bytes == 4


def test_no_bytes_hold_nothing() -> None:
    cache: PixelCache[int] = PixelCache(0)
    cache.add(1, np.zeros(1, np.uint8))
    assert cache.get(1) is None
