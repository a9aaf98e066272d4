"""The method that fuses: a registered model, a trained run, a network with weights from a file, or one's own class.

A method gets luminance and gives luminance; colour and depth are :mod:`fusionbench.evaluation.fusing.fuse`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from fusionbench.core.crashes import is_out_of_memory
from fusionbench.core.errors import DataError, FusionbenchError, MeasurementError, UsageError, unknown_name
from fusionbench.core.interfaces import Fuses, Model, can_fuse
from fusionbench.core.plugin_files import split_plugin
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.fused_values import problem_of_fused

if TYPE_CHECKING:
    import torch

    from fusionbench.training.run import Run

DEFAULT_METHOD = "gradient-domain"
FOR_PEOPLE = "natural"  # the preset that is taken without a word where a method has it: made to be looked at
NOMINAL_SIZE = (256, 256)  # height and width that a method is built for where no pair says another one
Method: TypeAlias = str | Path | Model
Tile: TypeAlias = int | Literal["auto", "none"]


@dataclass(frozen=True)
class LoadedMethod:
    """A method that is ready to fuse.

    Attributes:
        model: in evaluation mode, on ``device``.
        name: what people call it: a model's name, the run's folder, the class.
        params: parameters that it was built with.
        run: the trained run that it is, or None.
        shared: several threads may call it at once: it has no state and no weights.
    """

    model: Fuses
    name: str
    device: torch.device
    params: Mapping[str, Any] = field(default_factory=dict)
    run: Run | None = None
    shared: bool = False
    _turn: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def identity(self) -> dict[str, Any]:
        """What tells this method from others: name, version, parameters, digests of weights and own code, as JSON."""
        import msgspec

        from fusionbench.core.io import file_sha256
        from fusionbench.evaluation.subject import state_sha256

        if self.run is not None:
            weights = file_sha256(self.run.folder / "weights.safetensors")
            plain: dict[str, Any] = msgspec.to_builtins(self.run.info.model_identity(weights))
            return plain
        version, place = getattr(self.model, "version", ""), split_plugin(self.name)
        code = None if place is None else file_sha256(place.path)
        about = {"name": self.name, "version": version, "params": dict(self.params), "code_sha256": code}
        found: dict[str, Any] = msgspec.to_builtins({**about, "weights_sha256": state_sha256(self.model)})
        return found

    def fuse_luminance(
        self, a: np.ndarray, b: np.ndarray, *, tile: Tile = "auto", memory: int | None = None
    ) -> np.ndarray:
        """The fused luminance of one pair; what is fused beside it, and in which order, does not matter.

        Args:
            a, b: float32 (H,W) in [0,1].
            tile: side of the tiles by which large images are fused, ``auto`` by ``memory``, or ``none``.
            memory: bytes that fusing may take, by which ``auto`` chooses; None is 2 GiB on every machine.

        Returns:
            float32 (H,W).

        Raises:
            DataError: the method cannot fuse this pair.
            MeasurementError: out of memory.
        """
        return self.fuse_views(np.stack((a, b)), tile=tile, memory=memory)

    def fuse_views(self, views: np.ndarray, *, tile: Tile = "auto", memory: int | None = None) -> np.ndarray:
        """The same of a stack, float32 (V,H,W) in [0,1]; the method was loaded for so many views.

        Raises:
            DataError, MeasurementError: as :meth:`fuse_luminance`.
        """
        import torch

        from fusionbench.models.tiling import fuse_any_size

        height, width = views.shape[1:]
        pair = torch.from_numpy(views)[None, :, None].to(self.device)
        try:
            with torch.no_grad(), nullcontext() if self.shared else self._turn:
                fused = fuse_any_size(self.model, pair, tile=tile, memory=memory)
        except FusionbenchError:
            raise
        # Of somebody's network, which may not know how to fuse such a size; one that exits would end this as a success.
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise MeasurementError(
                    f"{self.name}: out of memory for {height}×{width} pixels; try a smaller --tile, --jobs 1 or a GPU"
                ) from error
            reason = " ".join(str(error).split())[:160]
            raise DataError(
                f"{self.name} cannot fuse {height}×{width} pixels: {type(error).__name__}: {reason}; try another method"
            ) from error
        if tuple(fused.shape) != (1, 1, height, width):
            raise DataError(f"{self.name} made {tuple(fused.shape)} of a pair of {height}×{width} pixels; it is faulty")
        if (problem := problem_of_fused(fused)) is not None:
            raise DataError(f"{self.name}: the fused image {problem}")
        result: np.ndarray = fused[0, 0].detach().float().cpu().numpy()
        return result


def load_method(
    method: Method = DEFAULT_METHOD,
    *,
    weights: str | Path | None = None,
    preset: str | None = None,
    params: Mapping[str, Any] | None = None,
    device: str = "auto",
    size: tuple[int, int] = NOMINAL_SIZE,
    views: int = 2,
) -> LoadedMethod:
    """Make a method ready.

    Args:
        method: the name of a registered model; the folder of a trained run; ``file.py:Class``, or ``file.py``
            with one model in it, which is run; or a model object.
        weights: for a name or a class that learns: the run folder, or the ``.safetensors`` file, that has its weights.
        preset, params: how a registered model is built; a run knows it. Without a preset, the one called ``natural``
            where the model has it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        size: height and width of the images, for models that are built for one size.
        views: how many images are fused into one.

    Raises:
        UsageError: an unknown name, parameters or weights where none belong, a model that fuses no pairs, or one that
            learns and has no weights.
        DataError: weights that are missing, damaged or of another model.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.fusing.methods import load_method
        >>> average, ones = load_method("average", device="cpu"), np.ones((2, 3), np.float32)
        >>> average.name, average.fuse_luminance(ones / 2, ones).tolist()
        ('average', [[0.75, 0.75, 0.75], [0.75, 0.75, 0.75]])
    """
    from fusionbench.models import MODELS
    from fusionbench.training.runtime import find_device

    spec, chosen, params = ImageSpec(1, *size, views), find_device(device), dict(params or {})
    if isinstance(method, type):
        name = method.__name__
        raise UsageError(f"{name} is a class; give an object of it, such as {name}(ImageSpec(1, 256, 256, 2))")
    if not isinstance(method, str | Path):
        if weights is not None or preset is not None or params:
            raise UsageError("weights, preset and params are for a method by name; this one is a model object")
        return _ready(method, type(method).__name__, chosen, params)
    text = str(method)
    if isinstance(method, str) and text in MODELS.names():
        if preset is None and FOR_PEOPLE in MODELS.get(text).PRESETS:
            preset = FOR_PEOPLE
        return _registered(text, weights, preset, params, spec, chosen)
    if (Path(text) / "run.json").is_file():
        if weights is not None or preset is not None or params:
            raise UsageError(f"{text}: a run knows its weights and parameters; leave out --weights, --preset and --set")
        return _of_run(Path(text), text, spec, chosen)
    if split_plugin(text) is not None:
        return _own_class(text, weights, preset, params, spec, chosen)
    if Path(text).exists() or "/" in text or text.endswith((".safetensors", ".pth", ".pt")):
        raise UsageError(
            f"{text}: no run folder here (it has no run.json); give a model's name, a run folder or file.py:Class, and "
            "a file of weights as NAME --weights FILE.safetensors"
        )
    raise unknown_name("method", text, MODELS.names(), "fusionbench list models")


def _registered(
    name: str, weights: str | Path | None, preset: str | None, params: dict[str, Any], spec: ImageSpec, on: torch.device
) -> LoadedMethod:
    from fusionbench.models import MODELS, create_model, get_preset

    cls: Any = MODELS.get(name)
    if not hasattr(cls, "fuse") or hasattr(cls, "sample"):
        raise UsageError(f"{name} draws images of masked views and fuses no pairs; see `fusionbench list models`")
    if hasattr(cls, "fit"):
        raise UsageError(f"{name} is a baseline for masked views, not for pairs; `average` and `copy-b` are those")
    if weights is None:
        if hasattr(cls, "loss"):
            raise UsageError(_needs_weights(name, cls))
        model = create_model(name, spec, preset, **params)
        return _ready(model, name, on, {**get_preset(name, preset).model, **params})
    if not hasattr(cls, "loss"):
        raise UsageError(f"{name} has no weights: leave out --weights")
    place = Path(weights)
    if place.name == "weights.safetensors" and (place.parent / "run.json").is_file():
        place = place.parent
    if not place.is_dir():
        import torch

        model = create_model(name, spec, preset, **params)
        _load_file(model, place, name)
        model = model.to(memory_format=torch.channels_last)  # as of a run, so that both give the same bits
        return _ready(model, name, on, {**get_preset(name, preset).model, **params})
    if preset is not None or params:
        raise UsageError(f"{place}: a run knows its parameters; leave out --preset and --set")
    found = _of_run(place, name, spec, on)
    assert found.run is not None
    if found.run.info.model != name:
        raise UsageError(f"{place}: weights of {found.run.info.model}, not of {name}; give that name")
    return found


def _needs_weights(name: str, cls: type) -> str:
    published = getattr(cls, "PUBLISHED", None)
    if published is None:
        remedy = f"train it (`fusionbench train {name} --data SET`)"
    else:
        remedy = f"make them from those of {published.homepage} (`fusionbench weights import {name} FILE`)"
    return f"{name} learns, so it needs weights: {remedy} and give the run folder with --weights"


def _load_file(model: Model, path: Path, name: str) -> None:
    from fusionbench.training.checkpoints import load_weights

    if not path.exists():
        raise DataError(f"{path}: no such file or folder of weights")
    if path.suffix != ".safetensors":
        raise UsageError(
            f"{path}: weights are read from .safetensors and run folders only, because other formats can hold code; "
            f"`fusionbench weights import {name} {path.name}` converts published ones"
        )
    try:
        load_weights(model, path)
    except DataError as error:
        raise DataError(
            f"{error}; give the run folder instead, or the --preset and --set it was trained with"
        ) from error


def _of_run(folder: Path, name: str, spec: ImageSpec, on: torch.device) -> LoadedMethod:
    from fusionbench.training.run import read_run

    run = read_run(folder)
    return _ready(run.load_model(spec, on), name, on, run.info.params, run)


def _own_class(
    where: str,
    weights: str | Path | None,
    preset: str | None,
    params: dict[str, Any],
    spec: ImageSpec,
    on: torch.device,
) -> LoadedMethod:
    from fusionbench.models.checks import load_class

    cls: Any = load_class(where)
    if preset is not None:
        presets = getattr(cls, "PRESETS", {})
        if preset not in presets:
            raise unknown_name(f"preset of {cls.__name__}", preset, presets)
        params = {**presets[preset].model, **params}
    try:
        model = cls(spec, **params)
    except FusionbenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"{where} cannot be built: {type(error).__name__}: {reason}") from error
    if weights is not None:
        place = Path(weights)
        _load_file(model, place / "weights.safetensors" if place.is_dir() else place, cls.__name__)
    elif hasattr(cls, "loss") or hasattr(cls, "fit"):
        raise UsageError(f"{where} learns, so it needs weights: give its file with --weights FILE.safetensors")
    return _ready(model, where, on, params)


def _ready(
    model: Model, name: str, device: torch.device, params: Mapping[str, Any], run: Run | None = None
) -> LoadedMethod:
    from fusionbench.models.classical.pyramids import PairRow

    if not can_fuse(model):
        raise UsageError(f"{name} has no method `fuse`: it makes no fused image of a pair")
    shared = isinstance(model, PairRow) and device.type == "cpu"
    return LoadedMethod(model.to(device).eval(), name, device, params, run, shared)
