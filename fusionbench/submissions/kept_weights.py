"""Weights in the archive of a submission, for whoever looks for weights by their digest."""

from __future__ import annotations

from pathlib import Path

from fusionbench.submissions.archive import unpack
from fusionbench.submissions.kinds.weights import FILE, LIMITS, WEIGHTS, header_problems


def weights_in_archive(path: Path, folder: Path) -> Path | None:
    """The weights of the submission in ``path``, extracted into ``folder``, which is there and empty.

    None for an archive without weights, or one that is not what `fusionbench pack` writes. The record beside the
    weights is not read.

    Raises:
        DataError: there is no such file, or it is a link, a device or a pipe.
    """
    if not WEIGHTS.claims(path) or unpack(path, LIMITS, False, folder) or header_problems(folder / FILE):
        return None
    return folder / FILE
