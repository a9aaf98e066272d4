"""The table beside a result, ``images.csv``: a row for each image, a column for each score, sha256 in the result."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zlib
from collections.abc import Mapping
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
    content = table_content(path)
    if hashlib.sha256(content).hexdigest() != result.per_image.sha256:
        raise DataError(f"{path}: sha256 differs from the one in result.json")
    table: dict[str, np.ndarray] = {}
    try:
        rows = list(csv.reader(io.StringIO(content.decode())))
        header, body = (rows or [[]])[0], rows[1:]
        if header != result.per_image.columns:
            raise DataError(f"columns {header} are not those of result.json")
        if "id" not in header or len({*header}) < len(header):
            raise DataError("needs one column id, and no column twice; score again")
        if not body:
            raise DataError("has no rows; score again")
        for name, column in zip(header, zip(*body, strict=True), strict=True):
            if name == "id":
                # names such as 01 are no numbers: they have to come back as they were written
                numeric = all(len(value) < 19 and value.isdecimal() and str(int(value)) == value for value in column)
                table[name] = np.array([int(value) for value in column]) if numeric else np.array(column)
                if len({*column}) < len(column):
                    raise DataError("an image stands in it twice; score again")
            else:
                table[name] = np.array([float(value) for value in column])
        table = current_keys(table)
        complete(table, result.scores, result.identity.protocol.params)
        clipped_mean(table)  # refuses what is no share
    except (ValueError, csv.Error, DataError) as error:  # csv.Error: a cell of more than 128 KiB
        raise DataError(f"{path}: {error}") from error
    return table


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
    packed = packed_path(path)
    if packed is None:
        return read_bounded(path, MAX_TABLE, "per-image table")
    unpack = zlib.decompressobj(wbits=31)  # a gzip stream
    try:
        content = unpack.decompress(read_bounded(packed, MAX_TABLE, "per-image table"), MAX_TABLE)
    except zlib.error as error:
        raise DataError(f"{packed}: damaged gzip file ({error}); score again") from error
    if unpack.unconsumed_tail or not unpack.eof or unpack.unused_data:
        raise DataError(f"{packed}: not one gzip stream of at most {MAX_TABLE >> 20} MiB; score again")
    return content
