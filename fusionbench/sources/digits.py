"""``digits``: the 1,797 handwritten digits of 8×8 pixels that come with scikit-learn; nothing to fetch.

The grey levels 0..16 become round(level·255/16).
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import UsageError


class Digits:
    """Split ``all``: uint8 (1797, 8, 8, 1) with labels 0..9.

    Example:
        >>> import numpy as np
        >>> from fusionbench.sources import SOURCES
        >>> digits = SOURCES.get("digits")()
        >>> digits.length("all"), digits.read("all", np.array([0, 1])).shape, digits.labels("all")[:10].tolist()
        (1797, (2, 8, 8, 1), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    name: ClassVar[str] = "digits"
    title: ClassVar[str] = "Optical recognition of handwritten digits (test part), 8×8"
    licence: ClassVar[str] = "CC BY 4.0"
    citation: ClassVar[str] = (
        "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, "
        "doi:10.24432/C50P49"
    )
    homepage: ClassVar[str] = "https://archive.ics.uci.edu/dataset/80"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("all",)

    def __init__(self, root: Path | None = None) -> None:
        pass  # the images are part of scikit-learn, whatever folder is named

    @cached_property
    def _loaded(self) -> tuple[np.ndarray, np.ndarray]:
        table = _table()
        # levels are whole numbers 0..16, so integers give the rounding without a tie
        levels = table[:, :-1].reshape(-1, 8, 8).astype(np.uint16)
        return ((levels * 255 + 8) // 16).astype(np.uint8)[..., None], table[:, -1].astype(np.int64)

    def _check(self, split: str) -> None:
        if split not in self.splits:
            raise UsageError(f"The source 'digits' has no split {split!r}; it has 'all'")

    def length(self, split: str) -> int:
        self._check(split)
        return len(self._loaded[0])

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        self._check(split)
        return self._loaded[0][np.asarray(indices, np.int64)]

    def labels(self, split: str) -> np.ndarray | None:
        self._check(split)
        return self._loaded[1].copy()

    def fingerprint(self, split: str) -> str:
        self._check(split)
        return hashlib.sha256(self._loaded[0].tobytes()).hexdigest()


def _table() -> np.ndarray:
    """scikit-learn's table, int64 (1797, 65): 64 levels and the digit.

    Its file is read as it lies there: importing ``sklearn.datasets`` takes two seconds, in every worker process. A
    release of scikit-learn that keeps the table elsewhere is asked for it.
    """
    package = importlib.util.find_spec("sklearn")  # finds, and does not import
    for folder in package.submodule_search_locations or () if package is not None else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return np.loadtxt(path, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return np.column_stack((loaded.data, loaded.target)).astype(np.int64)
