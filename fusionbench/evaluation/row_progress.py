"""One progress bar for trainings in other processes, fed by the logs in their run folders."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from fusionbench.core.progress import progress


@contextlib.contextmanager
def follow_logs(folders: list[Path], steps: int) -> Iterator[None]:
    """A progress bar of ``steps`` steps in all, fed by the logs of runs that other processes write into ``folders``."""
    done = threading.Event()

    def follow() -> None:
        shown = 0
        with progress("train and score", steps, "steps") as bar:
            while not done.wait(1.0):
                states = [_last_row(folder) for folder in folders]
                total = sum(step for step, _ in states)
                note = ", ".join(f"{f.name} {loss}" for f, (step, loss) in zip(folders, states, strict=True) if step)
                if total > shown:
                    bar.advance(total - shown, note)
                    shown = total

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _last_row(folder: Path) -> tuple[int, str]:
    """Steps done and the latest loss, from the end of a run's log."""
    try:
        with open(folder / "log.csv", "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 2048))
            rows = [line.split(",") for line in stream.read().decode("utf-8", "replace").splitlines()[1:]]
    except OSError:
        return 0, ""
    losses = [row for row in rows if len(row) == 4 and row[2].endswith("loss") and row[0].isdecimal()]
    return (int(losses[-1][0]), f"{float(losses[-1][3]):.4g}") if losses else (0, "")
