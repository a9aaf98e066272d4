"""A task that ends in one of the ways in which tasks end; processes that import nothing else start fast."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from fusionbench.core.errors import DataError


def act(how: str, place: Path) -> str:
    """End in one of the ways in which tasks end."""
    tries = len(list(place.glob(f"{how}-*")))
    (place / f"{how}-{tries}").write_text(str(os.getppid()))  # the Dask worker
    if how == "refused":
        raise DataError("that.png: damaged")
    if how == "exit":
        os._exit(7)
    if how == "killed" or (how == "killed-once" and not tries):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "waits" or (how == "waits-once" and not tries):
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            (place / "saved").touch()
            raise
    print("said by", how)
    return f"{how}, try {tries + 1}"
