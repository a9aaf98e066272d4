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
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        # where the tests run as a job in the background, a shell has told them to ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(address, timeout=30).read() == b"hello"
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130


def test_verify_and_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, site = tmp_path / "results", tmp_path / "site"
    made_up(results, "a")
    assert run(capsys, "board", results, "-o", site)[0] == 0
    code, out, _ = run(capsys, "board", results, "--verify", site)
    assert code == 0 and out.startswith("1 results, ") and "not signed" in out
    page = site / "index.html"
    page.write_text(page.read_text() + " ")
    code, out, err = run(capsys, "board", results, "--verify", site)
    assert code == 1 and out.startswith("index.html: was changed") and "1 problem" in err
    code, out, _ = run(capsys, "board", results, "--verify", site, "--json")
    data = json.loads(out)
    assert code == 1 and not data["ok"] and [one["file"] for one in data["problems"]] == ["index.html"]
    for words in (
        (),
        ("-o", site, "--verify", site),
        ("-o", site, "--signer", "key"),
        ("--verify", site, "--sign", "key"),
        ("--verify", site, "--strict"),
    ):
        code, out, err = run(capsys, "board", results, *words)
        assert (code, out) == (2, "") and len(err.splitlines()) == 1, words
    pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")
    from tests.data.test_signatures import new_key

    private, public = new_key(tmp_path, "mine")
    assert run(capsys, "board", results, "-o", site, "--sign", private)[0] == 0
    code, out, _ = run(capsys, "board", results, "--verify", site, "--signer", public)
    assert code == 0 and "signed by key" in out
    (site / "board-index.intoto.jsonl").unlink()
    assert run(capsys, "board", results, "--verify", site, "--signer", public)[0] == 1
