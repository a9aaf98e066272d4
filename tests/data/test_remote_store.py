"""What a web server can do wrong, each as one line, within bounds. Oracle: the files that it serves."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data import remote_store
from fusionbench.data.remote_store import ATTEMPTS, Store, StoreError, read_failure
from tests.helpers.web import Web, serve

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
CONTENT = os.urandom(3 << 20)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(remote_store, "DELAY", 0)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.h5").write_bytes(CONTENT)
    with serve(tmp_path) as web:
        yield web


@pytest.fixture
def store(web: Web) -> Store:
    return Store(f"{web.url}/a")


def test_a_file_arrives_whole_and_checked(store: Store, tmp_path: Path) -> None:
    store.fetch("x.h5", tmp_path / "y", len(CONTENT), SHA)
    assert (tmp_path / "y").read_bytes() == CONTENT == store.read("x.h5", len(CONTENT))
    store.check("x.h5", len(CONTENT), SHA)


@pytest.mark.parametrize("start,stop", [(0, 1), (17, 4000), (len(CONTENT) - 1, len(CONTENT)), (0, len(CONTENT))])
def test_ranges(store: Store, web: Web, start: int, stop: int) -> None:
    assert store.read_range("x.h5", start, stop) == CONTENT[start:stop]
    assert web.sent == stop - start


FAULTS: dict[str, tuple[list[int | str], str]] = {
    "404": ([404], "not found"),
    "403": ([403], "access denied (403)"),
    "401": ([401], "access denied (401)"),
    "500": ([500] * ATTEMPTS, "the server answers 500"),
    "429": ([429] * ATTEMPTS, "the server answers 429"),
    "418": ([418], "the server answers 418"),
    "cut": (["cut"] * ATTEMPTS, "the connection was cut before all bytes had arrived"),
    "other bytes": (["other"], "its sha256 is not that of the manifest"),
    "more bytes": (["longer"], "more than the 3,145,728 bytes that the manifest says"),
    "a redirect to a file": (["to file:///etc/passwd"], "the server redirects to something that is not followed"),
    "redirects in a circle": (["to /a/x.h5"] * 20, "the server redirects to something that is not followed"),
}


@pytest.mark.parametrize("faults,reason", FAULTS.values(), ids=FAULTS)
def test_a_failure_is_one_line_and_leaves_nothing(
    faults: list[int | str], reason: str, store: Store, web: Web, tmp_path: Path
) -> None:
    web.faults["x.h5"] = list(faults)
    with pytest.raises(DataError) as caught:
        store.fetch("x.h5", tmp_path / "y" / "z", len(CONTENT), SHA)
    assert str(caught.value).startswith(f"{web.url}/a/x.h5: {reason}") and "\n" not in str(caught.value)
    assert not list((tmp_path / "y").iterdir())
    assert getattr(caught.value, "missing", False) == (reason == "not found")


def test_what_may_pass_is_tried_again(store: Store, web: Web, tmp_path: Path) -> None:
    web.faults["x.h5"] = [503, "cut", 502]
    store.fetch("x.h5", tmp_path / "y", len(CONTENT), SHA)
    assert (tmp_path / "y").read_bytes() == CONTENT and len(web.asked) == 4 == ATTEMPTS


def test_what_will_not_pass_is_not(store: Store, web: Web) -> None:
    for fault in (404, 403, "to file:///etc/passwd"):
        web.forget()
        web.faults["x.h5"] = [fault]
        with pytest.raises(StoreError):
            store.read("x.h5", 1 << 30)
        assert len(web.asked) == 1


def test_a_redirect_on_the_web_is_followed(store: Store, web: Web) -> None:
    web.faults["x.h5"] = ["to /a/x.h5?again"]
    assert store.read("x.h5", 1 << 30) == CONTENT


def test_reading_is_bounded(store: Store, web: Web) -> None:
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        store.read("x.h5", 1_000_000)
    web.faults["x.h5"] = ["longer"]
    with pytest.raises(DataError, match="more than"):
        store.read("x.h5", len(CONTENT))


def test_a_server_without_ranges_is_told_apart(store: Store, web: Web) -> None:
    web.ranges = False
    with pytest.raises(StoreError, match="sends no ranges of files; open the data set without `partial`"):
        store.read_range("x.h5", 5, 10)


def test_a_range_that_was_not_asked_for_is_refused(store: Store, web: Web) -> None:
    web.faults["x.h5"] = ["wrong-range"]
    with pytest.raises(StoreError, match="ranges"):
        store.read_range("x.h5", 5, 10)


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(remote_store, "DELAY", 60)  # and is not waited for
    with pytest.raises(StoreError, match="cannot connect to the server") as caught:
        Store(f"http://127.0.0.1:{port}/a").read("x", 9)
    assert caught.value.unreachable and not caught.value.missing


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_store, "DELAY", 0)
    monkeypatch.setattr(remote_store, "READ_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(f"http://127.0.0.1:{silent.getsockname()[1]}/a")
        with pytest.raises(StoreError, match="does not answer in time") as caught:
            store.read("x", 9)
    assert caught.value.unreachable


def test_secrets_are_not_told(web: Web) -> None:
    store = Store(f"{web.url.replace('//', '//user:secret@')}/a?sig=hidden")
    assert store.read("x.h5", 1 << 30) == CONTENT
    web.faults["x.h5"] = [403]
    with pytest.raises(StoreError) as caught:
        store.read("x.h5", 1 << 30)
    assert "secret" not in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url,reason", [("nosuch://x/y", "nosuch"), ("simplecache::s3://x/y", "chained"), ("zip://a::http://b", "chained")]
)
def test_what_is_not_opened(url: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        Store(url)
    assert "\n" not in str(caught.value)


def test_it_travels_to_other_processes(store: Store) -> None:
    assert pickle.loads(pickle.dumps(store)).read("x.h5", 1 << 30) == CONTENT
    child = os.fork()
    if child == 0:  # connections of the parent are not used
        right = store.read("x.h5", 1 << 30) == CONTENT
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_reasons_are_found_in_what_other_libraries_raise() -> None:
    class ClientError(Exception):  # as botocore's
        def __init__(self, code: int) -> None:
            self.response = {"ResponseMetadata": {"HTTPStatusCode": code}}

    class EndpointConnectionError(Exception):
        pass

    assert read_failure(ClientError(404)).missing and read_failure(ClientError(503)).transient
    assert "denied" in read_failure(PermissionError("Forbidden")).reason
    assert read_failure(EndpointConnectionError("x")).unreachable
    wrapped = FileNotFoundError("x")
    wrapped.__cause__ = ClientError(403)
    assert "403" in read_failure(wrapped).reason and not read_failure(wrapped).missing
    assert (
        "\n" not in read_failure(ValueError("a\x1b[1m\nb")).reason
        and "\x1b" not in read_failure(ValueError("\x1b")).reason
    )
