"""A server on the loopback interface for tests of downloads, and a small MNIST that the source then expects."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fusionbench.sources import fetch
from tests.sources import idx


@dataclass
class Server:
    """``address`` of the files in ``folder``; ``asked`` lists what was asked for; ``replies`` replace contents."""

    folder: Path
    address: str = ""
    asked: list[str] = field(default_factory=list)
    replies: dict[str, bytes] = field(default_factory=dict)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, server_of_test: Server) -> None:
        self.test = server_of_test
        super().__init__(*args, directory=str(server_of_test.folder))

    def do_GET(self) -> None:
        name = self.path.strip("/").rpartition("/")[2]
        self.test.asked.append(self.path)
        if name in self.test.replies:
            self.send_response(200)
            self.end_headers()  # no length: the client learns at the end what it got
            self.wfile.write(self.test.replies[name])
        else:
            super().do_GET()

    def end_headers(self) -> None:
        if self.path.endswith(".gz"):  # as some servers say of gzipped files
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves a small MNIST, which ``fetch`` and the source take for the real one."""
    idx.shrink(monkeypatch)
    found = Server(idx.write_all(tmp_path / "served"))
    files = tuple(
        fetch.RemoteFile(path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(found.folder.iterdir())
    )
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, server_of_test=found))
    found.address = f"http://127.0.0.1:{httpd.server_address[1]}/"
    monkeypatch.setitem(fetch.DOWNLOADS, "mnist", fetch.Download((found.address,), files))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield found
    httpd.shutdown()
    thread.join()
    httpd.server_close()
