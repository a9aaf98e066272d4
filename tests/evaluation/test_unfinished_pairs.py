"""The journal of degraded pairs: what it keeps, what it refuses, and who is told of an unfinished folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.unfinished_pairs import (
    JOURNAL,
    PairsToWrite,
    UnfinishedPairs,
    WrittenPair,
    has_begun,
    refuse_unfinished,
)

WANTED = PairsToWrite(
    folders={"shift/1 3": "shift-1/3", "haze/1 3": "haze-1/3"}, seed=1, ranges={}, sources_sha256="0" * 64
)


def written(folder: Path) -> WrittenPair:
    (folder / "a").mkdir(parents=True, exist_ok=True)
    (folder / "a" / "one.png").write_bytes(b"pixels")
    return WrittenPair(done="shift/1 3", stem="one", sample=7, sha256={"a": hashlib.sha256(b"pixels").hexdigest()})


def test_what_is_written_is_known_as_long_as_its_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "shift-1" / "3"
    one = written(folder)
    begun = UnfinishedPairs.begin(tmp_path, WANTED)
    begun.add(one)
    with open(tmp_path / JOURNAL, "a", encoding="utf-8") as stream:
        stream.write('{"done":"haze/1 3","st')  # what a killed process leaves
    again = UnfinishedPairs.begin(tmp_path, WANTED)
    assert again.find("shift/1 3", "one", folder) == one and again.find("haze/1 3", "one", folder) is None
    assert one.entry == {"stem": "one", "sample": 7, "sha256": one.sha256}
    assert (tmp_path / JOURNAL).read_bytes().count(b"\n") == 2 and (tmp_path / JOURNAL).read_bytes().endswith(b"\n")
    (folder / "a" / "one.png").write_bytes(b"")  # and a power cut
    assert again.find("shift/1 3", "one", folder) is None
    (folder / "a" / "one.png").unlink()
    assert again.find("shift/1 3", "one", folder) is None
    assert UnfinishedPairs.begin(tmp_path, WANTED, force=True).written == {}
    again.finish()
    again.finish()
    assert not (tmp_path / JOURNAL).exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"folders": {"shift/1 3": "."}}, r"haze/1 3, shift/1 3, not shift/1 3"),
        ({"seed": 2}, "seed 1, not 2"),
        ({"ranges": {"a": "14bit"}}, "other ranges"),
        ({"sources_sha256": "1" * 64}, "other clean pairs"),
        ({"fusionbench": "9.9.9"}, r"of fusionbench .*, not 9\.9\.9"),
    ],
)
def test_another_command_is_refused_in_one_line(tmp_path: Path, change: dict[str, object], text: str) -> None:
    UnfinishedPairs.begin(tmp_path, WANTED)
    before = (tmp_path / JOURNAL).read_bytes()
    other = msgspec.structs.replace(WANTED, **change)
    with pytest.raises(
        UsageError, match=rf"other degraded pairs are unfinished there \({text}\); give their"
    ) as caught:
        UnfinishedPairs.begin(tmp_path, other)
    assert "\n" not in str(caught.value) and (tmp_path / JOURNAL).read_bytes() == before
    assert UnfinishedPairs.begin(tmp_path, other, force=True).wanted == other
    UnfinishedPairs.begin(tmp_path, other)


@pytest.mark.parametrize("content", [b"{}\n", b"[" * 100_000 + b"\n", b"\xff\xfe\n", b'{"seed": 1e999}\n'])
def test_a_damaged_journal_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(DataError, match=rf"{JOURNAL}: damaged: .*--force") as caught:
        UnfinishedPairs.begin(tmp_path, WANTED)
    assert "\n" not in str(caught.value)
    (tmp_path / "shift-1" / "3" / "a").mkdir(parents=True)
    refuse_unfinished(tmp_path / "shift-1" / "3" / "a")  # nothing is known of it


def test_a_side_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    UnfinishedPairs.begin(tmp_path, WANTED)
    line = {"done": "shift/1 3", "stem": "x", "sample": 1, "sha256": {"../../x": "0" * 64}}
    with open(tmp_path / JOURNAL, "ab") as stream:
        stream.write(msgspec.json.encode(line) + b"\n")
    with pytest.raises(DataError, match="damaged"):
        UnfinishedPairs.begin(tmp_path, WANTED)


def test_who_reads_unfinished_pairs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = UnfinishedPairs.begin(tmp_path, WANTED)
    for place in ("shift-1/3/a", "haze-1/3/b"):
        with pytest.raises(DataError, match="its degraded pairs are unfinished"):
            refuse_unfinished(tmp_path / place)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^shift-1/3/a: its degraded pairs are unfinished"):
        refuse_unfinished(Path("ir"), Path("shift-1/3/a"))
    refuse_unfinished(Path("a"), tmp_path / "b", tmp_path / "rain-1" / "3" / "a", tmp_path / "shift-1" / "3" / "field")
    begun.finish()
    refuse_unfinished(tmp_path / "shift-1" / "3" / "a")


def test_a_folder_has_begun_where_it_is_empty_or_has_a_journal(tmp_path: Path) -> None:
    assert has_begun(tmp_path)
    (tmp_path / f".{JOURNAL}.x1.tmp").touch()  # of a process that was killed while it began
    assert has_begun(tmp_path)
    (tmp_path / "mine.txt").touch()
    assert not has_begun(tmp_path)
    UnfinishedPairs.begin(tmp_path, WANTED)
    assert has_begun(tmp_path)
