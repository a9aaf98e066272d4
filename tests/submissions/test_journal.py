"""A journal survives a kill between any two of its steps, and names of items never meet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusionbench.submissions import journal as module
from fusionbench.submissions.journal import Journal, file_item, item_key


def item_of(folder: Path, name: str, content: bytes = b"x") -> tuple[Path, Journal]:
    (folder / "working").mkdir(exist_ok=True)
    (folder / "done").mkdir(exist_ok=True)
    item = folder / "working" / name
    item.write_bytes(content)
    return item, Journal(folder / "working" / f".{item_key(name)}.journal")


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j")
    first.add("begun", begun=True)
    first.add("accepted: é\nx", state="done", result=Path("r"))
    again = Journal(tmp_path / "j")
    assert again.begun == 1 and again.end is not None
    assert (again.end.state, again.end.result, again.end.text) == ("done", "r", "accepted: é x")
    assert again.log == first.log and again.log.count(b"\n") == 2
    other = Journal(tmp_path / "k")
    other.add("begun", begun=True)
    assert other.events[0].text != first.events[0].text, "no two items have the same log"


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    Journal(tmp_path / "j").add("begun", begun=True)
    with open(tmp_path / "j", "ab") as stream:
        stream.write(b'{"time":"2')
    again = Journal(tmp_path / "j")
    assert again.begun == 1 and again.end is None


def test_words_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\x1b[2J")
    made = Journal(tmp_path / "j")
    made.add(f"x {name}")
    assert b" x \\xff\\x1b[2J (ticket " in made.log and Journal(tmp_path / "j").log == made.log


@pytest.mark.parametrize("step", ["log", "item"])
def test_filing_is_repeated_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    item, journal = item_of(tmp_path, "a.zip")
    journal.add("accepted", state="done")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "log":
            patch.setattr(module, "_claim", killed)
        else:
            patch.setattr(module.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            file_item(item, journal, tmp_path / "done")
    again = Journal(journal.path)
    assert file_item(item, again, tmp_path / "done") == (tmp_path / "done" / "a.zip", tmp_path / "done" / "a.log")
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["a.log", "a.zip"]
    assert not any((tmp_path / "working").iterdir())


def test_names_that_were_here_before(tmp_path: Path) -> None:
    found = []
    for number in range(4):
        item, journal = item_of(tmp_path, "a.zip", bytes([number]))
        journal.add(f"accepted {number}", state="done")
        found.append(file_item(item, journal, tmp_path / "done"))
    assert [place.name for place, _ in found] == ["a.zip", "a-2.zip", "a-3.zip", "a-4.zip"]
    for number, (place, log) in enumerate(found):
        assert place.read_bytes() == bytes([number]) and f" accepted {number} (ticket " in log.read_text()
    item, journal = item_of(tmp_path, "a.json")
    journal.add("another suffix", state="done")
    assert file_item(item, journal, tmp_path / "done")[1].name == "a-5.log", "logs never meet"


def test_a_log_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    item, journal = item_of(tmp_path, "a.zip")
    (tmp_path / "other").write_text("other")
    (tmp_path / "done" / "a.log").symlink_to(tmp_path / "other")
    journal.add("accepted", state="done")
    assert file_item(item, journal, tmp_path / "done")[0].name == "a-2.zip"
    assert (tmp_path / "other").read_text() == "other"


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "link", refused)
    for name in ("a.zip", "a-2.zip"):
        item, journal = item_of(tmp_path, "a.zip")
        journal.add(f"for {name}", state="done")
        place, log = file_item(item, journal, tmp_path / "done")
        assert place.name == name and f" for {name} (ticket " in log.read_text()


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("x" * 250 + ".zip", "x" * 40 + "-"),
        ("ü" * 120 + ".zip", "_" * 40 + "-"),
        (os.fsdecode(b"caf\xe9.zip"), "caf_-"),
        ("-rf\x1b[2J.zip", "-rf__2J-"),
        (".hidden.zip", "hidden-"),
        ("x." + "y" * 200, "x." + "y" * 38 + "-"),
    ],
)
def test_names_that_other_systems_do_not_take(tmp_path: Path, name: str, starts: str) -> None:
    item, journal = item_of(tmp_path, name)
    journal.add("accepted", state="done")
    place, log = file_item(item, journal, tmp_path / "done")
    assert place.name.startswith(starts) and place.name.isascii() and len(place.name) < 80
    assert place.read_bytes() == b"x" and log.name == f"{place.name.removesuffix('.zip')}.log"
