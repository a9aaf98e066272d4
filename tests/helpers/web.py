"""A web server on the loopback interface that can be told to fail, and remembers what it was asked for."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Web:
    """Files below ``root`` by GET.

    Attributes:
        ranges: whether it sends parts of files, as ``http.server`` does not.
        faults: name of a file -> what happens to the next requests for it, one each: a status, ``cut`` (half the
            promised bytes), ``other`` (as many other bytes), ``longer`` (no length, and more bytes than the file has),
            ``wrong-range`` (206 for other bytes), ``to URL`` (a redirect).
        asked: (name, Range header or None) of every request.
        sent: bytes of all bodies.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.ranges = root, True
        self.faults: dict[str, list[int | str]] = defaultdict(list)
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self.url = ""

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def forget(self) -> None:
        self.asked.clear()
        self.sent = 0


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].rpartition("/")[2]
            asked = self.headers.get("Range")
            web.asked.append((name, asked))
            fault = web.faults[name].pop(0) if web.faults[name] else None
            path = web.root / self.path.partition("?")[0].lstrip("/")
            if isinstance(fault, int):
                return self.send_error(fault)
            if isinstance(fault, str) and fault.startswith("to "):
                self.send_response(302)
                self.send_header("Location", fault[3:])
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if not path.is_file():
                return self.send_error(404)
            content, status, head = path.read_bytes(), 200, {}
            if asked and web.ranges:
                start, stop = (int(part) for part in asked.removeprefix("bytes=").split("-"))
                if fault == "wrong-range":
                    start, stop = start + 1, stop + 1
                head["Content-Range"] = f"bytes {start}-{stop}/{len(content)}"
                content, status = content[start : stop + 1], 206
            if fault == "other":
                content = bytes(byte ^ 255 for byte in content)
            body = content[: len(content) // 2] if fault == "cut" else content
            self.send_response(status)
            for key, value in head.items():
                self.send_header(key, value)
            if fault == "longer":
                body += bytes(1 << 20)
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            web.sent += len(body)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)
            if fault == "cut":
                self.close_connection = True

    return Handler


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Web]:
    """Serve ``root`` while the block runs."""
    web = Web(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
