"""The table beside a result, ``images.csv``: a row for each image, a column for each score, sha256 in the result."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.io import read_bounded
from fusionbench.results.clipping import clipped_mean
from fusionbench.results.input_means import complete, current_keys

if TYPE_CHECKING:
    from fusionbench.results.schema import Result, Score

MAX_TABLE = 1 << 30  # bytes, unpacked
MAX_IMAGES = 1 << 20  # rows that are read
MAX_CELLS = 1 << 25  # and cells; 100,000 images of 300 scores
MAX_NAME = 1000  # letters of an image's name; those of files have 255 at most
_CHUNK, _MAX_LINE = 1 << 20, 4 << 20


def table_bytes(table: Mapping[str, Any]) -> bytes:
    """The file's content: columns, the first of which is ``id``, as equally long sequences -> CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table)
    # repr of a Python float is the shortest text that reads back to the same float64
    writer.writerows(zip(*(np.asarray(column).tolist() for column in table.values()), strict=True))
    return buffer.getvalue().encode()


def read_table(result: Result, result_file: Path) -> dict[str, np.ndarray]:
    """The table of a result that was read from ``result_file``: column -> float64 (n,), and ``id`` as int64 or str.

    Everything else is as :func:`fusionbench.results.schema.load_per_image` says.

    Raises:
        DataError: none there, not the one that the result names, or with averages that are not those of its columns.
    """
    if result.per_image is None:
        raise DataError(f"{result_file}: this result has no per-image values")
    path = table_path(result, result_file)
    limit = _largest(result, path)
    stored = _stored(path, limit)
    sha256 = hashlib.sha256()
    for chunk in _chunks(stored, limit):
        sha256.update(chunk)
    if sha256.hexdigest() != result.per_image.sha256:
        raise DataError(f"{path}: sha256 differs from the one in result.json")
    try:
        table = current_keys(_columns(result, csv.reader(_lines(_chunks(stored, limit)))))
        complete(table, result.scores, result.identity.protocol.params)
        clipped_mean(table)  # refuses what is no share
    except (ValueError, csv.Error, DataError) as error:  # csv.Error: a cell of more than 128 KiB
        raise DataError(f"{path}: {error}") from error
    return table


def _largest(result: Result, path: Path) -> int:
    """How many bytes the table of a result may have, by the images of its identity and the columns that it names.

    A small packed file unpacks to as much as its author likes, and a row becomes ten times its bytes in memory: what
    is more than the result says is not read.
    """
    assert result.per_image is not None
    images, columns = result.identity.dataset.n, result.per_image.columns
    if images > MAX_IMAGES or images * len(columns) > MAX_CELLS:
        raise DataError(f"{path}: {images} images of {len(columns)} columns are more than are read; score fewer images")
    header = sum(4 * len(name) + 3 for name in columns)
    return min(MAX_TABLE, header + (max(images, 0) + 1) * (4 * MAX_NAME + 32 * len(columns)))


def _columns(result: Result, rows: Iterator[list[str]]) -> dict[str, np.ndarray]:
    """Columns of rows that are read one by one, no more of them than the result has images."""
    assert result.per_image is not None
    header = next(rows, [])
    if header != result.per_image.columns:
        raise DataError(f"columns {header} are not those of result.json")
    if "id" not in header or len({*header}) < len(header):
        raise DataError("needs one column id, and no column twice; score again")
    place_of_id, images = header.index("id"), result.identity.dataset.n
    ids: list[str] = []
    values = [array("d") for _ in header]
    for row in rows:
        if len(row) != len(header):
            raise DataError(f"row {len(ids) + 1} has {len(row)} cells, the header {len(header)}; score again")
        if len(ids) == images:
            raise DataError(f"has more rows than the {images} images of its identity; score again")
        if len(row[place_of_id]) > MAX_NAME:
            raise DataError(f"the id in row {len(ids) + 1} has more than {MAX_NAME} letters; rename the image")
        ids.append(row[place_of_id])
        for place, cell in enumerate(row):
            if place != place_of_id:
                values[place].append(float(cell))
    if not ids:
        raise DataError("has no rows; score again")
    if len({*ids}) < len(ids):
        raise DataError("an image stands in it twice; score again")
    if len(ids) * max(map(len, ids)) > MAX_CELLS:  # as text, all ids are as wide as the longest
        raise DataError(f"{len(ids)} ids of up to {max(map(len, ids))} letters are more than are read; shorten them")
    # names such as 01 are no numbers: they have to come back as they were written
    numeric = all(len(value) < 19 and value.isdecimal() and str(int(value)) == value for value in ids)
    named = np.array([int(value) for value in ids]) if numeric else np.array(ids)
    return {name: named if name == "id" else np.array(column) for name, column in zip(header, values, strict=True)}


