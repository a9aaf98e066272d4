"""The scripts that shells complete with, in the shells themselves."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from fusionbench.cli import cli
from fusionbench.cli.completion import use_own_shells

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the shells of POSIX systems")
SECONDS = 90  # until a busy machine has answered; nothing here takes one
LIST = ["en,vif", "en,vif_wavelet", "en,viff"]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"no {shell} here")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `fusionbench` is a command, and the shell has nobody's settings."""
    command = tmp_path / "bin" / "fusionbench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fusionbench "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    package = str(Path(__file__).parents[2])
    return {**os.environ, "PATH": path, "PYTHONPATH": package, "HOME": str(tmp_path), "TERM": "dumb"}


def script(shell: str) -> str:
    use_own_shells()
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(cli, {}, "fusionbench", "_FUSIONBENCH_COMPLETE").source()


def ran(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


@needs("bash")
def test_bash(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.bash").write_text(script("bash"))
    words = "COMP_WORDS=(fusionbench score --metrics en,vif); COMP_CWORD=3"
    asked = f'{words}; _fusionbench_completion fusionbench; echo "${{COMPREPLY[@]}}"'
    found = ran(["bash", "--norc", "-c", f"source {tmp_path}/s.bash; {asked}"], environment)
    assert sorted(found[0].split()) == LIST


@needs("fish")
def test_fish_completes_lists_and_keeps_what_is_said(environment: dict[str, str]) -> None:
    """click's script cut answers at their second comma: a list was never completed."""
    lines = [
        "_FUSIONBENCH_COMPLETE=fish_source fusionbench | source",
        'complete -C "fusionbench score --metrics en,vif"',
        'complete -C "fusionbench ev"',
    ]
    found = ran(["fish", "--no-config", "-c", "; ".join(lines)], environment)
    assert sorted(found[:-1]) == LIST
    verb, said = found[-1].split("\t")
    assert verb == "evaluate" and said.startswith("Score METHODS at every number of inputs,")


@needs("zsh")
def test_zsh(environment: dict[str, str], tmp_path: Path) -> None:
    """With the keys that a person presses, in a terminal."""
    (tmp_path / "s.zsh").write_text(script("zsh"))
    with_zsh = talk(["zsh", "-f", "-i"], environment, tmp_path)
    next(with_zsh)
    with_zsh.send((f"autoload -Uz compinit && compinit -u -D; source {tmp_path}/s.zsh; echo RE''ADY\n", "READY"))
    with_zsh.send(("fusionbench score --metrics en,vif_\t", "en,vif_wavelet"))
    with_zsh.send(("\x15fusionbench train fusionvae-pl\t", "fusionvae-plus"))
    with_zsh.close()


def talk(command: list[str], environment: dict[str, str], folder: Path) -> Generator[str, tuple[str, str], None]:
    """Start a command in a terminal; each message is what to type and what must appear on the screen then."""
    import pty

    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    try:
        screen = ""
        while True:
            keys, wanted = yield screen
            os.write(terminal, keys.encode())
            screen, end = "", time.monotonic() + SECONDS
            while wanted not in screen:
                assert time.monotonic() < end, f"{wanted!r} is not in {screen!r}"
                if select.select([terminal], [], [], 0.5)[0]:
                    screen += os.read(terminal, 65536).decode(errors="replace")
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)
