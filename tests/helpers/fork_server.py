"""Commands of documents without the 1.7 seconds that every new process needs to import torch.

A server imports the slow libraries once. A shim called ``fusionbench`` stands first on the PATH, passes arguments,
folder, environment and its three standard streams to the server, which forks a process for the command, and ends with
the exit code of that. What a command imports first is tested elsewhere (tests/project/test_import_time.py).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELOADED = (
    *("torch", "cv2", "h5py", "scipy.ndimage", "scipy.stats", "skimage.data", "matplotlib.figure", "safetensors.torch"),
    *("fusionbench.cli", "fusionbench.models.checks", "fusionbench.training.loop", "fusionbench.evaluation.run_suite"),
    *(
        "fusionbench.evaluation.pairs",
        "fusionbench.evaluation.masked",
        "fusionbench.board.build",
        "fusionbench.data.build",
    ),
)
SHIM = """#!{python} -IS
import json, os, socket, sys
work = socket.socket(socket.AF_UNIX)
work.connect({address!r})
text = json.dumps([{kind!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(work, [len(text).to_bytes(8, "big")], [0, 1, 2])
work.sendall(text)
sys.exit(int(work.makefile().read() or 3))
"""


class ForkServer:
    """A running server, and the folder of the shims: ``fusionbench``, and ``python-code``, which takes a program."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        address = str(folder / "server")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(Path(__file__)), address], env=environment, cwd=folder, stdin=subprocess.DEVNULL
        )
        for name in ("fusionbench", "python-code"):
            shim = self.bin / name
            shim.write_text(SHIM.format(python=sys.executable, address=address, kind=name))
            shim.chmod(0o755)
        until = time.monotonic() + 120
        while not os.path.exists(address):
            if self.process.poll() is not None or time.monotonic() > until:
                self.close()
                raise RuntimeError("the server of commands does not start")
            time.sleep(0.05)

    def run(
        self, language: str, code: str, folder: Path, environment: Mapping[str, str], timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a block of ``sh`` or ``python`` in ``folder`` as a reader would."""
        path = os.pathsep.join([str(self.bin), environment["PATH"]])
        command = (
            ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [str(self.bin / "python-code"), code]
        )
        known = {**environment, "PATH": path}
        return subprocess.run(
            command, cwd=folder, env=known, capture_output=True, text=True, encoding="utf-8", timeout=timeout
        )

    def close(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.wait()


def serve(address: str) -> None:
    """Listen at ``address`` until killed."""
    own = [place for place in sys.path if place not in (str(ROOT), str(Path(__file__).parent))]
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(16)
    os.rename(f"{address}.new", address)  # clients see it when it listens
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    while True:
        client, _ = listener.accept()
        if os.fork():
            client.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        head, streams, _, _ = socket.recv_fds(client, 8, 3)
        text = client.makefile("rb").read(int.from_bytes(head, "big"))
        command = os.fork()
        if not command:
            client.close()
            start(own, streams, *json.loads(text))
            return
        _, status = os.waitpid(command, 0)
        client.sendall(str(os.waitstatus_to_exitcode(status) & 0xFF).encode())
        os._exit(0)


def start(
    own: list[str], streams: list[int], kind: str, words: list[str], folder: str, environment: dict[str, str]
) -> None:
    """Become the command: this process ends with it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    extra = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = ["" if kind == "python-code" else str(Path(sys.executable).parent), *extra, str(ROOT), *own]
    importlib.invalidate_caches()
    if kind == "python-code":
        sys.argv = ["-c", *words[1:]]
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    else:
        from fusionbench.__main__ import main

        sys.argv = ["fusionbench", *words]
        main()


if __name__ == "__main__":
    serve(sys.argv[1])