def per_image(table: Mapping[str, np.ndarray], key: str, score: Score | None = None) -> np.ndarray | None:
    """Per-image values of a score key, float64 (n,), or None where the table does not tell.

    The averages over inputs are read, not computed. ``metric_bpd`` is ``metric`` (nats) over the number of values that
    ``score.extra["dims"]`` names, in bits.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.image_tables import per_image
        >>> table = {"nll@0": np.array([784.0, 392.0]), "nll@mean": np.array([700.0, 300.0])}
        >>> per_image(table, "nll@mean").tolist()
        [700.0, 300.0]
        >>> per_image(table, "mse_min@0") is None
        True
    """
    if key in table:
        return table[key]
    metric = key.partition("@")[0]
    if metric.endswith("_bpd") and score is not None and _is_count(dims := score.extra.get("dims")):
        nats = per_image(table, key.replace("_bpd@", "@", 1), score)
        return None if nats is None else nats / (dims * math.log(2))
    return None


def _is_count(dims: object) -> TypeGuard[int]:
    return type(dims) is int and 0 < dims < 1 << 53  # what a file says may be no number of values at all


def table_path(result: Result, result_file: Path) -> Path:
    """Where the table of a result lies; the file may carry ``.gz`` behind this name.

    Raises:
        DataError: the result names a file outside its folder.
    """
    assert result.per_image is not None
    if Path(result.per_image.file).name != result.per_image.file:
        raise DataError(f"{result_file}: per-image file {result.per_image.file!r} is outside the result's folder")
    return result_file.parent / result.per_image.file


def packed_path(path: Path) -> Path | None:
    """The gzip file that stands for the table ``path``; None where the table itself is there."""
    packed = path.with_name(f"{path.name}.gz")
    return None if path.is_file() or not packed.is_file() else packed


def table_content(path: Path) -> bytes:
    """The bytes of a table, unpacked where it is packed.

    Raises:
        DataError: missing, too large, or a damaged gzip file.
    """
    return b"".join(_chunks(_stored(path, MAX_TABLE), MAX_TABLE))


def _stored(path: Path, limit: int) -> tuple[bytes, Path | None]:
    """The bytes of a table as they are on disk, and the file that they are packed in, if so."""
    packed = packed_path(path)
    return read_bounded(packed or path, limit, "per-image table"), packed


def _chunks(stored: tuple[bytes, Path | None], limit: int) -> Iterator[bytes]:
    """The bytes of a table, at most ``limit``, a part at a time, unpacked where it is packed."""
    rest, packed = stored
    if packed is None:
        yield from (rest[start : start + _CHUNK] for start in range(0, len(rest), _CHUNK))
        return
    unpack, size = zlib.decompressobj(wbits=31), 0  # a gzip stream
    while not unpack.eof and size <= limit:
        try:
            chunk = unpack.decompress(rest, _CHUNK)
        except zlib.error as error:
            raise DataError(f"{packed}: damaged gzip file ({error}); score again") from error
        rest = unpack.unconsumed_tail
        size += len(chunk)
        if size <= limit:
            yield chunk
        if not chunk and not rest:
            break  # it ends before its end
    if size > limit or not unpack.eof or unpack.unused_data:
        raise DataError(f"{packed}: not one gzip stream of at most {limit} bytes; score again")


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode() + "\n"
        if len(rest) > _MAX_LINE:
            raise DataError(f"has a line of more than {_MAX_LINE} bytes; score again")
    if rest:
        yield rest.decode()
