"""The one place where a result is made: whatever was scored, and under whichever protocol."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Literal

import fusionbench
from fusionbench.core.environment import anonymous_command, describe_environment
from fusionbench.core.progress import say
from fusionbench.results.schema import Identity, Origin, Result, Status, identity_id, load


def make_result(
    identity: Identity,
    *,
    title: str,
    status: Status | None = None,
    family: Literal["trivial", "classical", "model"] = "model",
    origin: Origin | None = None,
    with_command: bool = True,
    model_code: dict[str, Any] | None = None,
) -> Result:
    """A result without scores whose id is that of ``identity``, with what it takes to have it again in its provenance:
    version, time, command, and :func:`fusionbench.core.environment.describe_environment`.

    Args:
        status: None for ``verified`` where the weights are here and the identity has their digest, else ``scored``.
        model_code: where the model's code is from, as :func:`fusionbench.core.environment.describe_code` says.
        with_command: False in a process whose command line is not the one that somebody typed.
    """
    provenance: dict[str, object] = {
        "fusionbench": fusionbench.__version__,
        "environment": describe_environment(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if with_command:
        provenance["command"] = anonymous_command()
    if model_code is not None:
        provenance["model_code"] = model_code
    if status is None:
        status = "scored" if identity.model.weights_sha256 is None else "verified"
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

    None, with a note, where it is of other code: the file that defines a user's model was edited since.

    Raises:
        DataError: it is damaged.
    """
    if out is None or force or not (result.folder(out) / "result.json").is_file():
        return None
    found = load(result.folder(out))
    ours, theirs = (one.provenance.get("model_code") for one in (result, found))
    if isinstance(ours, dict) and (not isinstance(theirs, dict) or theirs.get("sha256") != ours["sha256"]):
        say(f"{result.title}: {ours['file']} is not as it was when this was scored: it is scored again")
        return None
    return found
