"""Hostile HDF5 files are refused before a value is read; good ones are mapped as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import FORMAT, write_shard
from tests.data.shards.test_writer import some_arrays

HEADER = json.dumps({"format": FORMAT}).encode()


def test_arrays_are_mapped(tmp_path: Path) -> None:
    arrays = some_arrays()
    write_shard(tmp_path / "a.h5", arrays, {"split": "train"})
    shard = open_shard(tmp_path / "a.h5")
    assert len(shard) == 300 and shard.header["split"] == "train"
    for name, array in arrays.items():
        assert isinstance(shard.arrays[name], np.memmap) and np.array_equal(shard.arrays[name], array)
        with pytest.raises(ValueError, match="read-only"):
            shard.arrays[name][0] = 0


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(b"x" * 64)
    file.create_dataset("views", (64,), "u1", external=[(str(folder / "secret"), 0, 64)])


def external_link(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["views"] = np.zeros(64, "u1")
    file["views"] = h5py.ExternalLink(str(folder / "other.h5"), "views")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["targets"] = np.zeros(64, "u1")
    file["views"] = h5py.SoftLink("/targets")


def virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["views"] = np.zeros(64, "u1")
    layout = h5py.VirtualLayout((64,), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "views", (64,))
    file.create_virtual_dataset("views", layout)


def compressed_bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("views", (1 << 40,), "u1", chunks=(1 << 20,), compression="gzip")


def never_written(file: h5py.File, folder: Path) -> None:
    file.create_dataset("views", (1 << 42,), "u1")  # 4 TB claimed, late allocation


def group(file: h5py.File, folder: Path) -> None:
    file.create_group("views")


def pickled(file: h5py.File, folder: Path) -> None:
    file.create_dataset("views", data=["a", "b"], dtype=h5py.string_dtype())


def floats(file: h5py.File, folder: Path) -> None:
    file["views"] = np.zeros(64)


def unequal(file: h5py.File, folder: Path) -> None:
    file["views"], file["targets"] = np.zeros(64, "u1"), np.zeros(63, "u1")


def nothing(file: h5py.File, folder: Path) -> None:
    pass


def many(file: h5py.File, folder: Path) -> None:
    for i in range(40):
        file[f"d{i}"] = np.zeros(4, "u1")


HOSTILE = (
    external_storage,
    external_link,
    soft_link,
    virtual,
    compressed_bomb,
    never_written,
    group,
    pickled,
    floats,
    unequal,
    nothing,
    many,
)


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_files_are_refused(make: Callable[[h5py.File, Path], None], tmp_path: Path) -> None:
    path = tmp_path / "evil.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["fusionbench"] = np.bytes_(HEADER)
        make(file, tmp_path)
    with pytest.raises(DataError) as caught:
        open_shard(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [None, np.bytes_(b"{}"), np.bytes_(b"not json"), np.bytes_(b"[1]"), 7, "a variable-length text", [HEADER, HEADER]],
)
def test_bad_headers_are_refused(value: object, tmp_path: Path) -> None:
    path = tmp_path / "evil.h5"
    with h5py.File(path, "w") as file:
        file["views"] = np.zeros(64, "u1")
        if value is not None:
            file.attrs["fusionbench"] = value
    with pytest.raises(DataError, match="header"):
        open_shard(path)


def test_missing_truncated_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match="cannot read"):
        open_shard(path)
    path.write_text("<html>")
    with pytest.raises(DataError, match="not an HDF5 file"):
        open_shard(path)
    write_shard(path, some_arrays(), {})
    whole = path.read_bytes()
    for keep in (8, 96, 3000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError):
            open_shard(path)


@given(st.lists(st.tuples(st.integers(0, 4500), st.integers(1, 255)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_the_headers_makes_it_crash(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    path = tmp_path / "a.h5"
    write_shard(path, some_arrays(20), {"split": "train"})
    content = bytearray(path.read_bytes())
    for at, value in flips:
        content[at % len(content)] ^= value
    path.write_bytes(bytes(content))
    try:
        shard = open_shard(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        for array in shard.arrays.values():  # whatever it is, it lies inside the file
            array.tobytes()
