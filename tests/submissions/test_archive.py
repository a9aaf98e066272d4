"""Archives are written the same every time and read to the letter: what is not asked for is refused by its name."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

import msgspec
import pytest

from fusionbench.core.errors import DataError
from fusionbench.submissions import archive
from fusionbench.submissions.archive import (
    META,
    archive_entry,
    copy_private,
    extract,
    extract_all,
    inspect,
    member_names,
    open_regular,
    unpack,
    write_record,
)
from tests.helpers.submissions import zipped

LIMITS = {META: 100, "data.bin": 1000}
PARTS = {META: b"{}", "data.bin": b"x" * 500}


class Note(msgspec.Struct):
    text: str
    about: str = "ä"


def outside(folder: Path) -> list[Path]:
    """What an attack may have written: files beside those of the test."""
    return sorted(folder.rglob("*evil*"))


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


def evil(folder: Path) -> bytes:
    """An archive with a name that leaves the folder."""
    return zipped(folder / "hostile.bin", {**PARTS, "../../evil": b"evil"}).read_bytes()


def test_an_archive_that_is_exchanged_after_its_check(tmp_path: Path) -> None:
    """Both steps apart, as a caller might do them: names are checked again when files are extracted."""
    path = zipped(tmp_path / "a.zip", PARTS)
    assert told(path) == []
    path.write_bytes(evil(tmp_path))
    (tmp_path / "deep" / "out").mkdir(parents=True)
    problems = [str(problem) for problem in extract_all(path, LIMITS, tmp_path / "deep" / "out", images=False)]
    assert problems == ["../../evil: was not there when the archive was checked; send it again"]
    assert outside(tmp_path) == []


def test_an_archive_that_is_exchanged_between_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened is checked and extracted, whatever lies under its name by then."""
    path, hostile, real = zipped(tmp_path / "a.zip", PARTS), evil(tmp_path), archive.inspect

    def exchanging(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        (tmp_path / "new.bin").write_bytes(hostile)
        os.replace(tmp_path / "new.bin", path)
        return found

    monkeypatch.setattr(archive, "inspect", exchanging)
    assert unpack(path, LIMITS, False, tmp_path / "out") == []
    assert path.read_bytes() == hostile
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == PARTS


def test_a_race_of_two_archives(tmp_path: Path) -> None:
    """A thread exchanges the file as fast as it can; nothing is ever written outside the folder."""
    good, hostile = zipped(tmp_path / "good.zip", PARTS).read_bytes(), evil(tmp_path)
    path, over = tmp_path / "a.zip", threading.Event()
    path.write_bytes(good)

    def exchange() -> None:
        while not over.is_set():
            for content in (hostile, good):
                (tmp_path / "new.bin").write_bytes(content)
                os.replace(tmp_path / "new.bin", path)

    thread = threading.Thread(target=exchange)
    thread.start()
    ends = set()
    try:
        for number in range(300):
            private = tmp_path / "p" / str(number)
            (private / "in" / "out").mkdir(parents=True)
            problems = unpack(copy_private(path, private), LIMITS, False, private / "in" / "out")
            ends.add(problems[0].file if problems else "fine")
            found = {file.name for file in (private / "in" / "out").iterdir()}
            assert found == (set() if problems else set(PARTS))
    finally:
        over.set()
        thread.join()
    assert ends <= {"fine", "../../evil"} and "fine" in ends and outside(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="files of POSIX")
def test_neither_links_nor_pipes_are_opened(tmp_path: Path) -> None:
    real = zipped(tmp_path / "real.zip", PARTS)
    (tmp_path / "link.zip").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "folder.zip").mkdir()
    for name, message in (("link", "a link; name the file"), ("pipe", "not a regular"), ("folder", "not a regular")):
        path = tmp_path / f"{name}.zip"
        assert member_names(path) == []
        for call in (open_regular, lambda path: inspect(path, LIMITS), lambda path: copy_private(path, tmp_path)):
            with pytest.raises(DataError, match=message):
                call(path)
    with pytest.raises(DataError, match="no such submission"):
        open_regular(tmp_path / "a\0b")


def test_nothing_is_extracted_through_a_link_or_over_a_file(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {**PARTS, "images/a.png": b"png"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="cannot write"):
        unpack(path, LIMITS, True, tmp_path / "out")
    assert not any((tmp_path / "elsewhere").iterdir())
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / META).symlink_to(tmp_path / "victim")
    problems = unpack(path, LIMITS, True, tmp_path / "two")
    assert [problem.file for problem in problems] == [META] and (tmp_path / "victim").read_bytes() == b"victim"


def test_a_private_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").mkdir()
    for number, (name, copied) in enumerate(
        [("a.zip", "a.zip"), ("A.ZIP", "A.zip"), ("ü.zip", "submission.zip"), ("x" * 250 + ".zip", "submission.zip")]
    ):
        (tmp_path / name).write_bytes(b"content")
        (tmp_path / "p" / str(number)).mkdir()
        copy = copy_private(tmp_path / name, tmp_path / "p" / str(number))
        assert (copy.name, copy.read_bytes()) == (copied, b"content")
        assert os.name != "posix" or copy.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 3)
    assert copy_private(tmp_path / "a.zip", tmp_path / "p").stat().st_size == 4, "as much as is refused, and no more"
