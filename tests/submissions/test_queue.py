"""The queue: every item ends in one place with a log, whatever the workers do."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import Rejected
from fusionbench.core.locks import lock
from fusionbench.submissions.queue import serve


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
        for folder in ("incoming", "working", "done", "rejected")
    }


def test_accepted_and_rejected(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")
    put(tmp_path, "b.zip", b"bad")
    put(tmp_path, "readme.txt")
    first, second = serve(tmp_path, handle)
    assert first.result == Path("results/a") and second.result is None
    assert state(tmp_path) == {
        "incoming": ["readme.txt"],
        "working": [],
        "done": ["a.log", "a.zip"],
        "rejected": ["b.log", "b.zip"],
    }
    assert "accepted: results/a" in first.log.read_text() and "no good" in second.log.read_text()
    assert serve(tmp_path, handle) == []


def test_a_name_that_was_here_before(tmp_path: Path) -> None:
    put(tmp_path, "a.zip", b"one")
    serve(tmp_path, handle)
    put(tmp_path, "a.zip", b"two")
    serve(tmp_path, handle)
    assert len(state(tmp_path)["done"]) == 4 and (tmp_path / "done" / "a.zip").read_bytes() == b"one"


def test_our_own_error_loses_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.zip")

    def broken(path: Path) -> Path:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve(tmp_path, broken)
    assert state(tmp_path)["incoming"] == ["a.zip"]


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
    with lock(tmp_path / "working" / ".a.zip.lock"):
        assert serve(tmp_path, handle) == []
    assert len(serve(tmp_path, handle)) == 1


def test_only_files_of_these_suffixes_are_taken_up(tmp_path: Path) -> None:
    for name in ("a.zip", "b.json", "c.txt"):
        put(tmp_path, name)
    assert [handled.item.name for handled in serve(tmp_path, handle, (".json",))] == ["b.json"]
    assert [handled.item.name for handled in serve(tmp_path, handle)] == ["a.zip"], "those of every kind"
    assert state(tmp_path)["incoming"] == ["c.txt"]
