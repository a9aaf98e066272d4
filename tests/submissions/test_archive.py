"""Archives are written the same every time and read to the letter: what is not asked for is refused by its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import pytest

from fusionbench.core.errors import DataError
from fusionbench.submissions import archive
from fusionbench.submissions.archive import (
    META,
    archive_entry,
    extract,
    extract_all,
    inspect,
    member_names,
    write_record,
)
from tests.helpers.submissions import zipped

LIMITS = {META: 100, "data.bin": 1000}
PARTS = {META: b"{}", "data.bin": b"x" * 500}


class Note(msgspec.Struct):
    text: str
    about: str = "ä"


def told(path: Path, images: bool = False) -> list[str]:
    return [str(problem) for problem in inspect(path, LIMITS, images)]


def test_a_good_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PARTS)
    assert told(path) == [] and member_names(path) == list(PARTS)
    assert extract_all(path, LIMITS, tmp_path / "out") == []
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == PARTS


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as target:
            write_record(target, Note("x"))
            target.writestr(archive_entry("data.bin", zipfile.ZIP_STORED), b"1234")
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    with zipfile.ZipFile(tmp_path / "a.zip") as found:
        first, second = found.infolist()
        assert found.read(META).decode() == '{\n "about": "ä",\n "text": "x"\n}'
    assert first.date_time == second.date_time == (1980, 1, 1, 0, 0, 0)
    assert (first.compress_type, second.compress_type) == (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
    assert oct(first.external_attr >> 16) == "0o100644"


def test_names_of_what_is_no_archive(tmp_path: Path) -> None:
    assert member_names(tmp_path / "none.zip") == []
    (tmp_path / "a.zip").write_bytes(b"no zip at all")
    assert member_names(tmp_path / "a.zip") == []
    with pytest.raises(DataError, match=r"none.zip: no such submission"):
        inspect(tmp_path / "none.zip", LIMITS)


def test_what_is_missing_or_not_asked_for(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {META: b"{}", "other": b"x", "images/a.png": b"x"})
    assert [line.partition(";")[0] for line in told(path)] == [
        "other: only submission.json, data.bin may be in the archive",
        "images/a.png: only submission.json, data.bin may be in the archive",
        "data.bin: missing",
    ]
    assert [line.partition(":")[0] for line in told(path, images=True)] == ["other", "data.bin"]


def test_sizes_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(zipped(tmp_path / "a.zip", {META: b"x" * 100, "data.bin": b"x" * 1000})) == []
    (line,) = told(zipped(tmp_path / "b.zip", {META: b"x" * 101, "data.bin": b"x" * 1000}))
    assert line.startswith(f"{META}: larger than 100 bytes")
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1099)
    assert any("unpacks to more than" in line for line in told(tmp_path / "a.zip"))


def test_a_ratio_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {META: b"x" * 90, "data.bin": b"x" * 1000}, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as found:
        info = found.getinfo("data.bin")
    ratio = info.file_size / info.compress_size
    assert 10 < ratio < 100 and told(path) == []
    monkeypatch.setattr(archive, "MAX_RATIO", ratio * 0.999)
    (line,) = told(path)
    assert line.startswith("data.bin: shrinks by more than")


def test_extraction_ends_at_the_limit_and_leaves_nothing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PARTS)
    with zipfile.ZipFile(path) as found:
        assert extract(found, "data.bin", 500, tmp_path / "whole") == []
        (problem,) = extract(found, "data.bin", 499, tmp_path / "cut")
    assert (tmp_path / "whole").read_bytes() == PARTS["data.bin"]
    assert "unpacks to more than 499 bytes" in str(problem) and not (tmp_path / "cut").exists()


def test_a_damaged_member(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PARTS)
    content = bytearray(path.read_bytes())
    content[content.index(b"x" * 500)] ^= 1
    path.write_bytes(bytes(content))
    assert told(path) == [], "the checksum shows while it is unpacked"
    (problem,) = extract_all(path, LIMITS, tmp_path / "out")
    assert problem.file == "data.bin" and "Bad CRC-32" in problem.rule and not (tmp_path / "out" / "data.bin").exists()
