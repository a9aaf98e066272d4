"""How large a model of recorded parameters would be, before it is built: records come from anybody.

The model is built on PyTorch's meta device, which allocates nothing, and building ends at the first parameter beyond
the limit. Parameters that take long without adding a layer are bounded by the process that builds from a record that is
not one's own (:mod:`fusionbench.submissions.sandbox`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec

if TYPE_CHECKING:
    import torch

MAX_PARAMETERS = 1 << 28  # as many as 1 GiB of float32, the largest weights of a submission
MAX_LAYERS = 10_000  # modules; the largest model here has about 1,000
ALWAYS_ALLOWED = 1 << 24  # parameters whose number is not compared with the file of weights: they cost 64 MiB


class _TooLargeError(Exception):
    """Stops a model from being built further."""


def check_model_size(name: str, spec: ImageSpec, params: Mapping[str, Any], limit: int = MAX_PARAMETERS) -> int:
    """The number of parameters of a registered model, at most ``limit``; nothing is allocated.

    A model that cannot be built without allocating, because it reads the values of its tensors, counts as 0.

    Args:
        params: keyword parameters, as in a run's record or a result's identity.

    Raises:
        UsageError: more parameters than ``limit`` or more layers than :data:`MAX_LAYERS`, or parameters that the model
            does not take.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.models.bounds import check_model_size
        >>> spec = ImageSpec(channels=1, height=16, width=16, views=2)
        >>> check_model_size("mfeif", spec, {"widths": [4, 8, 12, 64]}) > 36_000
        True
        >>> try:
        ...     check_model_size("mfeif", spec, {"widths": [10**6, 10**6, 10**6, 64]})
        ... except FusionbenchError as error:
        ...     print(str(error)[:65])
        mfeif is not built: with the recorded parameters it has more than
    """
    try:
        key = msgspec.json.encode(dict(params), order="sorted")
    except (TypeError, ValueError, RecursionError):  # of a caller's own, not of a file
        return _count(name, spec, params, limit)
    return _counted(name, spec, key, limit)


@lru_cache(maxsize=256)
def _counted(name: str, spec: ImageSpec, params: bytes, limit: int) -> int:
    return _count(name, spec, msgspec.json.decode(params), limit)


def _count(name: str, spec: ImageSpec, params: Mapping[str, Any], limit: int) -> int:
    import torch

    from fusionbench.models import create_model

    try:
        with torch.device("meta"), _limited(limit):
            model = create_model(name, spec, **params)
    except _TooLargeError as error:
        raise UsageError(f"{name} is not built: with the recorded parameters it has more than {error}") from error
    except (MemoryError, OverflowError, RecursionError) as error:
        raise UsageError(f"{name} is not built: with the recorded parameters it is too large") from error
    except RuntimeError as error:
        if "overflow" in str(error).lower():  # of the number of values of one tensor
            text = f"{name} is not built: with the recorded parameters it has more than {limit:,} parameters"
            raise UsageError(text) from error
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


@contextmanager
def _limited(limit: int) -> Iterator[None]:
    """End a model that gets more parameters, values in buffers, or layers while it is built."""
    from torch.nn import Module
    from torch.nn.modules import module as hooks
    from torch.nn.parameter import is_lazy

    counts = {"values": 0, "layers": 0}

    def add_tensor(owner: Module, name: str, value: torch.Tensor | None) -> None:
        if value is not None and not is_lazy(value):
            counts["values"] += value.numel()
        if counts["values"] > limit:
            raise _TooLargeError(f"{limit:,} parameters")

    def add_layer(owner: Module, name: str, value: Module | None) -> None:
        counts["layers"] += 1
        if counts["layers"] > MAX_LAYERS:
            raise _TooLargeError(f"{MAX_LAYERS:,} layers")

    handles = [
        hooks.register_module_parameter_registration_hook(add_tensor),
        hooks.register_module_buffer_registration_hook(add_tensor),
        hooks.register_module_module_registration_hook(add_layer),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_fits_weights(name: str, spec: ImageSpec, params: Mapping[str, Any], weights: Path) -> None:
    """Refuse a model that is far larger than the file of its weights, before it is built.

    Raises:
        UsageError: as :func:`check_model_size`.
    """
    size = weights.stat().st_size if weights.is_file() else 0  # a byte a value at least
    check_model_size(name, spec, params, max(ALWAYS_ALLOWED, size))
