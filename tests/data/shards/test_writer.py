"""Oracle: hashlib over the bytes; h5py's high-level reader as an independent reader."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.data.shards.writer import array_digests, content_digest, write_shard


def some_arrays(n: int = 300) -> dict[str, np.ndarray]:
    return {
        "views": (np.arange(n * 3 * 16 * 16) % 253).astype(np.uint8).reshape(n, 3, 16, 16),
        "index": np.arange(n),
        "params": np.arange(n * 6, dtype=np.int16).reshape(n, 3, 2),
        "targets": np.zeros((n, 16, 16), np.uint8),
    }


# sha256 of the file that some_arrays() makes: pins the container's bytes over versions of h5py and HDF5
FILE_SHA256 = "8572a21d0c979a6a8f031b2497e90447798ad2e61fe83c046732a3a5511d98be"


def test_files_are_the_same_bytes_everywhere(tmp_path: Path) -> None:
    written = write_shard(tmp_path / "a.h5", some_arrays(), {"split": "train"})
    assert hashlib.sha256((tmp_path / "a.h5").read_bytes()).hexdigest() == written["file_sha256"] == FILE_SHA256


def test_libhdf5_itself_writes_the_same_bytes(tmp_path: Path) -> None:
    """The values never pass through the library; had they, the file would be the same."""
    arrays = some_arrays()
    write_shard(tmp_path / "a.h5", arrays, {"split": "train"})
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V110)
    access.set_alignment(65536, 4096)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    file = h5py.h5f.create(str(tmp_path / "b.h5").encode(), fapl=access)
    for name in sorted(arrays):
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_layout(h5py.h5d.CONTIGUOUS)
        create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        create.set_obj_track_times(False)
        space = h5py.h5s.create_simple(arrays[name].shape)
        dataset = h5py.h5d.create(file, name.encode(), h5py.h5t.py_create(arrays[name].dtype), space, create)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, arrays[name])
    with h5py.File(tmp_path / "a.h5") as written:
        header = np.array(written.attrs["fusionbench"])
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(file, b"fusionbench", h5py.h5t.py_create(header.dtype), space).write(header)
    file.close()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_neither_time_nor_order_nor_name_shows(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", some_arrays(), {"split": "train", "n": 1})
    time.sleep(1.1)  # HDF5's time stamps count seconds
    write_shard(tmp_path / "b.h5", dict(reversed(some_arrays().items())), {"n": 1, "split": "train"})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_plain_h5py_reads_it(tmp_path: Path) -> None:
    arrays = some_arrays()
    written = write_shard(tmp_path / "a.h5", arrays, {"split": "train"})
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file) == sorted(arrays)
        for name, array in arrays.items():
            assert np.array_equal(file[name][:], array) and file[name].dtype == array.dtype
            assert file[name].chunks is None
            if array.nbytes >= 65536:
                assert file[name].id.get_offset() % 4096 == 0
        header = json.loads(file.attrs["fusionbench"])
    assert header["content_sha256"] == written["content_sha256"] and header["split"] == "train"
    assert header["arrays"] == {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def test_the_content_digest_is_of_names_types_shapes_and_bytes() -> None:
    arrays = some_arrays(4)
    base = content_digest(arrays)
    flipped = {**arrays, "targets": arrays["targets"].copy()}
    flipped["targets"][3, 15, 15] ^= 1
    others = [
        flipped,
        {**arrays, "targets": arrays["targets"].reshape(4, 256)},
        {**arrays, "targets": arrays["targets"].astype(np.int16)},
        {("target" if name == "targets" else name): array for name, array in arrays.items()},
    ]
    digests = [content_digest(other) for other in others]
    assert len({base, *digests}) == 5
    big_endian = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in arrays.items()}
    strided = {name: np.asfortranarray(array) for name, array in arrays.items()}
    assert content_digest(big_endian) == content_digest(strided) == base
    assert content_digest(arrays, array_digests(arrays)) == base


def test_arrays_of_different_lengths_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one length"):
        write_shard(tmp_path / "a.h5", {"a": np.zeros(3), "b": np.zeros(4)}, {})


FULL_DISK = """
import resource, signal, sys, numpy as np
from fusionbench.data.shards.writer import write_shard
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_shard(sys.argv[1], {"views": np.ones((300, 3, 16, 16), np.uint8)}, {})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The file size limit of a child process stands for the full disk: writing fails in the middle."""
    path = tmp_path / "a.h5"
    write_shard(path, some_arrays(), {})
    before = path.read_bytes()
    run = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DataError") and "cannot write" in done.stdout
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.h5"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_shard(tmp_path / "file" / "a.h5", some_arrays(2), {})
