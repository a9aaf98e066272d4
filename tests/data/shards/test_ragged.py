"""Pairs of their own sizes: what is written is read, and a shard that lies about where they are is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.data.shards.ragged import MAX_SIDE, Ragged, pack_arrays, problem
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import MAX_HEADER, write_shard

sizes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=5)


def pairs_of(shapes: list[tuple[int, int]], seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (2, height, width), dtype=np.uint8) for height, width in shapes]


def packed(shapes: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    return pack_arrays({"index": np.arange(len(shapes)), "views": pairs_of(shapes)})


@given(st.lists(sizes, min_size=1, max_size=3), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_packed_comes_back(shards: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    lists = [pairs_of(shapes, seed) for seed, shapes in enumerate(shards)]
    parts = [pack_arrays({"index": np.arange(len(pairs)), "views": pairs}) for pairs in lists]
    assert all(problem(part) is None for part in parts)
    ragged, plain = Ragged(parts), [pair for pairs in lists for pair in pairs]
    assert len(ragged) == len(plain) and all(map(np.array_equal, ragged, plain))
    key = data.draw(st.lists(st.integers(-len(plain), len(plain) - 1), max_size=5))
    assert all(map(np.array_equal, ragged[key], [plain[i] for i in key])) and len(ragged[key]) == len(key)
    assert len(ragged[1:]) == len(plain) - 1 and np.array_equal(ragged[-1], plain[-1])
    pieces, offsets = ragged.flat()
    flat = np.concatenate(pieces)
    for pair, start in zip(plain, offsets.tolist(), strict=True):
        assert np.array_equal(flat[start : start + pair.size], pair.reshape(-1))
    with pytest.raises(IndexError):
        ragged[len(plain)]


def test_a_shard_is_mapped(tmp_path: Path) -> None:
    shapes = [(30, 40), (300, 200), (7, 9)]
    write_shard(tmp_path / "a.h5", packed(shapes), {"stems": ["x", "y", "z"]})
    shard = open_shard(tmp_path / "a.h5")
    assert len(shard) == 3 and isinstance(shard.arrays["pixels"], np.memmap)
    views = Ragged([shard.arrays])
    assert all(map(np.array_equal, views, pairs_of(shapes)))
    with pytest.raises(ValueError, match="read-only"):
        views[1][0, 0, 0] = 1


def out_of_range(arrays: dict[str, np.ndarray]) -> None:
    arrays["offsets"][2] += 1000


def negative(arrays: dict[str, np.ndarray]) -> None:
    arrays["offsets"][1] = -1


def overlapping(arrays: dict[str, np.ndarray]) -> None:
    arrays["offsets"][1] = 0


def exchanged(arrays: dict[str, np.ndarray]) -> None:
    arrays["offsets"][[0, 1]] = arrays["offsets"][[1, 0]]


def too_large(arrays: dict[str, np.ndarray]) -> None:
    arrays["shape"][2] = 1000


def overflowing(arrays: dict[str, np.ndarray]) -> None:
    arrays["shape"][1] = 1 << 62


def many_pixels(arrays: dict[str, np.ndarray]) -> None:
    arrays["shape"][1] = MAX_SIDE


def no_pixels(arrays: dict[str, np.ndarray]) -> None:
    arrays["shape"][1, 0] = 0


def sides_below_zero(arrays: dict[str, np.ndarray]) -> None:
    arrays["shape"][1] = -arrays["shape"][1]  # the product is right


def too_few_pixels(arrays: dict[str, np.ndarray]) -> None:
    arrays["pixels"] = arrays["pixels"][:-1].copy()


def too_many_pixels(arrays: dict[str, np.ndarray]) -> None:
    arrays["pixels"] = np.append(arrays["pixels"], np.uint8(0))


def pixels_in_rows(arrays: dict[str, np.ndarray]) -> None:
    arrays["pixels"] = arrays["pixels"].reshape(2, -1)


def wide_pixels(arrays: dict[str, np.ndarray]) -> None:
    arrays["pixels"] = arrays["pixels"].astype(np.int64)


def narrow_offsets(arrays: dict[str, np.ndarray]) -> None:
    arrays["offsets"] = arrays["offsets"].astype(np.int16)


def three_sides(arrays: dict[str, np.ndarray]) -> None:
    arrays["shape"] = np.ones((3, 3), np.int64)


def no_offsets(arrays: dict[str, np.ndarray]) -> None:
    del arrays["offsets"]


def views_as_well(arrays: dict[str, np.ndarray]) -> None:
    arrays["views"] = np.zeros((3, 2, 4, 4), np.uint8)


def only_pixels(arrays: dict[str, np.ndarray]) -> None:
    for name in ("index", "offsets", "shape"):
        del arrays[name]


LIES = (
    out_of_range,
    negative,
    overlapping,
    exchanged,
    too_large,
    overflowing,
    many_pixels,
    no_pixels,
    sides_below_zero,
    too_few_pixels,
    too_many_pixels,
    pixels_in_rows,
    wide_pixels,
    narrow_offsets,
    three_sides,
    no_offsets,
    views_as_well,
    only_pixels,
)


@pytest.mark.parametrize("lie", LIES)
def test_a_shard_that_lies_is_refused(
    lie: Callable[[dict[str, np.ndarray]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = packed([(4, 5), (6, 3), (2, 2)])
    lie(arrays)
    if lie is only_pixels:  # the writer would not: its arrays have no length
        arrays["index"] = np.arange(5)
    write_shard(tmp_path / "evil.h5", arrays, {})
    with pytest.raises(DataError) as caught:
        open_shard(tmp_path / "evil.h5")
    assert str(caught.value).startswith(str(tmp_path / "evil.h5")) and "\n" not in str(caught.value)


def test_names_that_do_not_fit_the_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lower shard_size"):
        write_shard(tmp_path / "a.h5", packed([(4, 5)]), {"stems": ["x" * MAX_HEADER]})
    assert not list(tmp_path.iterdir())
