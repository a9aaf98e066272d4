"""Bytes on disk: either the old file or the new one, whatever happens in between."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core import io as files
from fusionbench.core.errors import DataError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=20), VALUES, max_size=5))
def test_canonical_json_ignores_order_and_reads_back(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert files.canonical_json(value) == files.canonical_json(turned)
    assert json.loads(files.canonical_json(value)) == value
    assert files.digest(value) == files.digest(turned)


def test_canonical_json_is_pinned() -> None:
    assert files.canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'.encode()
    assert files.digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of "{}"
    with pytest.raises(ValueError):
        files.canonical_json({"x": math.nan})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError), files.atomic_write(path) as stream:
        stream.write(b"half of the new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device; free some space") as caught:
        files.write_bytes(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_can_be_made_again_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    files.write_bytes(tmp_path / "page", b"a", durable=False)
    assert (tmp_path / "page").read_bytes() == b"a" and not waits
    files.write_bytes(tmp_path / "result", b"b")
    assert len(waits) == 1


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_bounded(path, 5, "note") == b"12345"
    with pytest.raises(DataError, match=r"5 bytes is too large for note \(limit 4\)"):
        files.read_bounded(path, 4, "note")
    with pytest.raises(DataError, match="no such note"):
        files.read_bounded(tmp_path, 5, "note")
    with pytest.raises(DataError, match="no such note"):
        files.read_bounded("/dev/zero", 5, "note")


def test_shipped_folders() -> None:
    assert list(files.shipped_folder("datasets_recipes").glob("*.toml"))


def test_names_that_are_not_utf8_have_one_escape(tmp_path: Path) -> None:
    """What is escaped is what ``bytes`` cannot be decoded to; all else stays, whatever its script."""
    for name in (b"plain", "Ü 日本 e\u0301 👩‍🚀".encode(), b"a\xffb\x80", b"\xc3", b"\\xff"):
        assert files.utf8(os.fsdecode(name)) == name.decode("utf-8", "backslashreplace")
    assert files.utf8("\ud812") == "\\ud812"  # no byte of a name, but some program's idea of one
    assert files.utf8("two\nlines") == "two\nlines" and files.escaped("two\nlines\x1b[2J\u202e") == (
        "two\\x0alines\\x1b[2J\\u202e"
    )
    found = files.utf8_names({os.fsdecode(b"\xff"): tmp_path / "one", "x": tmp_path / "two"})
    assert found == {"\\xff": tmp_path / "one", "x": tmp_path / "two"}
    with pytest.raises(DataError, match="two files are called"):
        files.utf8_names({os.fsdecode(b"\xff"): tmp_path / "one", "\\xff": tmp_path / "two"})


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    files.write_bytes(path, b"content")
    assert path.read_bytes() == b"content" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DataError, match="cannot write"):
        files.write_bytes(tmp_path / ("x" * 256), b"")
    with pytest.raises(DataError, match="cannot write"):
        files.write_bytes(tmp_path / "nul\0", b"")


def test_appending(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    files.append_text(path, "one\n")
    files.append_text(path, "\ud8ff two\n")
    assert path.read_text() == "one\n\\ud8ff two\n"
    with pytest.raises(DataError, match=r"summary\.md/x: cannot write: Not a directory; check the folder"):
        files.append_text(path / "x", "")
