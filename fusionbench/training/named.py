"""What is trained on what, each by its name: a model's name or file, a data set's name or folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.core.interfaces import DatasetLike


def trained_model(model: str | Path | type) -> str:
    """The registered name that ``model`` stands for: a name, or a Python file with the model in it.

    A run is trained again and read by this name, so that a class alone is none.

    Raises:
        UsageError: no text; what to write instead.

    Example:
        >>> from fusionbench.training.named import trained_model
        >>> trained_model("fcn")
        'fcn'
    """
    from fusionbench.models import MODELS

    if isinstance(model, str | Path):
        return MODELS.named(str(model))
    if isinstance(model, type):
        name = model.__name__
        raise UsageError(
            f"{name} is a class, and a run is read again by a name: give 'file.py:{name}', or the name that "
            "register_model has given it"
        )
    raise UsageError(f"{model!r:.60} is no name of a model; give one of list_models(), or 'file.py:Class'")


def training_data(dataset: DatasetLike | str | Path) -> DatasetLike:
    """The data set to train on: one that is open as it is, others opened by name, folder or URL.

    Raises:
        DataError: no such data set.
        UsageError: neither a data set nor its name.
    """
    if isinstance(dataset, str | Path):
        from fusionbench.data.dataset import open_dataset

        return cast("DatasetLike", open_dataset(dataset))
    if isinstance(dataset, type) or not hasattr(dataset, "stream"):
        raise UsageError(f"{dataset!r:.60} is no data set: give one of open_dataset, its name or its folder")
    return dataset
