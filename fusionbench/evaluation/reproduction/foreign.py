"""Which results are made of weights or parameters from elsewhere, and what measures those apart from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fusionbench.core.errors import DataError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.reproduction.find_data import same_record
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError, Reproduction
from fusionbench.evaluation.reproduction.places import Finder, Places
from fusionbench.models import MODELS, defaults_of
from fusionbench.results.schema import Identity
from fusionbench.training.run import read_run


class Isolation(Protocol):
    """Measures in a process with limits that reaches nothing else."""

    def reproduce(self, result: Path, places: Places, limit: int | None) -> Reproduction:
        """What became of the result in ``result``; never raises for what the result holds."""

    def build(self, name: str, spec: ImageSpec, params: Mapping[str, Any]) -> str:
        """Build a model of recorded parameters once, and why that is not possible within limits ("" where it is)."""


def are_known_parameters(name: str, params: Mapping[str, Any]) -> bool:
    """Whether every parameter of a registered model has its default, or the value of one preset.

    Example:
        >>> from fusionbench.evaluation.reproduction.foreign import are_known_parameters
        >>> are_known_parameters("laplacian-pyramid", {"levels": 4})
        True
        >>> are_known_parameters("laplacian-pyramid", {"levels": 10**9})
        False
    """
    cls = MODELS.get(name)
    defaults = defaults_of(cls)
    for preset in ({}, *(one.model for one in getattr(cls, "PRESETS", {}).values())):
        known = {**defaults, **preset}
        if all(key in known and same_record(known[key], value) for key, value in params.items()):
            return True
    return False


def is_foreign(identity: Identity, finder: Finder) -> bool:
    """Whether measuring again takes weights, or parameters of a method without weights, not known as one's own.

    Weights are one's own where they lie in a run's folder whose record has the model and parameters of the result.
    A row whose weights are not here is not foreign: nothing of it can be run.
    """
    model = identity.model
    if model.name not in MODELS.names():
        return False  # it is refused before anything is built
    if identity.training is None:
        return not are_known_parameters(model.name, model.params)
    weights = None if model.weights_sha256 is None else finder.weights(model.weights_sha256)
    if weights is None:
        return False
    try:
        info = read_run(weights.parent).info
    except DataError:
        return True
    return (info.model, info.version) != (model.name, model.version) or not same_record(info.params, model.params)


def check_can_be_built(isolation: Isolation | None, name: str, spec: ImageSpec, params: Mapping[str, Any]) -> None:
    """Build a model of unknown parameters apart, before it is built here.

    Raises:
        NotReproducibleError: it needs more time or memory than is allowed, or does not take the parameters.
    """
    if isolation is None or are_known_parameters(name, params):
        return
    if problem := isolation.build(name, spec, params):
        text = f"{name} cannot be built with the recorded parameters: {problem}"
        raise NotReproducibleError("model", text)
