"""The record of a folder of fused images: what it keeps, what it refuses, and what a killed process leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.fusing.record import (
    LOCK,
    RECORD,
    FusedLine,
    FusedSettings,
    only_fuser,
    open_record,
    read_record_of_fused,
)

A, B, C = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b", b"c"))


def settings(**changed: Any) -> FusedSettings:
    method = {"name": "average", "version": "1", "params": {}, "weights_sha256": A}
    usual = {"colour": "visible", "bits": None, "tile": "auto", "file": {"format": "png"}, "ranges": {}}
    return FusedSettings(**{"method": method, **usual, **changed})


def line(name: str, content: bytes, a: str = A, b: str = B) -> FusedLine:
    return FusedLine(name=name, sha256=hashlib.sha256(content).hexdigest(), a=a, b=b)


def test_images_that_it_knows_are_kept(tmp_path: Path) -> None:
    record = open_record(tmp_path, settings())
    record.add(line("x.png", b"fused"))
    assert not record.has(tmp_path / "x.png", A, B), "announced and not written: to be fused"
    (tmp_path / "x.png").write_bytes(b"fused")
    again = open_record(tmp_path, settings())
    assert again.has(tmp_path / "x.png", A, B)
    assert not again.has(tmp_path / "x.png", A, C), "of another source: to be fused again"
    (tmp_path / "x.png").write_bytes(b"edited")
    with pytest.raises(DataError, match=r"x\.png: is there and not from this command; .* --force"):
        again.has(tmp_path / "x.png", A, B)
    (tmp_path / "y.png").write_bytes(b"somebody's")
    with pytest.raises(DataError, match=r"y\.png: is there and not from this command"):
        again.has(tmp_path / "y.png", A, B)


def test_force_begins_again(tmp_path: Path) -> None:
    open_record(tmp_path, settings()).add(line("x.png", b"fused"))
    assert open_record(tmp_path, settings(colour="none"), force=True).lines == {}
    found, lines = read_record_of_fused(tmp_path / RECORD)
    assert (found.colour, lines) == ("none", [])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": {"name": "gtf", "version": "1", "params": {}, "weights_sha256": A}}, "method average, not gtf"),
        (
            {"method": {"name": "average", "version": "1", "params": {"x": 3}, "weights_sha256": A}},
            "params the default, not x=3",
        ),
        ({"method": {"name": "average", "version": "1", "params": {}, "weights_sha256": B}}, "other weights"),
        ({"method": {"name": "average", "version": "1", "params": {}, "code_sha256": B}}, "other code"),
        ({"colour": "none"}, "colour visible, not none"),
        ({"bits": 16}, "bits of the source, not 16"),
        ({"tile": 64}, "tile auto, not 64"),
        ({"ranges": {"a": "14bit"}}, "ranges the default, not a='14bit'"),
        ({"file": {"format": "jpeg", "quality": 90}}, "format png, not jpeg; quality of the source, not 90"),
    ],
)
def test_other_settings_are_refused_with_what_differs(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    open_record(tmp_path, settings())
    with pytest.raises(UsageError) as caught:
        open_record(tmp_path, settings(**changed))
    assert message in str(caught.value) and "--force" in str(caught.value) and "\n" not in str(caught.value)


def test_two_commands_do_not_fuse_into_one_folder(tmp_path: Path) -> None:
    second = only_fuser(tmp_path)
    with only_fuser(tmp_path), pytest.raises(UsageError, match="another command is fusing into it"):
        second.__enter__()
    with only_fuser(tmp_path):
        assert (tmp_path / LOCK).is_file()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = open_record(tmp_path, settings())
    record.add(line("x.png", b"fused"))

    def full(path: Path, text: str) -> None:
        with open(path, "a") as stream:
            stream.write(text[:20])
        raise DataError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("fusionbench.evaluation.fusing.record.append_text", full)
        with pytest.raises(DataError, match="No space"):
            record.add(line("y.png", b"fused"))
    record.add(line("z.png", b"fused"))
    assert [found.name for found in read_record_of_fused(tmp_path / RECORD)[1]] == ["x.png", "z.png"]


def test_a_message_does_not_repeat_a_forged_value(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"schema": "' + "x" * 100_000 + '"}\n')
    with pytest.raises(DataError, match="damaged") as caught:
        open_record(tmp_path, settings())
    assert len(str(caught.value)) < 600


def test_half_a_line_is_what_a_killed_process_leaves(tmp_path: Path) -> None:
    record = open_record(tmp_path, settings())
    record.add(line("x.png", b"x"))
    whole = record.path.read_bytes()
    record.path.write_bytes(whole + b'{"name":"y.p')
    again = open_record(tmp_path, settings())
    assert list(again.lines) == ["x.png"] and record.path.read_bytes() == whole
    again.add(line("y.png", b"y"))
    assert [found.name for found in read_record_of_fused(record.path)[1]] == ["x.png", "y.png"]
    record.path.write_bytes(whole[:20])  # killed as it began
    assert open_record(tmp_path, settings()).lines == {}


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON\n",
        b"[" * 50_000 + b"\n",
        b"\xff\n",
        b"{}\n",
        b'{"schema": "fusionbench.run/1"}\n',
    ],
)
def test_damaged_records_are_one_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / RECORD).write_bytes(text)
    with pytest.raises(DataError, match="damaged") as caught:
        open_record(tmp_path, settings())
    assert "\n" not in str(caught.value)


def test_bad_lines_and_newer_versions_are_refused(tmp_path: Path) -> None:
    first = msgspec.json.encode(settings())
    for bad in (
        {"name": "x"},
        {"name": "x", "sha256": "x", "a": A, "b": B},
        {"name": "x", "sha256": A, "a": A, "b": B, "n": 1},
    ):
        (tmp_path / RECORD).write_bytes(first + b"\n" + json.dumps(bad).encode() + b"\n")
        with pytest.raises(DataError, match="damaged"):
            open_record(tmp_path, settings())
    newer = json.loads(first) | {"schema": "fusionbench.fused/2"}
    (tmp_path / RECORD).write_bytes(json.dumps(newer).encode() + b"\n")
    with pytest.raises(DataError, match=r"is a fusionbench\.fused/2, .* newer fusionbench"):
        open_record(tmp_path, settings())
    with pytest.raises(DataError, match="no such record of fused images"):
        read_record_of_fused(tmp_path / "missing.jsonl")
