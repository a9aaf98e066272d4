"""Finds the model that a result was measured with: built from its parameters, with weights of the recorded digest."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.interfaces import is_trainable
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.protocols import known_protocol
from fusionbench.evaluation.reproduction.find_data import find_dataset, pair_source_of, same_record
from fusionbench.evaluation.reproduction.foreign import Isolation, check_can_be_built
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError
from fusionbench.evaluation.reproduction.places import Finder
from fusionbench.evaluation.subject import Scorable
from fusionbench.models import MODELS, create_model
from fusionbench.models.bounds import check_model_size
from fusionbench.results.schema import Identity, Result, TrainingIdentity
from fusionbench.training.imported import ImportedWeights
from fusionbench.training.run import Run, RunInfo
from fusionbench.training.schedule import Training, create_training

WEIGHTS = "weights.safetensors"
SHOWN_SETTINGS = 40  # parameters that the command to train again lists


@dataclass(frozen=True)
class FoundModel:
    """What is scored. ``params``: of a model object, for its identity. ``trained``: trained here, just now."""

    model: Scorable
    params: dict[str, Any] | None = None
    trained: bool = False
    remarks: list[str] = field(default_factory=list)


def find_model(
    result: Result,
    spec: ImageSpec,
    data: Any,
    finder: Finder,
    retrain: bool,
    device: str,
    isolation: Isolation | None = None,
) -> FoundModel:
    """The model of a result, for images of the shape ``spec``.

    Args:
        data: the opened data that are scored; those of masked views are what their models were trained on.
        retrain: train again where weights are not found; models that only take statistics are always fitted again.
        isolation: builds a model of parameters that are nobody's default once, before it is built here.

    Raises:
        NotReproducibleError: another version of the model here, no weights, or a record that does not say enough.
    """
    identity = result.identity
    name, version = identity.model.name, identity.model.version
    protocol = known_protocol(f"{identity.protocol.name}/{identity.protocol.version}")
    if protocol is not None and name in protocol.references and identity.training is None:
        reference = protocol.reference(name, data)
        if reference.version == version:
            return FoundModel(reference, params=identity.model.params)
    if name not in MODELS.names():
        raise NotReproducibleError(
            "model",
            f"the model {name!r} is not registered here; install what offers it, or name its file with --plugin",
        )
    if (now := MODELS.get(name).version) != version:
        raise NotReproducibleError("model", f"the model {name} has version {now} here, the result is of {version}")
    try:
        check_model_size(name, spec, identity.model.params)
        check_can_be_built(isolation, name, spec, identity.model.params)
        model = create_model(name, spec, **identity.model.params)
    except NotReproducibleError:
        raise
    except (FusionbenchError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        text = f"{name} cannot be built with the recorded parameters: {' '.join(str(error).split())[:200]}"
        raise NotReproducibleError("model", text) from error
    if identity.training is None:
        return FoundModel(model, params=identity.model.params)
    sha256 = identity.model.weights_sha256
    if sha256 is not None and (weights := finder.weights(sha256)) is not None:
        return FoundModel(_as_run(result, identity.training, weights, finder.scratch / "runs" / sha256[:16]))
    if identity.training.unknown:
        known = f"no weights with sha256 {(sha256 or 'not recorded')[:12]} here, and they were imported, not trained"
        text = f"{known}: name them with --weights, or import them with `fusionbench weights import {name} FILE`"
        raise NotReproducibleError("weights", text)
    if is_trainable(model) and not retrain:
        raise NotReproducibleError(
            "weights",
            f"no weights with sha256 {(sha256 or 'not recorded')[:12]} here: name their file, run, or submission with "
            f"--weights, or train them again, with --retrain or with `{command_to_train(result)}`",
        )
    run = _train(result, identity.training, is_trainable(model), data, finder, device)
    return FoundModel(run, trained=True)


def _as_run(result: Result, training: TrainingIdentity, weights: Path, folder: Path) -> Run:
    """The weights as a finished run, whose record follows from the result: what lies beside them is not read."""
    info = _run_info(result, training)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / WEIGHTS).exists():
        shutil.copyfile(weights, folder / WEIGHTS)
    return Run(folder, info)


def _run_info(result: Result, training: TrainingIdentity) -> RunInfo:
    identity, hours = result.identity, result.cost.get("train_hours")
    return RunInfo(
        model=identity.model.name,
        version=identity.model.version,
        source=identity.model.source,
        preset=training.preset,
        params=identity.model.params,
        training=_recorded_training(training),
        dataset_name=identity.dataset.name,
        dataset_version=identity.dataset.version,
        dataset_id=training.dataset_id or "",
        seed=training.seed or 0,
        steps=training.steps or 0,
        planned_steps=training.planned_steps or 0,
        seconds=3600 * float(hours or 0),
        cut=training.cut,
        finished=True,
        imported=ImportedWeights() if training.unknown else msgspec.UNSET,
    )


def _recorded_training(training: TrainingIdentity) -> Training:
    """Training parameters as recorded; what a result leaves out had its default.

    Raises:
        NotReproducibleError: parameters that training does not have here.
    """
    try:
        return create_training({**msgspec.to_builtins(Training()), **training.params})
    except FusionbenchError as error:
        raise NotReproducibleError("training", f"the recorded training is not known here: {error}") from error


def command_to_train(result: Result) -> str:
    """The command that trains the weights of a result again, from its identity.

    Example:
        >>> from fusionbench.evaluation.reproduction.find_model import command_to_train
        >>> from fusionbench.results.schema import DatasetIdentity, Identity, ModelIdentity
        >>> from fusionbench.results.schema import ProtocolIdentity, Result, TrainingIdentity
        >>> identity = Identity(
        ...     model=ModelIdentity(name="fcn", version="1", weights_sha256="0" * 64),
        ...     dataset=DatasetIdentity(name="fusiondigits", version="1.0.0", split="test", id="", n=1, ids_sha256=""),
        ...     protocol=ProtocolIdentity(name="masked", version="1", seed=0),
        ...     metrics={},
        ...     training=TrainingIdentity(preset="tiny", seed=3, steps=40, planned_steps=400, cut=True),
        ... )
        >>> command_to_train(Result(id="", status="verified", identity=identity, scores={}))
        "fusionbench train fcn --data data/fusiondigits/1.0.0 --preset tiny --seed 3 --budget '40 steps'"
    """
    identity, training = result.identity, result.identity.training or TrainingIdentity()
    trained_on = _name_of_training_set(identity)
    words = ["fusionbench", "train", identity.model.name, "--data", trained_on]
    words += ["--preset", training.preset] if training.preset is not None else []
    words += ["--seed", str(training.seed)] if training.seed is not None else []
    words += ["--budget", f"{training.steps} steps"] if training.cut and training.steps else []
    given = {**_changed(identity.model.params, training.preset, identity.model.name, "model")}
    # what a record leaves out is at its default, whatever the preset has now
    recorded = {**msgspec.to_builtins(Training()), **training.params} if training.params else {}
    given |= _changed(recorded, training.preset, identity.model.name, "training")
    for key, value in list(given.items())[:SHOWN_SETTINGS]:
        words += ["--set", f"{key}={msgspec.json.encode(value).decode()}"]
    return shlex.join(words)


def _changed(params: Mapping[str, Any], preset: str | None, model: str, part: str) -> dict[str, Any]:
    """Recorded parameters that the preset does not have anyway."""
    from fusionbench.models import get_preset

    try:
        chosen = msgspec.to_builtins(getattr(get_preset(model, preset), part))
        if part == "training":
            chosen = msgspec.to_builtins(create_training(chosen))
    except FusionbenchError:
        return dict(params)
    plain = msgspec.json.decode(msgspec.json.encode(chosen))
    return {key: value for key, value in params.items() if key not in plain or plain[key] != value}


def _name_of_training_set(identity: Identity) -> str:
    """The name of the data set for the command; what suites train on for results of pairs."""
    from fusionbench.evaluation.suites import list_suites, load_suite

    source = pair_source_of(identity.dataset)
    if source is None:
        return f"data/{identity.dataset.name}/{identity.dataset.version}"
    suites = (load_suite(name) for name in list_suites())
    return next((suite.train for suite in suites if suite.dataset == source and suite.train), "DATA")


def _train(result: Result, training: TrainingIdentity, learns: bool, data: Any, finder: Finder, device: str) -> Run:
    """Train as recorded, into a folder that the same command resumes; what only takes statistics, into scratch.

    Raises:
        NotReproducibleError: a record without all that it takes, or a training that came out otherwise.
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.training.loop import train

    identity = result.identity
    lacking = [name for name in ("seed", "steps", "planned_steps", "dataset_id") if getattr(training, name) is None]
    if lacking:
        raise NotReproducibleError("training", f"the result does not record {', '.join(lacking)} of its training")
    dataset: Any = getattr(data, "dataset", None)
    if dataset is None or getattr(dataset, "training_id", None) != training.dataset_id:
        likely = pair_source_of(identity.dataset) or identity.dataset.name
        folder = find_dataset(training.dataset_id or "", finder, likely)
        if folder is None:
            text = f"the data set {(training.dataset_id or '')[:12]} that it was trained on is not here: name its "
            raise NotReproducibleError(
                "data", text + "folder with --data-root, or its upstream files with --source-dir"
            )
        dataset = open_dataset(folder)
    place = finder.places.runs if learns else finder.scratch / "fitted"
    try:
        run = train(
            identity.model.name,
            dataset,
            out=place / "reproduced" / f"{identity.model.name}-{result.id[:12]}",
            preset=training.preset,
            device=device,
            budget=f"{training.steps} steps" if training.cut else None,
            seed=training.seed or 0,
            params=identity.model.params,
            training=msgspec.to_builtins(_recorded_training(training)),
        )
    except FusionbenchError as error:
        raise NotReproducibleError("training", f"training again failed: {error}") from error
    run.info.source = identity.model.source
    made = run.info.identity()
    names = made.__struct_fields__
    other = [name for name in names if not same_record(getattr(made, name), getattr(training, name))]
    if other:
        name = other[0]
        text = f"trained again, {name} is {getattr(made, name)!r}, recorded is {getattr(training, name)!r}"
        raise NotReproducibleError("training", text)
    return run
