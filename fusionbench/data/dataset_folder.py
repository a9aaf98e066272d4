"""The folder of a finished data set: a path like any other, which opens the data set and shows it in a notebook."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.notebook import in_html

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from fusionbench.data.dataset import Dataset
    from fusionbench.data.split_view import SplitView
    from fusionbench.data.torch_split import TorchSplit

    _Path = Path
else:
    _Path = type(Path())  # Python 3.11 has no other class that can be derived from


class DatasetFolder(_Path):
    """What :func:`fusionbench.build_dataset` gives: the path of the folder, and the data set that lies in it.

    Example:
        >>> import tempfile
        >>> from fusionbench import build_dataset
        >>> with tempfile.TemporaryDirectory() as root:
        ...     built = build_dataset("fusiondigits", out=root)
        ...     print(len(built["test"]), built.torch("test")[0]["views"].shape, type(built / "x").__name__[-4:])
        296 torch.Size([3, 1, 32, 32]) Path
    """

    @property
    def dataset(self) -> Dataset:
        """The data set in it.

        Raises:
            DataError: none there, or a damaged one.
        """
        from fusionbench.data.dataset import open_dataset

        return open_dataset(Path(self))

    def __getitem__(self, split: str) -> SplitView:
        return self.dataset[split]

    def torch(self, split: str, **options: Any) -> TorchSplit:
        """As of :meth:`fusionbench.data.dataset.Dataset.torch`."""
        return self.dataset.torch(split, **options)

    def to_pandas(self) -> pandas.DataFrame:
        """As of :meth:`fusionbench.data.dataset.Dataset.to_pandas`."""
        return self.dataset.to_pandas()

    def plot(self, split: str | None = None, count: int = 4) -> np.ndarray:
        """As of :meth:`fusionbench.data.dataset.Dataset.plot`."""
        return self.dataset.plot(split, count)

    def with_segments(self, *segments: str | os.PathLike[str]) -> Path:
        """What is derived from it is a plain path (by Python 3.12 and newer; 3.11 does not ask)."""
        return Path(*segments)

    def __truediv__(self, key: str | os.PathLike[str]) -> Path:  # type: ignore[override]  # what lies in it is no folder
        return Path(self) / key

    def __repr__(self) -> str:
        return f"DatasetFolder({os.fspath(self)!r})"

    def _repr_html_(self) -> str:
        """The data set's facts and first samples."""
        try:
            return self.dataset._repr_html_()
        except FusionbenchError as error:
            return f"<p>{in_html(repr(self))}: {in_html(error)}</p>"
