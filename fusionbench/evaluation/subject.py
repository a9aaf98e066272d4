"""The model that is measured: a model object or a finished run, its identity, and what it costs."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from fusionbench.core.environment import describe_code
from fusionbench.core.errors import UsageError
from fusionbench.core.interfaces import Model, can_fuse, can_sample, has_likelihood
from fusionbench.core.io import file_sha256
from fusionbench.models import MODELS, parameters_of
from fusionbench.results.schema import ModelIdentity, TrainingIdentity
from fusionbench.training.run import Run, read_run

if TYPE_CHECKING:
    import torch

    from fusionbench.core.types import ImageSpec

Scorable: TypeAlias = Model | Run | str | Path  # a model object, or a run: its record, or its folder


@dataclass
class EvaluatedModel:
    """A model that is scored, how it is called, and where its weights come from."""

    model: Model
    identity: ModelIdentity
    title: str
    family: Literal["trivial", "classical", "model"]
    parameters: int
    run: Run | None
    told: bool = True  # somebody said what it was built with

    @classmethod
    def of(
        cls, model: Scorable, spec: ImageSpec, device: torch.device, params: dict[str, Any] | None = None
    ) -> EvaluatedModel:
        """The model object ``model``, or that of a run, on ``device``.

        Args:
            params: what a model object was built with; a run knows its own, and so does what ``create_model`` made.

        Raises:
            UsageError: a model without any ability to score.
            DataError: no finished run there.
        """
        model, run = loaded(model, spec, device)
        if run is not None:
            identity = run.info.model_identity(file_sha256(run.folder / "weights.safetensors"))
        else:
            model = model.to(device).eval()
            name = next((n for n in MODELS.names() if MODELS.get(n) is type(model)), type(model).__name__.lower())
            known = getattr(model, "identified", True)  # a function has no weights by which another could have it again
            digest = state_sha256(model) if known else None
            identity = ModelIdentity(name=name, version=model.version, weights_sha256=digest)
            identity.params = dict(_built_with(model) or {} if params is None else params)
        parameters = sum(p.numel() for p in model.parameters())
        family: Literal["trivial", "classical", "model"] = getattr(model, "family", "model")
        evaluated = cls(model, identity, model.title, family, parameters, run, params is not None)
        if not evaluated.metrics:
            raise UsageError(f"{model.title} has none of log_weights, sample and fuse: there is nothing to score")
        return evaluated

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of masked views that the abilities of the model allow."""
        able = {"nll": has_likelihood(self.model), "mse_min": can_sample(self.model) or can_fuse(self.model)}
        return tuple(name for name, found in able.items() if found)

    @property
    def training(self) -> TrainingIdentity | None:
        """How the weights came to be, of a run; nothing of imported ones."""
        return None if self.run is None else self.run.info.identity()

    @property
    def code(self) -> dict[str, Any] | None:
        """File and repository of the model's class where it is not fusionbench's own."""
        file = self._file
        return None if file is None else describe_code(file)

    @property
    def unknown(self) -> bool:
        """Whether another model may have the same identity, so that no result of it can be taken for one of this.

        The class is of a notebook, whose code nobody can look at; or there are no weights, and nobody said which
        parameters the object was built with.
        """
        if self.run is not None or self._file is None:
            return self.run is None
        bare = not self.model.state_dict() and _built_with(self.model) is None
        return bare and not self.told and bool(parameters_of(type(self.model)))

    @property
    def _file(self) -> str | None:
        return file_of_class(type(self.model))

    @property
    def provenance(self) -> dict[str, Any]:
        """What a result's provenance says of the weights: where imported ones are from."""
        return {} if self.run is None else self.run.info.provenance

    def cost(self) -> dict[str, float | int | None]:
        """Number of parameters, and hours of training of a run."""
        return {
            "parameters": self.parameters,
            "train_hours": None if self.run is None else self.run.info.train_hours,
        }


def _built_with(model: Model) -> dict[str, Any] | None:
    """Parameters that ``create_model`` was given, as JSON gives them back; None where it made no such model."""
    try:
        known = msgspec.json.encode(getattr(model, "built_with", None))
    except (TypeError, msgspec.MsgspecError):
        return None
    found: dict[str, Any] | None = msgspec.json.decode(known)
    return found


def file_of_class(kind: type) -> str | None:
    """The file that defines a class; None for one of a notebook or an interactive session.

    Example:
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.subject import EvaluatedModel, file_of_class
        >>> Path(file_of_class(EvaluatedModel)).name, file_of_class(type("Mine", (), {"__module__": "nowhere"}))
        ('subject.py', None)
    """
    return getattr(sys.modules.get(kind.__module__), "__file__", None)


def loaded(model: Scorable, spec: ImageSpec, device: torch.device | str = "cpu") -> tuple[Model, Run | None]:
    """A model object as it is, or the model of a run (its folder, or a :class:`Run`) on ``device``, and its run.

    Raises:
        DataError: no finished run there, or weights that are not those of its model.
    """
    if isinstance(model, str | Path):
        model = read_run(model)
    return (model.load_model(spec, device), model) if isinstance(model, Run) else (model, None)


def state_sha256(model: Model) -> str:
    """Hex sha256 over the names and the values of a model's weights and buffers."""
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
