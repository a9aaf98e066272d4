"""Opinions: read as people write them, and refused in one line where something is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError
from fusionbench.results.opinions import read_opinions


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "scores.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_one_opinion_a_cell_and_several_subjects(tmp_path: Path) -> None:
    plain = read_opinions(written(tmp_path, "image,method,score\r\n01,A,4\r\n\r\n01,B,2.5e0\r\n"))
    assert plain.mean == {("01", "A"): 4.0, ("01", "B"): 2.5} and (plain.count, plain.subjects) == (2, None)
    text = "\ufeffID, Method ,note,Subject,Score\nx,A,hm,1,4\nx,A,,2,3\nx,A,,3,5\nx,B,,1,1\n"
    many = read_opinions(written(tmp_path, text))
    assert many.mean == {("x", "A"): 4.0, ("x", "B"): 1.0} and (many.count, many.subjects) == (4, 3)
    assert many.sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("image,method\n1,A\n", "no column score"),
        ("1,A,4\n", "no column image"),
        ("image,method,score,score\n1,A,4,5\n", "two columns score"),
        ("image,method,score\n", "no opinion in it"),
        ("image,method,score\n1,A\n", "line 2: has 2 cells for 3 columns"),
        ("image,method,score\n1,A,nan\n", "line 2: the score 'nan'"),
        ("image,method,score\n1,A,\n", "line 2: the score ''"),
        ("image,method,score\n1,A,1e999\n", "no finite number"),
        ("image,method,score\n1,A,٤\n", "no finite number"),
        ("image,method,score\n1,A,4,4\n", "4 cells for 3"),
        ("image,method,score\n1,A,4\n\n1,A,5\n", "line 4: 1, A is there already, in line 2; a column subject"),
        ("image,method,subject,score\n1,A,s,4\n1,A,s,5\n", "one of a subject is enough"),
        ("image,method,score\n,A,4\n", "line 2, image: ''"),
        ("image,method,score\n1,\x1b[2J,4\n", "line 2, method"),
        ("image,method,score\n1," + "x" * 300 + ",4\n", "1 to 200 letters"),
        (b"image,method,score\n1,\xff,4\n", "not UTF-8"),
        (b"image,method,score\n1,A\0,4\n", "NUL"),
        ('image,method,score\n1,"' + "x" * 200_000 + '",4\n', "field larger"),
    ],
)
def test_hostile_tables_are_one_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_opinions(written(tmp_path, content))
    assert words in str(caught.value) and "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert "scores.csv" in str(caught.value) and len(str(caught.value)) < 400


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such"):
        read_opinions(tmp_path / "none.csv")
