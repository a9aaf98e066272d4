"""Reads shards by memory map, after checking that the file is exactly what a shard may be.

An HDF5 file can point at other files (external storage, external links, virtual data sets) and can claim sizes that
it does not have. Everything that is not a plain, contiguous, hard-linked data set inside the file is refused before
any value is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.data.shards import ragged
from fusionbench.data.shards.writer import ATTRIBUTE, FORMAT, MAX_HEADER

if TYPE_CHECKING:
    import h5py

MAX_DATASETS = 16
_DTYPES = ("|u1", "<i2", "<i8")
_REMEDY = "it was not written by fusionbench; do not use it"


@dataclass(frozen=True)
class Shard:
    """An opened shard: its header and its arrays, memory-mapped and read-only."""

    path: Path
    header: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return next(len(array) for name, array in self.arrays.items() if name not in ragged.FLAT)


def open_shard(path: Path) -> Shard:
    """Check and map the shard at ``path``; nothing is read but its headers, and where pairs of own sizes lie.

    Raises:
        DataError: missing, truncated, or not a plain shard (hostile files included).
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            if stream.read(8) != b"\x89HDF\r\n\x1a\n":
                raise DataError(f"{path}: not an HDF5 file; {_REMEDY}")
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror}") from error
    try:
        header, layout = _inspect(path, size)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: damaged or truncated shard ({str(error)[:120]}); build it again") from error
    arrays = {}
    try:
        content = np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror}") from error
    for name, (dtype, shape, offset) in layout.items():
        if 0 in shape:
            arrays[name] = np.empty(shape, dtype)
        else:  # all of one map: each has a descriptor of the file, and a split may have a thousand shards
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            arrays[name] = content[offset : offset + size].view(dtype).reshape(shape)
    if set(ragged.FLAT) & arrays.keys() and (wrong := ragged.problem(arrays)) is not None:
        raise DataError(f"{path}: {wrong}; {_REMEDY}")
    return Shard(path, header, arrays)


def _inspect(path: Path, size: int) -> tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...], int]]]:
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    with h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, fapl=access)) as file:
        return read_layout(path, file, size)


def read_layout(
    path: Path, file: h5py.File, size: int
) -> tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...], int]]]:
    """The header of a shard of ``size`` bytes, and of each array its type, its shape and where its bytes begin.

    Raises:
        DataError: not a plain shard. Damage can raise what h5py raises, too.
    """
    header = _header(path, file)
    names = hard_linked(path, file)
    layout = {name: _layout(path, file, name, size) for name in names}
    lengths = {shape[0] for name, (_, shape, _) in layout.items() if name not in ragged.FLAT}
    if len(lengths) != 1:
        raise DataError(f"{path}: its data sets have different lengths {sorted(lengths)}; {_REMEDY}")
    return header, layout


def hard_linked(path: Path, file: h5py.File) -> list[str]:
    """Names of the objects at the top of ``file``, none of which is looked at.

    Raises:
        DataError: none or too many objects, or a link that leads to somewhere else.
    """
    import h5py

    if len(file) > MAX_DATASETS or not len(file):
        raise DataError(f"{path}: {len(file)} objects where 1 to {MAX_DATASETS} may be; {_REMEDY}")
    names = []
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: {name!r} is a link to somewhere else; {_REMEDY}")
        names.append(name)
    return names


def _layout(path: Path, file: h5py.File, name: str, size: int) -> tuple[str, tuple[int, ...], int]:
    import h5py

    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: {name!r} is not a data set; {_REMEDY}")
    plist = dataset.id.get_create_plist()
    if dataset.is_virtual or plist.get_external_count() or plist.get_layout() != h5py.h5d.CONTIGUOUS:
        raise DataError(f"{path}: {name!r} is virtual, external or chunked; {_REMEDY}")
    dtype = dataset.dtype.str
    shape = dataset.shape
    if dtype not in _DTYPES or shape is None or not 1 <= len(shape) <= 6:
        raise DataError(f"{path}: {name!r} has type {dtype} and shape {shape}; {_REMEDY}")
    count = 1
    for length in shape:  # Python integers: a lying size cannot overflow
        count *= int(length)
    offset = dataset.id.get_offset()
    if count and (offset is None or offset < 0 or offset + count * dataset.dtype.itemsize > size):
        raise DataError(f"{path}: {name!r} claims {count} values, the file has {size} bytes; build it again")
    return dtype, tuple(int(length) for length in shape), int(offset or 0)


def _header(path: Path, file: h5py.File) -> dict[str, Any]:
    import h5py

    if not h5py.h5a.exists(file.id, ATTRIBUTE):
        raise DataError(f"{path}: it has no fusionbench header; {_REMEDY}")
    attribute = h5py.h5a.open(file.id, ATTRIBUTE)
    kind = attribute.get_type()
    fixed = isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str()
    if not fixed or attribute.shape != () or not 0 < kind.get_size() <= MAX_HEADER:
        raise DataError(f"{path}: its fusionbench header is not a short text; {_REMEDY}")
    text = np.empty((), f"S{kind.get_size()}")
    attribute.read(text)
    try:
        header = json.loads(text.item())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its fusionbench header is not JSON; {_REMEDY}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path}: its header is not {FORMAT}; {_REMEDY}")
    return header
