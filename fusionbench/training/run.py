"""A run on disk: ``run.json`` says what is trained and how far it is, or where imported weights are from;
``weights.safetensors`` is its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fusionbench.core.crashes import read_crash
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.formats import read_json
from fusionbench.core.io import read_bounded, write_bytes
from fusionbench.core.progress import say
from fusionbench.core.types import ImageSpec
from fusionbench.results.schema import ModelIdentity, TrainingIdentity
from fusionbench.training.imported import ImportedWeights, check_imported_state
from fusionbench.training.schedule import Training
from fusionbench.training.shown_run import ShownRun

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionbench.core.interfaces import Model

_CONFIGURATION = ("model", "version", "preset", "params", "training", "dataset_id", "seed", "budget")


class RunInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of ``run.json``. ``cut``: a budget ended training before its planned end.

    ``imported``, since fusionbench.run/1.1, which is declared where it is there: the weights were not trained here.
    Revision 2 is declared where it has a digest of the weights.
    Training parameters, data set and seed are then defaults that say nothing, and no part of an identity.
    """

    format: Literal["fusionbench.run/1", "fusionbench.run/1.1", "fusionbench.run/1.2"] = "fusionbench.run/1"
    model: str
    version: str
    source: str
    preset: str | None
    params: dict[str, Any]
    training: Training
    dataset_name: str
    dataset_version: str
    dataset_id: str
    seed: int
    budget: str | None = None
    steps: int = 0
    total_steps: int | None = None
    planned_steps: int = 0
    parameters: int = 0
    seconds: float = 0.0
    cut: bool = False
    finished: bool = False
    imported: ImportedWeights | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.imported is not msgspec.UNSET:
            self.format = "fusionbench.run/1.2" if self.imported.revised else "fusionbench.run/1.1"

    def write(self, folder: Path) -> None:
        """Write ``run.json`` atomically."""
        write_bytes(
            folder / "run.json", msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"
        )

    def identity(self) -> TrainingIdentity:
        """The part of a result's identity that says how the weights came to be; of imported ones it knows nothing."""
        if self.imported is not msgspec.UNSET:
            return TrainingIdentity()
        return TrainingIdentity(
            preset=self.preset,
            seed=self.seed,
            steps=self.steps,
            planned_steps=self.planned_steps,
            cut=self.cut,
            dataset_id=self.dataset_id,
            params=self.training.identity(),
        )

    @property
    def provenance(self) -> dict[str, Any]:
        """What a result's provenance says of the weights: of imported ones, where they are from."""
        return {} if self.imported is msgspec.UNSET else {"imported_weights": msgspec.to_builtins(self.imported)}

    @property
    def train_hours(self) -> float | None:
        """Hours of training; None where the weights were imported."""
        return self.seconds / 3600 if self.imported is msgspec.UNSET else None

    def source_now(self) -> str:
        """``source``, and behind it the present state of a user's file that was edited since: what a score is of."""
        from fusionbench.models import MODELS

        if self.model not in MODELS.names() or not MODELS.is_file(self.model):
            return self.source
        now = MODELS.origin(self.model)
        return self.source if self.source.endswith(now) else f"{self.source}, then {now}"

    def go_on_from(self, earlier: RunInfo) -> None:
        """Take over the progress of an earlier, unfinished run; of edited code the record then names both states."""
        self.steps, self.total_steps, self.seconds = earlier.steps, earlier.total_steps, earlier.seconds
        if (both := earlier.source_now()) != earlier.source:
            say(f"warning: {self.source} is not the code that this run began with; its record names both")
            self.source = both

    def model_identity(self, weights_sha256: str) -> ModelIdentity:
        """The part of a result's identity that says which model was measured."""
        source = self.source_now()
        return ModelIdentity(
            name=self.model, version=self.version, params=self.params, weights_sha256=weights_sha256, source=source
        )


@dataclass(frozen=True, repr=False)
class Run(ShownRun):
    """A run folder and what its ``run.json`` says."""

    folder: Path
    info: RunInfo

    def check_same(self, wanted: RunInfo) -> None:
        """Refuse to resume with another configuration, and to take a finished run for one of edited code.

        Raises:
            UsageError: names what differs.
        """
        ours, theirs = (msgspec.to_builtins(info) for info in (self.info, wanted))
        different = [name for name in _CONFIGURATION if ours[name] != theirs[name]]
        if different:
            name = different[0]
            raise UsageError(
                f"{self.folder}: holds another run ({name} is {ours[name]!r} there, {theirs[name]!r} here); "
                "choose another folder or remove this one"
            )
        if self.info.finished and self.info.source_now() != self.info.source:
            raise UsageError(
                f"{self.folder}: was trained with other code ({self.info.source} there, {wanted.source} here); "
                "choose another folder or remove this one"
            )

    def load_model(self, spec: ImageSpec, device: torch.device | str = "cpu") -> Model:
        """The trained model, in evaluation mode.

        Raises:
            DataError: the run is not finished, its weights are damaged, or are not those that were imported, or its
                record is of a far larger model.
        """
        import torch

        from fusionbench.models import MODELS, create_model
        from fusionbench.models.bounds import check_fits_weights
        from fusionbench.training import checkpoints

        if not self.info.finished:
            crash = read_crash(self.folder)
            if crash is not None:
                raise DataError(f"{self.folder}: training did not finish: it {crash}; the same command resumes it")
            raise DataError(f"{self.folder}: training has not finished; run the same train command again to resume")
        weights = self.folder / "weights.safetensors"
        if self.info.model not in MODELS.names() and ".py" in self.info.source:
            whose = f"{self.info.model} is of {self.info.source}"
            raise UsageError(f"{self.folder}: its model {whose}; add --plugin FILE.py with that file")
        try:
            check_fits_weights(self.info.model, spec, self.info.params, weights)
        except UsageError as error:
            raise DataError(f"{self.folder}: {error}") from error
        if (now := self.info.source_now()) != self.info.source:
            say(f"warning: {self.folder}: trained by other code than its file has now: {now}; what it makes is of both")
        model = create_model(self.info.model, spec, **self.info.params)
        checkpoints.load_weights(model, weights)
        self._check_imported(model.state_dict())
        return model.to(device=device, memory_format=torch.channels_last).eval()

    def check_imported(self) -> None:
        """Refuse imported weights that were exchanged, or whose record was edited, since; of trained ones nothing.

        Raises:
            DataError: they were, or the weights are damaged.
        """
        if self.info.imported is not msgspec.UNSET:
            from fusionbench.training.checkpoints import read_tensors

            self._check_imported(read_tensors(self.folder / "weights.safetensors"))

    def _check_imported(self, state: Mapping[str, Tensor]) -> None:
        if self.info.imported is not msgspec.UNSET:
            check_imported_state(self.folder, self.info.model, self.info.params, self.info.imported, state)


def read_run(folder: str | Path) -> Run:
    """Read a run folder.

    Raises:
        DataError: no ``run.json`` there, or a damaged one.
    """
    path = Path(folder) / "run.json"
    try:
        content = read_bounded(path, 1 << 20, "run (fusionbench train makes it)")
        # no field is ever left out: it might say how the weights were trained
        return Run(Path(folder), read_json(content, RunInfo, path, (msgspec.Struct,)))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a fusionbench run: {error}") from error
