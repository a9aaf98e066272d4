"""The model that is measured: a model object or a finished run, its identity, and what it costs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.errors import UsageError
from fusionbench.core.io import file_sha256
from fusionbench.models import MODELS
from fusionbench.results.schema import ModelIdentity, TrainingIdentity
from fusionbench.training.run import Run, read_run

if TYPE_CHECKING:
    import torch


@dataclass
class Subject:
    """What is measured: a model, how it is called, and where its weights come from."""

    model: Any
    identity: ModelIdentity
    title: str
    family: Any
    parameters: int
    run: Run | None

    @classmethod
    def of(cls, model: Any, spec: Any, device: torch.device, params: dict[str, Any] | None = None) -> Subject:
        """The subject that a run folder, a :class:`Run` or a model object is, on ``device``.

        Args:
            params: what a model object was built with; a run knows its own.

        Raises:
            UsageError: a model without any ability to score.
            DataError: no finished run there.
        """
        run = read_run(model) if isinstance(model, str | Path) else model if isinstance(model, Run) else None
        if run is not None:
            model = run.load_model(spec, device)
            identity = run.info.model_identity(file_sha256(run.folder / "weights.safetensors"))
        else:
            model = model.to(device).eval()
            name = next((n for n in MODELS.names() if MODELS.get(n) is type(model)), type(model).__name__.lower())
            identity = ModelIdentity(name=name, version=model.version, weights_sha256=_state_sha256(model))
            identity.params = dict(params or {})
        parameters = sum(p.numel() for p in model.parameters())
        family = getattr(model, "family", "model")
        subject = cls(model, identity, model.title, family, parameters, run)
        if not subject.metrics:
            raise UsageError(f"{model.title} has none of log_weights, sample and fuse: there is nothing to score")
        return subject

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of masked views that the abilities of the model allow."""
        abilities = {"nll": ("log_weights",), "mse_min": ("sample", "fuse")}
        return tuple(name for name, methods in abilities.items() if any(hasattr(self.model, m) for m in methods))

    @property
    def training(self) -> TrainingIdentity | None:
        """How the weights came to be, of a run."""
        return None if self.run is None else self.run.info.identity()

    def cost(self) -> dict[str, float | int | None]:
        """Number of parameters, and hours of training of a run."""
        return {
            "parameters": self.parameters,
            "train_hours": None if self.run is None else self.run.info.seconds / 3600,
        }


def _state_sha256(model: torch.nn.Module) -> str:
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
