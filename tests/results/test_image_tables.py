"""The table beside a result: what is written reads back to the last bit, and nothing else is taken for it."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.results import schema
from fusionbench.results.image_tables import packed_path, read_table, table_bytes, table_content, table_path
from tests.helpers.results import made_up


def test_content_is_plain_csv_with_every_bit(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1e-310, -0.0, 5e-324, 1 / 3]
    content = table_bytes({"id": ["a,b", 'say "x"', "01", "ü", "1"], "vif": np.array(values)})
    header, *rows = list(csv.reader(content.decode().splitlines()))
    assert header == ["id", "vif"] and [row[0] for row in rows] == ["a,b", 'say "x"', "01", "ü", "1"]
    assert [float(row[1]).hex() for row in rows] == [value.hex() for value in values]
    with pytest.raises(ValueError, match="shorter"):
        table_bytes({"id": [1, 2], "vif": [0.5]})


def test_a_table_is_found_beside_its_result_packed_or_not(tmp_path: Path) -> None:
    folder = made_up(tmp_path, ids=range(3))
    file, result = folder / "result.json", schema.load(folder)
    path = table_path(result, file)
    assert path == folder / "images.csv" and packed_path(path) is None
    plain, content = read_table(result, file), path.read_bytes()
    (folder / "images.csv.gz").write_bytes(gzip.compress(content))
    assert packed_path(path) is None, "the table itself counts where both are there"
    path.unlink()
    assert packed_path(path) == folder / "images.csv.gz" and table_content(path) == content
    assert all(np.array_equal(plain[key], values) for key, values in read_table(result, file).items())


@pytest.mark.parametrize("name", ["../images.csv", "/etc/passwd", "a/../images.csv", ""])
def test_a_table_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    folder = made_up(tmp_path, ids=range(3))
    result = schema.load(folder)
    assert result.per_image is not None
    result.per_image.file = name
    with pytest.raises(DataError, match=r"outside the result's folder|no such per-image table"):
        read_table(result, folder / "result.json")


def test_other_columns_and_ragged_rows_are_refused(tmp_path: Path) -> None:
    import hashlib

    folder = made_up(tmp_path, ids=range(3))
    result = schema.load(folder)
    assert result.per_image is not None
    for content, said in (
        (b"id,other\n0,1\n", "columns .* are not those"),
        ((",".join(result.per_image.columns) + "\n0,1\n").encode(), "shorter"),
        (b"", "columns .* are not those"),
        (b"\xff", "utf-8"),
    ):
        (folder / "images.csv").write_bytes(content)
        result.per_image.sha256 = hashlib.sha256(content).hexdigest()
        with pytest.raises(DataError, match=rf"images\.csv: .*{said}"):
            read_table(result, folder / "result.json")
