"""Scores of a folder of image files, kept on disk while it is scored: thousands of images take hours with all metrics.

Every row is kept with the digests of its files, so that a file that was repaired or replaced is scored again, and those
after it; the ones before it are not.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fusionbench.core.environment import describe_environment
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.io import file_sha256
from fusionbench.core.types import Metric
from fusionbench.evaluation.image_rows import Triple
from fusionbench.evaluation.partial_scores import PartialScores, code_digests
from fusionbench.metrics.undefined import NotAvailable

_OWN = re.compile(r"[0-9a-f]{16}-images-[0-9]+")
FEWEST = 20  # rows below which nothing is kept


@dataclass(frozen=True)
class Scored:
    """One row: ``values`` by metric, NaN where ``missing`` says why there is none; the ``facts`` of its images, and
    ``notes``: file -> remark for what was found while reading. ``sources_sha256``: of all its images but the fused one.
    ``looks_fused``: as :func:`fusionbench.evaluation.order_hint.more_fused` says.
    """

    values: dict[str, float]
    missing: dict[str, NotAvailable]
    facts: list[str]
    notes: dict[str, str]
    sources_sha256: str = ""
    looks_fused: str | None = None


class _Kept(NamedTuple):
    scored: Scored
    files: list[str]


class KeptFiles:
    """What is scored of ``rows``, in their order; ``scored`` has those that an earlier call did, as far as their files
    are what they were.

    Args:
        folder: where they are kept; None for nowhere.
        rows: all rows.
        metrics, ranges, device: how they are scored.

    Example:
        >>> from fusionbench.core.image_ranges import Ranges
        >>> from fusionbench.evaluation.kept_files import KeptFiles
        >>> KeptFiles(None, [], [], Ranges()).scored
        []
    """

    def __init__(
        self,
        folder: str | Path | None,
        rows: Sequence[Triple],
        metrics: Sequence[Metric],
        ranges: Ranges,
        device: Any = None,
    ) -> None:
        self.files, self.partial = list(rows), PartialScores(None, None)
        if folder is not None and len(rows) >= FEWEST:
            modules = (sys.modules.get(metric.function.__module__) for metric in metrics)
            codes = code_digests(getattr(module, "__file__", None) for module in modules)
            named = [(metric.name, metric.version, metric.dialect) for metric in metrics]
            if codes is not None:
                key = [describe_environment(), codes, named, ranges.texts(), str(device)]
                self.partial = PartialScores.at(folder, key)
        self._kept = self.partial.rows("images", [row.id for row in rows], _Kept)
        for place, one in enumerate(self._kept.rows):
            if not one.files or self.digests(self.files[place]) != one.files:
                self._kept.cut(place)
                break
        self.scored: list[Scored] = [one.scored for one in self._kept.rows]

    def digests(self, row: Triple) -> list[str]:
        """Those of the files of a row; empty where nothing is kept, or a file cannot be read."""
        if self.partial.folder is None:
            return []
        try:
            return [f"{side} {file_sha256(path)}" for side, path in row.files.items()]
        except OSError:
            return []

    def add(self, scored: Scored, files: list[str]) -> None:
        """The next row, and the digests of its files."""
        self._kept.add([_Kept(scored, files)])

    def write(self) -> None:
        """Write what is not on disk yet, before an error ends the work."""
        self._kept.write()

    def remove(self) -> None:
        """Remove what is kept, of earlier calls too: all rows are scored. Other files in the folder stay."""
        if (folder := self.partial.folder) is not None and folder.is_dir():
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if _OWN.fullmatch(path.name):
                        path.unlink()
                folder.rmdir()
