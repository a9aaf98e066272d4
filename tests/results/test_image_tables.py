"""The table beside a result: what is written reads back to the last bit, and nothing else is taken for it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.results import image_tables, schema
from fusionbench.results.image_tables import packed_path, read_table, table_bytes, table_content, table_path
from fusionbench.results.result_set import read_results
from tests.helpers.results import made_up, saved


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
    folder = made_up(tmp_path, ids=range(3))
    result = schema.load(folder)
    assert result.per_image is not None
    for content, said in (
        (b"id,other\n0,1\n", "columns .* are not those"),
        ((",".join(result.per_image.columns) + "\n0,1\n").encode(), "row 1 has 2 cells, the header 11"),
        (b"", "columns .* are not those"),
        (b"\xff", "utf-8"),
    ):
        (folder / "images.csv").write_bytes(content)
        result.per_image.sha256 = hashlib.sha256(content).hexdigest()
        with pytest.raises(DataError, match=rf"images\.csv: .*{said}"):
            read_table(result, folder / "result.json")


def replaced(folder: Path, content: bytes, *, packed: bool = False) -> None:
    """Another table with a fitting digest beside a result: what only its author can make."""
    result = schema.load(folder)
    assert result.per_image is not None
    result.per_image.sha256 = hashlib.sha256(content).hexdigest()
    (folder / "result.json").write_bytes(schema.result_bytes(result))
    if packed:
        (folder / "images.csv").unlink()
        (folder / "images.csv.gz").write_bytes(gzip.compress(content))
    else:
        (folder / "images.csv").write_bytes(content)


ROWS = b"".join(b"i%d,1\n" % number for number in range(3999))


@pytest.mark.parametrize(
    ("images", "content", "packed", "said"),
    [
        (4000, b"id,vif\n" + b"x" * 131_000 + b",1\n" + ROWS, False, "the id in row 1 has more than 1000 letters"),
        (4000, b"id,vif\n" + ROWS + b"1,1,1\n", False, "row 4000 has 3 cells, the header 2"),
        (40, b"id,vif\n" + ROWS, False, "has more rows than the 40 images of its identity"),
        (40, b"id,vif\n" + b"1,1\n" * 6_000_000, True, r"images\.csv\.gz: not one gzip stream of at most \d+ bytes"),
        (40, b"id,vif\n" + b"1,1\n" * 6_000_000, False, "24000007 bytes is too large for per-image table"),
        (4000, b"id,vif\n" + b"x" * 5_000_000, True, "has a line of more than 4194304 bytes"),
        (0, b"id,vif\n1,1\n", False, "has more rows than the 0 images"),
        (-1, b"id,vif\n", False, "has no rows"),
        (1 << 40, b"id,vif\n1,1\n", False, "1099511627776 images of 2 columns are more than are read"),
    ],
    ids=["wide id", "ragged", "rows", "bomb", "large", "line", "none", "negative", "stated"],
)
def test_a_table_that_takes_more_memory_than_its_result_says(
    images: int, content: bytes, packed: bool, said: str, tmp_path: Path
) -> None:
    saved(tmp_path, "other", {"vif": [0.5, 0.25]})
    replaced(folder := saved(tmp_path, "mine", {"vif": [0.5]}, dataset={"n": images}), content, packed=packed)
    del content
    tracemalloc.start()
    try:
        found = read_results([tmp_path])
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert [one.result.identity.model.name for one in found] == ["other"] and folder.exists()
    (aside,) = found.set_aside
    assert aside.model == "mine" and len(aside.reason) < 200
    with pytest.raises(DataError, match=said):
        read_results([folder])


def test_ids_are_together_no_larger_than_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy makes every text as wide as the longest."""
    folder = saved(tmp_path, "mine", {"vif": [0.5] * 4}, ids=["a", "b", "c", "d" * 200])
    assert schema.load_per_image(folder)["id"].tolist()[3] == "d" * 200
    monkeypatch.setattr(image_tables, "MAX_CELLS", 799)
    with pytest.raises(DataError, match="4 ids of up to 200 letters are more than are read; shorten them"):
        schema.load_per_image(folder)


def test_lines_and_letters_across_parts_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ['über, "alles"', "two\nlines", "ü" * 30, "01"]
    folder = saved(tmp_path, "mine", {"vif": [0.1, 0.2, 0.3, 1 / 3]}, ids=names)
    plain = schema.load_per_image(folder)
    assert plain["id"].tolist() == names
    for packed in (False, True):
        for size in (1, 2, 7, 50):
            monkeypatch.setattr(image_tables, "_CHUNK", size)
            table = schema.load_per_image(folder)
            assert table["id"].tolist() == names and table["vif"].tobytes() == plain["vif"].tobytes()
        if not packed:
            replaced(folder, (folder / "images.csv").read_bytes(), packed=True)
