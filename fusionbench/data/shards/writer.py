"""Writes shards whose bytes depend on nothing but their content.

Time stamps, library defaults that moved between releases, chunking and codecs are the reasons why equal data make
unequal HDF5 files; none of them is left to chance here: explicit version bounds and alignment, contiguous data sets
in sorted order, allocated early, never filled, without times, and one fixed-length attribute of canonical JSON.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.io import atomic_write, canonical_json, digest
from fusionbench.data.shards.ragged import FLAT

FORMAT = "fusionbench.shard/1"
ATTRIBUTE = b"fusionbench"
MAX_HEADER = 60_000  # bytes; an HDF5 attribute in compact storage cannot be larger than 64 KiB
_THRESHOLD, _ALIGNMENT = 65536, 4096  # objects of 64 KiB and more start on a page


def array_digests(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Hex sha256 of the bytes (C order, little-endian) of every array, by name."""
    out = {}
    for name, array in arrays.items():
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        out[name] = hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest()
    return out


def content_digest(arrays: Mapping[str, np.ndarray], digests: Mapping[str, str] | None = None) -> str:
    """Hex sha256 over the sorted [name, type, shape, sha256 of bytes] of the arrays.

    It is the identity of a shard's data, whatever the container; the sha256 of the file is for transport.
    ``digests`` saves hashing the arrays again where :func:`array_digests` has done so.
    """
    digests = array_digests(arrays) if digests is None else digests
    rows = [[name, a.dtype.newbyteorder("<").str, list(a.shape), digests[name]] for name, a in sorted(arrays.items())]
    return digest(rows)


def write_shard(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``arrays`` (equal first lengths) atomically and return {arrays, bytes, content_sha256, file_sha256}.

    The flat ``pixels`` of pairs of different sizes (:mod:`fusionbench.data.shards.ragged`) have another length.

    Args:
        path: the shard, which is replaced in one step.
        arrays: name -> array of integers.
        header: facts that the shard carries; ``format``, ``content_sha256`` and ``arrays`` (their digests) are added.

    Raises:
        DataError: the folder cannot be written, the disk is full, or the header is too long; ``path`` is as it was.
    """
    path = Path(path)
    lengths = {len(array) for name, array in arrays.items() if name not in FLAT}
    if len(lengths) != 1:
        raise ValueError(f"arrays of a shard need one length, got {sorted(lengths)}")
    digests = array_digests(arrays)
    content = content_digest(arrays, digests)
    text = canonical_json({**header, "format": FORMAT, "content_sha256": content, "arrays": digests})
    if len(text) > MAX_HEADER:
        raise DataError(f"{path}: its header has {len(text)} bytes, {MAX_HEADER} are possible: lower shard_size")
    state, at = hashlib.sha256(), 0
    with atomic_write(path) as stream:
        for piece in _pieces(path.parent, arrays, text):
            stream.write(piece)
            state.update(piece)
            at += len(piece)
    return {"arrays": digests, "bytes": at, "content_sha256": content, "file_sha256": state.hexdigest()}


def _pieces(folder: Path, arrays: Mapping[str, np.ndarray], header: bytes) -> Iterator[bytes | memoryview]:
    """The bytes of the HDF5 file from start to end.

    The library lays the file out in a sparse scratch file (early allocation, no fill, no values), which gives all that
    is around the arrays; the values themselves go straight to the shard, hashed and copied once.
    """
    handle, scratch = tempfile.mkstemp(prefix=".layout.", suffix=".tmp", dir=folder)
    os.close(handle)  # Windows opens no file twice that removes itself
    try:
        offsets = _lay_out(scratch, arrays, header)
        size = max(os.path.getsize(scratch), *(offset + arrays[name].nbytes for name, offset in offsets.items()))
        at = 0
        with open(scratch, "rb") as frame:
            for name in sorted(offsets, key=offsets.__getitem__):
                frame.seek(at)
                yield frame.read(offsets[name] - at)
                array = arrays[name]
                yield np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
                at = offsets[name] + array.nbytes
            frame.seek(at)
            yield frame.read(size - at).ljust(size - at, b"\0")
    finally:
        with contextlib.suppress(OSError):
            os.unlink(scratch)


def _lay_out(path: str, arrays: Mapping[str, np.ndarray], header: bytes) -> dict[str, int]:
    """Make the HDF5 file without values at ``path``; returns where the values of each array belong."""
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V110)
    access.set_alignment(_THRESHOLD, _ALIGNMENT)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)  # closed even where something still refers to it
    file = h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fapl=access)
    offsets = {}
    try:
        for name in sorted(arrays):
            array = arrays[name]
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_layout(h5py.h5d.CONTIGUOUS)
            create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            create.set_obj_track_times(False)
            kind = h5py.h5t.py_create(array.dtype.newbyteorder("<"))
            dataset = h5py.h5d.create(file, name.encode(), kind, h5py.h5s.create_simple(array.shape), create)
            if array.size:
                offsets[name] = int(dataset.get_offset())
        text = np.array(header, f"S{len(header)}")
        scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        attribute = h5py.h5a.create(file, ATTRIBUTE, h5py.h5t.py_create(text.dtype), scalar)
        attribute.write(text)
        h5py.h5f.flush(file)
    except RuntimeError as error:  # how h5py reports a full disk
        raise OSError(errno.ENOSPC if f"errno = {errno.ENOSPC}" in str(error) else errno.EIO, str(error)) from error
    finally:
        with contextlib.suppress(RuntimeError):
            file.close()
    return offsets
