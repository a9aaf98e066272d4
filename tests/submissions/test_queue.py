"""The queue: every item ends in one place with a log, whatever the workers do."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError, MeasurementError, Rejected, UsageError
from fusionbench.core.locks import lock
from fusionbench.submissions import queue as queue_module
from fusionbench.submissions.journal import Journal, item_key
from fusionbench.submissions.queue import MAX_BEGUN, hidden_items, retry, serve


def put(queue: Path, name: str, content: bytes = b"zip") -> None:
    (queue / "incoming").mkdir(parents=True, exist_ok=True)
    (queue / "incoming" / name).write_bytes(content)


def handle(path: Path) -> Path:
    if path.read_bytes() == b"bad":
        raise Rejected(f"{path}: no good")
    return Path("results") / path.stem


def state(queue: Path) -> dict[str, list[str]]:
    return {
        folder: sorted(path.name for path in (queue / folder).iterdir() if not path.name.startswith("."))
        for folder in ("incoming", "working", "done", "rejected", "failed")
    }


def test_accepted_and_rejected(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")
    put(tmp_path, "b.zip", b"bad")
    put(tmp_path, "readme.txt")
    first, second, third = serve(tmp_path, handle)
    assert first.result == Path("results/a") and second.result is None
    assert [end.state for end in (first, second, third)] == ["done", "rejected", "failed"]
    assert state(tmp_path) == {
        "incoming": [],
        "working": [],
        "done": ["a.log", "a.zip"],
        "rejected": ["b.log", "b.zip"],
        "failed": ["readme.log", "readme.txt"],
    }
    assert (
        third.log is not None and "no submission ends in '.txt'; the queue takes .json, .zip" in third.log.read_text()
    )
    assert "accepted: results/a" in first.log.read_text() and "no good" in second.log.read_text()
    assert serve(tmp_path, handle) == []


def test_a_name_that_was_here_before(tmp_path: Path) -> None:
    put(tmp_path, "a.zip", b"one")
    serve(tmp_path, handle)
    for content in (b"two", b"three", b"three"):
        put(tmp_path, "a.zip", content)
        serve(tmp_path, handle)
    done = tmp_path / "done"
    assert state(tmp_path)["done"] == sorted(
        f"a{end}.{kind}" for end in ("", "-2", "-3", "-4") for kind in ("log", "zip")
    )
    for name, content in (("a", b"one"), ("a-2", b"two"), ("a-3", b"three"), ("a-4", b"three")):
        assert (done / f"{name}.zip").read_bytes() == content
        assert hashlib.sha256(content).hexdigest() in (done / f"{name}.log").read_text(), "no log was replaced"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ZeroDivisionError("x"), "internal error: ZeroDivisionError: x"),
        (OSError(28, "No space left on device"), "internal error: OSError: [Errno 28] No space left on device"),
        (MemoryError(), "internal error: MemoryError"),
        (DataError("data: gone"), "failed, which is not known to be the submission's fault: data: gone"),
        (MeasurementError("no process"), "not known to be the submission's fault: no process"),
        (RecursionError("deep \udcff"), "internal error: RecursionError: deep \\xff"),
    ],
)
def test_our_own_error_sets_one_item_aside(tmp_path: Path, error: Exception, text: str) -> None:
    for name in ("a.zip", "b.zip"):
        put(tmp_path, name)

    def broken(path: Path) -> Path:
        if path.name == "a.zip":
            raise error
        return path

    first, second = serve(tmp_path, broken)
    assert (first.state, second.state) == ("failed", "done"), "the rest goes on"
    assert first.item == tmp_path / "failed" / "a.zip" and first.log is not None and text in first.log.read_text()
    assert retry(tmp_path) == [tmp_path / "incoming" / "a.zip"] and state(tmp_path)["failed"] == ["a.log"]
    (again,) = serve(tmp_path, handle)
    assert again.item == tmp_path / "done" / "a.zip"


def test_an_interrupt_loses_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")

    def interrupted(path: Path) -> Path:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(tmp_path, interrupted)
    assert state(tmp_path)["incoming"] == ["a.zip"] and not any((tmp_path / "working").iterdir())


def test_what_lacks_settings_waits(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")

    def unset(path: Path) -> Path:
        raise UsageError("name the suite")

    (end,) = serve(tmp_path, unset)
    assert (end.state, end.log, end.message) == ("waits", None, "waits: name the suite")
    assert state(tmp_path)["incoming"] == ["a.zip"] and not any((tmp_path / "working").iterdir())
    assert serve(tmp_path, handle)[0].state == "done"


NAMES = ["x" * 250 + ".zip", os.fsdecode(b"\xff\xfe.zip"), "a b\nc.zip", "-rf.zip", "A.ZIP", "ü" * 124 + ".zip"]


@pytest.mark.skipif(os.name != "posix", reason="names of POSIX")
@pytest.mark.parametrize("name", NAMES)
def test_no_name_stops_the_queue(tmp_path: Path, name: str) -> None:
    """Each was first in the order of names, and nothing after it was handled."""
    put(tmp_path, name)
    put(tmp_path, "zz.zip")
    ends = serve(tmp_path, handle)
    assert sorted(end.state for end in ends) == ["done", "done"] and state(tmp_path)["incoming"] == []
    for end in ends:
        assert end.log is not None and end.log.read_text().isprintable() is False and end.item.name.isprintable()
    assert any(repr(name).replace("\\", "") in log.replace("\\", "") for log in texts(tmp_path / "done"))
    assert not any((tmp_path / "working").iterdir())


def test_hidden_files_wait_and_are_named(tmp_path: Path) -> None:
    put(tmp_path, ".b.zip")
    put(tmp_path, "a.zip")
    assert [end.item.name for end in serve(tmp_path, handle)] == ["a.zip"]
    assert hidden_items(tmp_path) == [".b.zip"] and (tmp_path / "incoming" / ".b.zip").is_file()


def texts(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("*.log")]


@pytest.mark.skipif(os.name != "posix", reason="files of POSIX")
def test_whatever_is_no_file_is_set_aside(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    put(tmp_path, "zz.zip")
    (tmp_path / "secret.zip").write_bytes(b"secret")
    (incoming / "link.zip").symlink_to(tmp_path / "secret.zip")
    (incoming / "dangling.zip").symlink_to(tmp_path / "none")
    (incoming / "folder.zip").mkdir()
    (incoming / "folder.zip" / "inner").touch()
    (incoming / "plain").mkdir()
    os.mkfifo(incoming / "pipe.zip")
    (incoming / "b.tar.gz").write_bytes(b"x")
    (incoming / "none").write_bytes(b"x")
    socket.socket(socket.AF_UNIX).bind(str(incoming / "s.zip"))
    handled: list[str] = []

    def counting(path: Path) -> Path:
        handled.append(path.name)
        return path

    ends = {end.item.name: end for end in serve(tmp_path, counting)}
    assert handled == ["zz.zip"] and state(tmp_path)["incoming"] == [] and state(tmp_path)["working"] == []
    told = {
        "link.zip": "a link",
        "dangling.zip": "a link",
        "folder.zip": "a folder",
        "plain": "a folder",
        "pipe.zip": "a pipe",
        "s.zip": "a socket",
        "b.tar.gz": "no submission ends in '.gz'",
        "none": "no submission ends in ''",
    }
    for name, text in told.items():
        end = ends[name]
        assert end.state == "failed" and end.log is not None and text in end.log.read_text(), name
    assert (tmp_path / "secret.zip").read_bytes() == b"secret" and (tmp_path / "failed" / "link.zip").is_symlink()
    assert retry(tmp_path) == [tmp_path / "incoming" / name for name in ("b.tar.gz", "none")], "files alone"


def test_what_is_still_being_written_waits(tmp_path: Path) -> None:
    for name in (".a.zip.Xy12", "a.zip.part", "b.tmp"):
        put(tmp_path, name)
    assert serve(tmp_path, handle) == [] and state(tmp_path)["incoming"] == ["a.zip.part", "b.tmp"]


def test_an_item_with_which_workers_end_is_set_aside(tmp_path: Path) -> None:
    """As after a kill: the item lies in ``working`` with what its journal says."""
    put(tmp_path, "a.zip")
    serve(tmp_path, handle)
    (tmp_path / "done" / "a.zip").rename(tmp_path / "working" / "a.zip")
    journal = Journal(tmp_path / "working" / f".{item_key('a.zip')}.journal")
    for _ in range(MAX_BEGUN):
        journal.add("begun", begun=True)
    (end,) = serve(tmp_path, handle)
    assert end.state == "failed" and f"{MAX_BEGUN} workers ended before they were done with it" in end.message


def test_a_worker_that_was_killed_while_it_filed(tmp_path: Path) -> None:
    """It is not scored a second time."""
    put(tmp_path, "a.zip")
    serve(tmp_path, handle)
    (tmp_path / "done" / "a.zip").rename(tmp_path / "working" / "a.zip")
    (tmp_path / "done" / "a.log").unlink()
    journal = Journal(tmp_path / "working" / f".{item_key('a.zip')}.journal")
    journal.add("accepted: results/a", state="done", result=Path("results/a"))

    def never(path: Path) -> Path:
        raise AssertionError

    (end,) = serve(tmp_path, never)
    assert end.item == tmp_path / "done" / "a.zip" and end.result == Path("results/a")
    assert state(tmp_path)["done"] == ["a.log", "a.zip"] and not any((tmp_path / "working").iterdir())


def test_locks_are_removed(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")
    (tmp_path / "working").mkdir()
    (tmp_path / "working" / ".old.zip.lock").touch()
    serve(tmp_path, handle)
    assert not any((tmp_path / "working").iterdir())


def test_files_of_the_queue_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.zip", "b.zip"):
        put(tmp_path, name)
    real = queue_module.file_item

    def full(item: Path, *rest: object) -> object:
        if item.name == "a.zip":
            raise OSError(28, "No space left on device")
        return real(item, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(queue_module, "file_item", full)
        first, second = serve(tmp_path, handle)
    assert (first.state, second.state) == ("error", "done") and "No space left" in first.message
    assert [end.item for end in serve(tmp_path, handle)] == [tmp_path / "done" / "a.zip"], "filed once there is room"


def test_notes_are_in_every_log(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")
    (end,) = serve(tmp_path, handle, notes=["not limited by this system: network"])
    assert end.log is not None and "not limited by this system: network" in end.log.read_text()


def _work_until_killed(queue: Path, started: Any) -> None:
    def forever(path: Path) -> Path:
        started.set()
        time.sleep(600)
        raise AssertionError

    serve(queue, forever)


def test_a_killed_worker(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    worker = context.Process(target=_work_until_killed, args=(tmp_path, started))
    worker.start()
    assert started.wait(60)
    assert serve(tmp_path, handle) == [], "another worker has it"
    assert state(tmp_path)["working"] == ["a.zip"]
    worker.kill()
    worker.join(30)
    (handled,) = serve(tmp_path, handle)
    assert handled.item == tmp_path / "done" / "a.zip" and "taken up again" in handled.log.read_text()


def _work(queue: Path, counted: Any) -> None:
    def count(path: Path) -> Path:
        with counted.get_lock():
            counted.value += 1
        return path

    for _ in range(20):
        serve(queue, count)


def test_several_workers_handle_each_item_once(tmp_path: Path) -> None:
    for number in range(30):
        put(tmp_path, f"{number:02d}.zip")
    context = multiprocessing.get_context("spawn")
    counted = context.Value("i", 0)
    workers = [context.Process(target=_work, args=(tmp_path, counted)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert counted.value == 30 and len(state(tmp_path)["done"]) == 60


def test_a_locked_item_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")
    with lock(tmp_path / "working" / f".{item_key('a.zip')}.lock"):
        assert serve(tmp_path, handle) == []
    assert len(serve(tmp_path, handle)) == 1


def test_only_files_of_these_suffixes_are_taken_up(tmp_path: Path) -> None:
    for name in ("a.zip", "b.json"):
        put(tmp_path, name)
    assert [handled.item.name for handled in serve(tmp_path, handle, (".json",))] == ["b.json"]
    assert state(tmp_path)["incoming"] == ["a.zip"], "another worker takes it"
    assert [handled.item.name for handled in serve(tmp_path, handle)] == ["a.zip"], "those of every kind"
