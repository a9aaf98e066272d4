"""Hostile HDF5 files are refused before a value is read; good ones are mapped as they are."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.data.shards import ragged
from fusionbench.data.shards.reader import _inspect, open_shard
from fusionbench.data.shards.writer import FORMAT, MAX_HEADER, write_shard
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
    (external_storage, "'views' is virtual, external or chunked"),
    (external_link, "'views' is a link to somewhere else"),
    (soft_link, "'views' is a link to somewhere else"),
    (virtual, "'views' is virtual, external or chunked"),
    (compressed_bomb, "'views' is virtual, external or chunked"),
    (never_written, "'views' claims 4398046511104 values"),
    (group, "'views' is not a data set"),
    (pickled, "'views' has type"),
    (floats, "'views' has type <f8"),
    (unequal, "different lengths [63, 64]"),
    (nothing, "0 objects where 1 to 16 may be"),
    (many, "40 objects where 1 to 16 may be"),
)


@pytest.mark.parametrize(("make", "reason"), HOSTILE)
def test_hostile_files_are_refused(make: Callable[[h5py.File, Path], None], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["fusionbench"] = np.bytes_(HEADER)
        make(file, tmp_path)
    with pytest.raises(DataError) as caught:
        open_shard(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert reason in str(caught.value), "by the check for it, not by what comes after"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "it has no fusionbench header"),
        (np.bytes_(b"{}"), f"its header is not {FORMAT}"),
        (np.bytes_(b"not json"), "its fusionbench header is not JSON"),
        (np.bytes_(b"[1]"), f"its header is not {FORMAT}"),
        (7, "its fusionbench header is not a short text"),
        ("a variable-length text", "its fusionbench header is not a short text"),
        ([HEADER, HEADER], "its fusionbench header is not a short text"),
        ([HEADER], "its fusionbench header is not a short text"),
    ],
)
def test_bad_headers_are_refused(value: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.h5"
    with h5py.File(path, "w") as file:
        file["views"] = np.zeros(64, "u1")
        if value is not None:
            file.attrs["fusionbench"] = value
    with pytest.raises(DataError, match=f": {reason};"):
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


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<i8"])
def test_values_end_with_the_file_to_the_byte(tmp_path: Path, dtype: str) -> None:
    """A data set that lies one byte too far would crash whoever reads it.

    Newer releases of HDF5 look, too, so that our own check is called with the size of a file that was cut behind it.
    """
    values = np.arange(1000).astype(dtype)
    path, content, offset = shard_of(tmp_path, values)
    assert open_shard(path).arrays["views"].tolist() == values.tolist() and len(open_shard(path)) == 1000
    last = len(content) - values.nbytes
    path.write_bytes(moved(content, offset, last, values.nbytes))
    assert open_shard(path).arrays["views"].tobytes() == path.read_bytes()[-values.nbytes :], "just inside"
    for beyond in (1, 2, 7, 8, 511, 512, 4095, 4096, 4097, 1 << 40):
        path.write_bytes(moved(content, offset, last + beyond, values.nbytes))
        with pytest.raises(DataError, match=r"claims 1000 values|invalid dataset size"):
            open_shard(path)
    path.write_bytes(content)
    end = offset + values.nbytes
    for size in (end, end + 1, end + 4096):
        assert _inspect(path, size)[1] == {"views": (values.dtype.str, (1000,), offset)}
    for size in (end - 1, end - values.itemsize, end - 4095, end - 4096, end - 4097, 0):
        with pytest.raises(DataError, match=rf"'views' claims 1000 values, the file has {size} bytes"):
            _inspect(path, size)


def shard_of(folder: Path, values: np.ndarray) -> tuple[Path, bytes, int]:
    """A shard with one data set: its path, its bytes and where the values lie."""
    path = folder / "made.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["fusionbench"] = np.bytes_(HEADER)
        file["views"] = values
    with h5py.File(path) as file:
        return path, path.read_bytes(), int(file["views"].id.get_offset())


def moved(content: bytes, offset: int, to: int, size: int) -> bytes:
    """The file with the address of its one data set changed: a layout message is address and size, 8 bytes each."""
    place = struct.pack("<QQ", offset, size)
    assert content.count(place) == 1
    return content.replace(place, struct.pack("<QQ", to, size))


def test_numbers_of_data_sets_and_dimensions_have_limits(tmp_path: Path) -> None:
    path = tmp_path / "made.h5"
    for count, shape, fits in (
        (16, (2,), True),
        (17, (2,), False),
        (1, (2, 1, 1, 1, 1, 1), True),
        (1, (2,) * 7, False),
    ):
        with h5py.File(path, "w", libver="earliest") as file:
            file.attrs["fusionbench"] = np.bytes_(HEADER)
            for i in range(count):
                file[f"d{i}"] = np.ones(shape, "u1")
        if fits:
            arrays = open_shard(path).arrays
            assert len(arrays) == count and all(np.array_equal(array, np.ones(shape)) for array in arrays.values())
            assert all(isinstance(array, np.memmap) for array in arrays.values()), "of the file, whatever memory holds"
        else:
            with pytest.raises(DataError, match=r"17 objects where 1 to 16|has type \|u1 and shape"):
                open_shard(path)


def test_an_array_without_values_takes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "made.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["fusionbench"] = np.bytes_(HEADER)
        file["views"] = np.zeros((3, 0), "u1")
        file["index"] = np.arange(3)
    shard = open_shard(path)
    assert shard.arrays["views"].shape == (3, 0) and len(shard) == 3 and shard.arrays["index"].tolist() == [0, 1, 2]
    assert _inspect(path, path.stat().st_size)[1]["views"] == ("|u1", (3, 0), 0)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_header_has_a_limit(tmp_path: Path, extra: int) -> None:
    """HDF5 keeps an attribute of up to 64 KiB in the object header; the limit is ours."""
    path = tmp_path / "made.h5"
    text = json.dumps({"format": FORMAT}).encode().ljust(MAX_HEADER + extra)
    with h5py.File(path, "w", libver="latest") as file:
        file["views"] = np.zeros(3, "u1")
        file.attrs.create("fusionbench", np.bytes_(text), dtype=f"S{len(text)}")
    if extra:
        with pytest.raises(DataError, match="header is not a short text"):
            open_shard(path)
    else:
        assert open_shard(path).header["format"] == FORMAT


@pytest.mark.parametrize("kind", ["chunked", "compact"])
@pytest.mark.parametrize("length", [0, 8])
def test_only_contiguous_data_sets_are_mapped(tmp_path: Path, kind: str, length: int) -> None:
    """By their layout alone, also where there is nothing in them."""
    path = tmp_path / "made.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["fusionbench"] = np.bytes_(HEADER)
        if kind == "chunked":
            file.create_dataset("views", (length,), "u1", chunks=(8,), maxshape=(8,))
        else:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.COMPACT)
            h5py.h5d.create(file.id, b"views", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((length,)), plist)
    with pytest.raises(DataError, match="'views' is virtual, external or chunked"):
        open_shard(path)


def test_pairs_of_their_own_sizes_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    arrays = ragged.pack_arrays({"index": np.arange(2), "views": [np.ones((2, 3, 4), "u1"), np.ones((2, 5, 2), "u1")]})
    write_shard(path, arrays, {})
    shard = open_shard(path)
    assert len(shard) == 2 and set(shard.arrays) == set(arrays)
    write_shard(path, {**arrays, ragged.PIXELS: arrays[ragged.PIXELS][:-1]}, {})
    with pytest.raises(DataError, match="do not use it"):
        open_shard(path)


def test_h5py_is_loaded_with_the_first_shard() -> None:
    """Not with the module, which commands that read no shard load as well."""
    code = "import sys, fusionbench.data.shards.reader; print('h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
