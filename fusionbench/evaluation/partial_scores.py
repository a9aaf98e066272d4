"""Scores of a pass that was stopped: what is finished lies in files until the result is written.

A pass of K = 100 draws takes minutes on a CPU, a network on degraded pairs hours. The files lie in ``unfinished/`` of
the result's folder and are removed with the result in place. They are named by what they were measured with, so that
another version, code, weights, device or number of processes finds none.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.environment import describe_environment, folder_of_own_code, source_digest
from fusionbench.core.errors import DataError
from fusionbench.core.io import digest, read_bounded, write_bytes
from fusionbench.core.plugin_files import plugin_files
from fusionbench.evaluation.kept_rows import MAX_BYTES, KeptRows
from fusionbench.evaluation.subject import file_of_class

if TYPE_CHECKING:
    from fusionbench.evaluation.protocols.base import BaseProtocol
    from fusionbench.evaluation.subject import EvaluatedModel
    from fusionbench.evaluation.watch_cost import CostWatch
    from fusionbench.results.schema import Result

FOLDER = "unfinished"
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = bool({"site-packages", "dist-packages"} & set(_PACKAGE.parts))


class PartialScores:
    """What is finished of a result, kept in ``folder``; nothing is kept where it is None.

    Columns of scores chunk by chunk (``find``, ``add``), rows of work item by item (``rows``), states of trainings
    (``training``).

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
        self.others: list[Path] = []  # of results that are made together with this one
        self.key = digest(key)[:16]

    @classmethod
    def of(
        cls,
        results: Sequence[Result],
        out: str | Path | None,
        subject: EvaluatedModel | None = None,
        *,
        protocol: BaseProtocol | None = None,
        **measured_with: Any,
    ) -> PartialScores:
        """What is kept for results that are made together, in the folder of the first one.

        Nothing where nobody can tell the code from what it was: a function, a class of a notebook, a file among too
        many others.

        Args:
            subject: the model that is run.
            protocol: under which.
            measured_with: what a score may depend on besides; JSON.
        """
        if out is None or (subject is not None and not getattr(subject.model, "identified", True)):
            return cls(None, None)
        files = [file_of_class(type(one)) for one in (subject and subject.model, protocol) if one is not None]
        if (digests := code_digests(files)) is None:
            return cls(None, None)
        key: dict[str, Any] = {"ids": [result.id for result in results], "sources": digests}
        key["environment"] = describe_environment()
        key["model_code"] = None if subject is None else subject.code
        key |= measured_with
        found = cls(results[0].folder(out), key)
        found.others = [result.folder(out) / FOLDER for result in results[1:]]
        return found

    @classmethod
    def at(cls, folder: str | Path, key: Any) -> PartialScores:
        """What is kept in a folder of any name."""
        found = cls(None, key)
        found.folder = Path(folder)
        return found

    def read(self, name: str) -> bytes | None:
        """What is kept under a name; None where there is nothing, or nothing that can be read."""
        if self.folder is None or not (path := self.folder / f"{self.key}-{name}").is_file():
            return None
        try:
            return read_bounded(path, MAX_BYTES, "unfinished scores")
        except DataError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Keep something under a name. Where it cannot be written, or not be read again, the work goes on without."""
        if self.folder is not None and len(content) <= MAX_BYTES:
            with contextlib.suppress(DataError, OSError):
                write_bytes(self.folder / f"{self.key}-{name}", content)

    def rows(self, what: str, names: Sequence[str], kind: Any, watch: CostWatch | None = None) -> KeptRows[Any]:
        """Rows of the items ``names``, as :class:`fusionbench.evaluation.kept_rows.KeptRows`."""
        return KeptRows(self, what, names, kind, watch)

    def training(self, name: str) -> Path | None:
        """Folder for the checkpoints of a training; None where nothing is kept."""
        return None if self.folder is None else self.folder / f"{self.key}-{name}"

    def find(self, name: str, ids: np.ndarray) -> tuple[dict[str, np.ndarray], float] | None:
        """The columns of the chunk ``name`` of the images ``ids`` (n,), and the seconds that they took.

        None where there are none, or a damaged file: the chunk is scored again.
        """
        if (content := self.read(f"{name}.npz")) is None:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                columns = {key: file[key] for key in file.files}
            own, seconds = columns.pop("#ids"), float(columns.pop("#seconds"))
        except Exception:  # a damaged archive raises whatever zipfile and NumPy happen to
            return None
        whole = all(values.shape == ids.shape and values.dtype == np.float64 for values in columns.values())
        return (columns, seconds) if columns and whole and np.array_equal(own, ids) else None

    def add(self, name: str, ids: np.ndarray, columns: dict[str, np.ndarray], seconds: float) -> None:
        """Keep the columns, (n,) float64 each, of the chunk ``name`` of the images ``ids`` (n,)."""
        buffer = io.BytesIO()
        values: dict[str, Any] = {**columns, "#ids": ids, "#seconds": np.float64(seconds)}
        np.savez(buffer, **values)
        self.write(f"{name}.npz", buffer.getvalue())

    def remove(self) -> None:
        """Remove what is kept, of earlier configurations too."""
        for folder in () if self.folder is None else (self.folder, *self.others):
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)


def code_digests(files: Iterable[str | None]) -> list[str] | None:
    """Digests of the code that decides a score and that neither a commit nor a version names: of the folders of
    ``files``, of plugins, and of fusionbench where it is changed. None where nobody can tell.

    Args:
        files: that define classes or functions; None for one of a notebook.
    """
    known = list(files)
    folders = {None if file is None else folder_of_own_code(file) for file in known}
    folders |= {folder_of_own_code(plugin.path) for plugin in plugin_files()}
    if (describe_environment()["code"] or {"dirty": None})["dirty"] is not False and not _INSTALLED:
        folders.add(_PACKAGE)
    digests = [source_digest(folder) for folder in sorted(folder for folder in folders if folder is not None)]
    return None if None in known or None in digests else [one for one in digests if one is not None]


_current: ContextVar[PartialScores | None] = ContextVar("_current", default=None)


@contextlib.contextmanager
def keep_partial(partial: PartialScores) -> Iterator[None]:
    """What the body scores may be kept in ``partial``: a protocol's ``measure`` finds it by :func:`partial_scores`."""
    token = _current.set(partial)
    try:
        yield
    finally:
        _current.reset(token)


def partial_scores() -> PartialScores:
    """Where to keep what is finished of the result that is being made; one that keeps nothing where there is none.

    Example:
        >>> from fusionbench.evaluation.partial_scores import partial_scores
        >>> partial_scores().training("detector-0") is None
        True
    """
    found = _current.get()
    return PartialScores(None, None) if found is None else found
