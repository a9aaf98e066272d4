"""A method by its name: the folder of a run, a registered model that learns nothing, or a class in a Python file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.errors import DataError, UsageError, unknown_name

if TYPE_CHECKING:
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.subject import Scorable


def is_run(text: str | Path) -> bool:
    """Whether ``text`` is the folder of a run."""
    return text != "" and (Path(text) / "run.json").is_file()


def method_by_name(
    text: str, spec: ImageSpec, preset: str | None = None, params: dict[str, Any] | None = None
) -> tuple[Scorable, dict[str, Any] | None]:
    """The method that ``text`` names, and the parameters that it was built with: those that identify it in a suite.

    The folder of a run comes first, also where a model has that name, and is returned as it is.

    Raises:
        UsageError: unknown, a model that has to be trained first, parameters of another kind than their defaults, or
            any for a run, which knows its own.
        DataError: a folder without a run.

    Example:
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.named_methods import method_by_name
        >>> model, params = method_by_name("laplacian-pyramid", ImageSpec(1, 64, 64, 2), params={"levels": 3})
        >>> model.title, params
        ('Laplacian pyramid', {'levels': 3})
    """
    from fusionbench.models import MODELS, check_kinds, create_model, get_preset

    if is_run(text):
        if preset is not None or params:
            raise UsageError(f"{text}: a run knows its parameters; preset and parameters are for methods by name")
        return text, None
    name = MODELS.named(text)
    if name in MODELS.names():
        _check_learns_nothing(name, text)
        check_kinds(name, params or {})
        given = {**get_preset(name, preset).model, **(params or {})}
        return create_model(name, spec, preset, **(params or {})), given or None
    if text and Path(text).is_dir():
        raise DataError(f"{text}: no run folder (it has no run.json); `fusionbench train` makes one")
    if "/" in text:
        raise DataError(f"{text}: no such run (`fusionbench train` makes one)")
    raise unknown_name("method or run folder", text, MODELS.names(), "fusionbench list models")


def _check_learns_nothing(name: str, shown: str) -> None:
    from fusionbench.models import MODELS

    cls = MODELS.get(name)
    if not (hasattr(cls, "loss") or hasattr(cls, "fit")):
        return
    remedy = f"train it first (`fusionbench train {shown} --data SET`) and give the run folder"
    if (published := getattr(cls, "PUBLISHED", None)) is not None:
        remedy += f", or that of the weights of {published.homepage} (`fusionbench weights import {name} FILE`)"
    raise UsageError(f"{shown} learns: {remedy}")
