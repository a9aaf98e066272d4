"""Weights and training state on disk: safetensors and JSON, never a pickle.

    RUN/run.json                 what is trained, and how far it is
    RUN/log.csv                  the curves
    RUN/checkpoint/00001200/     weights.safetensors, state.safetensors (optimisers, random generators), state.json
    RUN/weights.safetensors      the finished model

A checkpoint is built under another name and renamed when whole; the two newest are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusionbench.core.errors import DataError
from fusionbench.core.interfaces import Module
from fusionbench.core.io import read_bounded

MAX_CHECKPOINTS = 2


def save_weights(model: Module, path: Path) -> None:
    """Write a model's state (contiguous copies, on the CPU) atomically."""
    _save({name: value.detach() for name, value in model.state_dict().items()}, path)


def load_weights(model: Module, path: Path) -> None:
    """Load a model's state, exactly: same names, shapes and types, all finite.

    Raises:
        DataError: missing, not safetensors, or of another model.
    """
    tensors = read_tensors(path)
    if hasattr(model, "match_state"):
        model.match_state(tensors)
    own = model.state_dict()
    wrong = sorted(set(tensors) ^ set(own))
    wrong += [k for k in own if k in tensors and (tensors[k].shape, tensors[k].dtype) != (own[k].shape, own[k].dtype)]
    if wrong:
        raise DataError(f"{path}: weights of another model or version: {len(wrong)} differ, first {wrong[0]!r}")
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise DataError(f"{path}: {len(bad)} tensors are not finite, first {bad[0]!r}")
    model.load_state_dict(tensors)


def is_finite(model: Module) -> bool:
    """Whether every parameter and buffer is finite."""
    values = [v for v in model.state_dict().values() if v.is_floating_point()]
    return bool(torch.stack([torch.isfinite(v).all() for v in values]).all()) if values else True


def save_checkpoint(
    folder: Path,
    step: int,
    model: Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: Mapping[str, Any],
    extra: Mapping[str, Tensor],
) -> None:
    """Write ``folder/<step>`` and remove all but the newest :data:`MAX_CHECKPOINTS`.

    ``state`` is JSON, ``extra`` more tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    building = folder / f".{step:08d}.{os.getpid()}.tmp"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        save_weights(model, building / "weights.safetensors")
        tensors, groups = _flatten(optimizers)
        tensors |= {f"extra.{name}": value for name, value in extra.items()}
        tensors["rng.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            tensors["rng.cuda"] = torch.cuda.get_rng_state()
        _save(tensors, building / "state.safetensors")
        body = {"step": step, "optimizers": groups, **state}
        (building / "state.json").write_text(json.dumps(body, sort_keys=True, indent=1, allow_nan=False))
        final = folder / f"{step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        os.rename(building, final)
    except OSError as error:
        raise DataError(f"{folder}: cannot write a checkpoint: {error.strerror or error}; free some space") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    for old in list_checkpoints(folder)[:-MAX_CHECKPOINTS]:
        shutil.rmtree(old, ignore_errors=True)


def compact_checkpoints(folder: Path) -> int:
    """Make the training state below ``folder`` as small as it can be carried: the newest checkpoint alone, with the
    optimisers' moments in bfloat16. Returns the bytes that are left.

    Weights, averages and counters stay as they are. A moment changes by at most 1 part in 256, once, and training
    resumes as from any checkpoint, though no longer to the bit.

    Raises:
        DataError: a damaged checkpoint, which is left as it is.
    """
    for old in list_checkpoints(folder)[:-1]:
        shutil.rmtree(old, ignore_errors=True)
    for path in list_checkpoints(folder):
        tensors = read_tensors(path / "state.safetensors")
        wide = {n: v for n, v in tensors.items() if n.startswith("optimizer.") and v.dim() and v.is_floating_point()}
        if any(value.dtype != torch.bfloat16 for value in wide.values()):
            _save(tensors | {name: value.bfloat16() for name, value in wide.items()}, path / "state.safetensors")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    found = [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and (path / "state.json").is_file()]
    return sorted(found, key=lambda path: int(path.name))


def load_checkpoint(
    path: Path, model: Module, optimizers: Mapping[str, torch.optim.Optimizer], device: torch.device
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put a checkpoint back into the model, the optimisers and the random generators; its ``state`` and ``extra``.

    Raises:
        DataError: damaged, or of another model.
    """
    try:
        state = json.loads(read_bounded(path / "state.json", 1 << 24, "training state"))
        load_weights(model, path / "weights.safetensors")
        tensors = read_tensors(path / "state.safetensors")
        torch.set_rng_state(tensors["rng.cpu"])
        if device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], device)
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(_unflatten(tensors, f"optimizer.{name}.", state["optimizers"][name]))
            _lay_out_alike(optimizer)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: damaged checkpoint: {error}; remove this folder to resume from an older one"
        ) from error
    return state, {name[6:]: value for name, value in tensors.items() if name.startswith("extra.")}


def _flatten(optimizers: Mapping[str, torch.optim.Optimizer]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, groups = {}, {}
    for name, optimizer in optimizers.items():
        body = optimizer.state_dict()
        plain: dict[str, dict[str, Any]] = {}
        for index, values in body["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{name}.{index}.{key}"] = value.detach()
                else:
                    plain.setdefault(str(index), {})[key] = value
        groups[name] = {"param_groups": body["param_groups"], "plain": plain}
    return tensors, groups


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Moments in the memory format of their parameters, as they were before: on disk all are contiguous, and kernels
    that take many tensors at once want all of one layout."""
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _unflatten(tensors: Mapping[str, Tensor], prefix: str, groups: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in groups["plain"].items()}
    for name, value in tensors.items():
        if name.startswith(prefix):
            index, _, key = name[len(prefix) :].partition(".")
            state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": groups["param_groups"]}


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    # one memory format on disk, whatever the layout in memory; no storage shared between tensors
    plain = {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(plain, temporary)
        with open(temporary, "r+b") as stream:  # Windows flushes only what may be written
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # safetensors makes private files
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot write weights: {error}; check the folder and the free space") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the CPU.

    Raises:
        DataError: missing, or not safetensors.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from fusionbench.training.checkpoints import read_tensors, save_weights
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(torch.nn.Linear(3, 2), Path(folder, "weights.safetensors"))
        ...     {name: tuple(value.shape) for name, value in read_tensors(Path(folder, "weights.safetensors")).items()}
        {'bias': (2,), 'weight': (2, 3)}
    """
    if not path.is_file():
        raise DataError(f"{path}: no such weights file")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from error
