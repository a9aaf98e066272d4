"""Scores of a pass that was stopped: every finished chunk of images lies in a file until the result is written.

A pass of K = 100 draws takes minutes on a CPU. The chunks lie in ``unfinished/`` of the result's folder and are removed
with the result in place. They are named by what they were measured with, so that another version, weights, device
or number of processes finds none.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.io import digest, read_bounded, write_bytes

FOLDER = "unfinished"
_MAX_BYTES = 64 << 20


class PartialScores:
    """Columns of per-image scores of chunks, kept in ``folder``; nothing is kept where it is None.

    Args:
        folder: of the result.
        key: everything that a score depends on; JSON.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from fusionbench.evaluation.partial_scores import PartialScores
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = PartialScores(folder, {"model": "fcn"})
        ...     kept.add("0-1", np.arange(2), {"nll": np.array([1.5, 2.5])}, seconds=3.0)
        ...     again = PartialScores(folder, {"model": "fcn"}).find("0-1", np.arange(2))
        ...     other = PartialScores(folder, {"model": "cvae"}).find("0-1", np.arange(2))
        >>> again[0]["nll"].tolist(), again[1], other
        ([1.5, 2.5], 3.0, None)
    """

    def __init__(self, folder: str | Path | None, key: Any) -> None:
        self.folder = None if folder is None else Path(folder) / FOLDER
        self.key = digest(key)[:16]

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.key}-{name}.npz"

    def find(self, name: str, ids: np.ndarray) -> tuple[dict[str, np.ndarray], float] | None:
        """The columns of the chunk ``name`` of the images ``ids`` (n,), and the seconds that they took.

        None where there are none, or a damaged file: the chunk is scored again.
        """
        if self.folder is None or not self._path(name).is_file():
            return None
        try:
            content = read_bounded(self._path(name), _MAX_BYTES, "scores of a chunk")
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                columns = {key: file[key] for key in file.files}
            own, seconds = columns.pop("#ids"), float(columns.pop("#seconds"))
        except Exception:  # a damaged archive raises whatever zipfile and NumPy happen to
            return None
        whole = all(values.shape == ids.shape and values.dtype == np.float64 for values in columns.values())
        return (columns, seconds) if columns and whole and np.array_equal(own, ids) else None

    def add(self, name: str, ids: np.ndarray, columns: dict[str, np.ndarray], seconds: float) -> None:
        """Keep the columns, (n,) float64 each, of the chunk ``name`` of the images ``ids`` (n,)."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        values: dict[str, Any] = {**columns, "#ids": ids, "#seconds": np.float64(seconds)}
        np.savez(buffer, **values)
        write_bytes(self._path(name), buffer.getvalue())

    def remove(self) -> None:
        """Remove what is kept, of earlier configurations too."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self.folder)
