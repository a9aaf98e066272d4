"""``board`` and ``serve`` from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.runner import run
from tests.helpers.results import made_up


def test_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path / "results")
    code, out, _ = run(capsys, "board", tmp_path / "results", "-o", tmp_path / "site", "--json")
    assert code == 0 and Path(json.loads(out)["index"]).read_text().startswith("<!doctype html>")
    assert run(capsys, "board", tmp_path / "nothing", "-o", tmp_path / "site")[0] == 2


def test_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "serve", tmp_path)[0] == 2
    (tmp_path / "index.html").write_text("hello")
    command = [sys.executable, "-m", "fusionbench", "serve", str(tmp_path), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(address, timeout=30).read() == b"hello"
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130
