"""The one place where a result is made: whatever was scored, and under whichever protocol."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Literal

import fusionbench
from fusionbench.core.io import utf8
from fusionbench.results.schema import Identity, Origin, Result, Status, identity_id, load


def make_result(
    identity: Identity,
    *,
    title: str,
    status: Status = "verified",
    family: Literal["trivial", "classical", "model"] = "model",
    origin: Origin | None = None,
    with_command: bool = True,
) -> Result:
    """A result without scores whose id is that of ``identity``, with version, time and command in its provenance.

    Args:
        with_command: False in a process whose command line is not the one that somebody typed.
    """
    provenance: dict[str, object] = {
        "fusionbench": fusionbench.__version__,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if with_command:
        provenance["command"] = [utf8(word) for word in (Path(sys.argv[0]).name, *sys.argv[1:])]
    return Result(
        id=identity_id(identity),
        status=status,
        family=family,
        title=title,
        identity=identity,
        scores={},
        provenance=provenance,
        origin=origin or Origin(),
    )


def saved_result(result: Result, out: str | Path | None, force: bool = False) -> Result | None:
    """The result of the same identity that lies below ``out`` already; None where there is none, or with ``force``.

    Raises:
        DataError: it is damaged.
    """
    if out is None or force or not (result.folder(out) / "result.json").is_file():
        return None
    return load(result.folder(out))
