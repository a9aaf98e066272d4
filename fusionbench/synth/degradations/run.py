"""``degrade``: checks, the severities, and batches in parts that stay in a processor's cache."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.synth.arrays import Array, in_memory, is_tensor, uncompiled
from fusionbench.synth.degradations.base import Degradation, Degraded, Level
from fusionbench.synth.degradations.draws import MOST_SAMPLES, Draws
from fusionbench.synth.degradations.table import DEGRADATIONS, FAMILIES
from fusionbench.synth.random import stream_key

SEVERITIES = (1, 2, 3, 4, 5)
LARGEST = 1 << 14  # pixels on a side: positions in 1/256 pixel and their products stay within int32
_CHUNK = 1 << 16  # pixels of a part: with its intermediate values it stays near a core's cache
_CHUNK_TENSOR = 1 << 24


def list_degradations() -> list[str]:
    """Names of all families, in the order of sheets and tables.

    Example:
        >>> from fusionbench.synth.degradations import list_degradations
        >>> list_degradations()[0]
        'shift/1'
    """
    return sorted(DEGRADATIONS.names(), key=lambda name: FAMILIES.index(name) if name in FAMILIES else len(FAMILIES))


@uncompiled
def degrade(
    views: Array,
    family: str,
    severity: int,
    *,
    dataset: str,
    split: str,
    samples: Array,
    seed: int = 0,
    epoch: int = 0,
    planes: Sequence[int] | None = None,
) -> Degraded:
    """Degraded pairs of clean ones, with the truth about what was done to them.

    Args:
        views: uint8 (n, V, h, w), 0..255, NumPy or torch; view 0 is thermal (a), the others are visible (b).
        family: name in the registry, as ``shift/1``.
        severity: 0 (the views as they are) to 5.
        dataset, split, seed: with the family they determine the key of the random stream.
        samples: (n,) the index of each pair, 0 and above; with the epoch it is where the stream is read.
        epoch: 0 for what is stored; live training counts on from 1.
        planes: which view each of the V planes belongs to, where they are not one view each: (0, 1, 1, 1) for a thermal
            picture and the three channels of a visible one. Planes of a view are harmed alike, with noise of their own.

    Raises:
        UsageError: an unknown family, no such severity, views of another type or shape, or a field that is larger than
            the picture.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.degradations import degrade
        >>> clean = np.full((3, 2, 8, 8), 100, np.uint8)
        >>> identity = {"dataset": "demo", "split": "all"}
        >>> made = degrade(clean, "gaussian-noise/1", 3, samples=np.arange(3), **identity).views
        >>> alone = degrade(clean[2:], "gaussian-noise/1", 3, samples=np.array([2]), **identity).views
        >>> bool((made[2:] == alone).all()), made.dtype.name, bool((made != clean).any())
        (True, 'uint8', True)
    """
    record = DEGRADATIONS.get(family)
    if isinstance(severity, bool) or not isinstance(severity, int | np.integer) or severity not in (0, *SEVERITIES):
        raise UsageError(f"{family}: no severity {severity!r}; it is a whole number from 0 (clean) to {SEVERITIES[-1]}")
    planes = _checked(views, samples, planes)
    if severity == 0:
        return Degraded(views)
    draws = Draws(stream_key(family, dataset, split, seed), _numbers(samples), epoch, views)
    return degrade_by(record, record.levels[int(severity) - 1], views, planes, draws)


@uncompiled
def degrade_by(record: Degradation, level: Level, views: Array, planes: Sequence[int], draws: Draws) -> Degraded:
    """:func:`degrade` with checked arguments, at any level of a family: what calibration measures.

    Raises:
        UsageError: a field that is larger than the picture.
    """
    height, width = views.shape[2:]
    if len(views):
        require_room(record, level, height, width)
    if in_memory(views):
        made = degrade_by(
            record, level, views.numpy(), planes, Draws(draws.key, draws.samples, draws.epoch, np.empty(0))
        )
        torch = sys.modules["torch"]
        return Degraded(*(None if value is None else torch.from_numpy(value) for value in _values(made)))
    step = max(1, (_CHUNK_TENSOR if is_tensor(views) else _CHUNK) // max(1, height * width))
    if len(views) <= step:
        return record.apply(views, planes, level, draws)
    parts = [
        _values(record.apply(views[part], planes, level, draws.part(part)))
        for part in (slice(at, at + step) for at in range(0, len(views), step))
    ]
    return Degraded(*(_joined(values) for values in zip(*parts, strict=True)))


def require_room(record: Degradation, level: Level, height: int, width: int) -> None:
    """Refuse pictures of a size that a level of a family cannot be given, without a pixel of them.

    Raises:
        UsageError: they have too many pixels, or a field moves a view by all that they have.

    Example:
        >>> from fusionbench.synth.degradations import DEGRADATIONS
        >>> from fusionbench.synth.degradations.run import require_room
        >>> shift = DEGRADATIONS.get("shift/1")
        >>> require_room(shift, shift.levels[4], 64, 64)
    """
    if max(height, width) > LARGEST:
        raise _wrong_size(height, width)
    reach = record.reach(level, height, width)
    if reach and reach >= min(height, width):
        raise UsageError(
            f"{record.name}: moves a view by up to {reach} pixels, and a picture of {height}×{width} has no more; "
            "take larger pictures or a smaller severity"
        )


def _wrong_size(height: int, width: int) -> UsageError:
    return UsageError(f"pictures of {height}×{width} cannot be degraded; sides are 1 to {LARGEST:,} pixels")


def _values(made: Degraded) -> tuple[Array, Array | None, Array | None]:
    return made.views, made.field, made.lost


def _joined(parts: Sequence[Any]) -> Array | None:
    if parts[0] is None:
        return None
    return sys.modules["torch"].cat(parts) if is_tensor(parts[0]) else np.concatenate(parts)


def _checked(views: Array, samples: Array, planes: Sequence[int] | None) -> Sequence[int]:
    """Raise where the views are not what :func:`degrade` takes; which view each plane belongs to."""
    shape, kind = tuple(views.shape), str(views.dtype).removeprefix("torch.")
    if len(shape) != 4 or kind != "uint8":
        raise UsageError(f"views of {kind} {shape} cannot be degraded; give uint8 (n, views, height, width)")
    if min(shape[1:]) < 1 or max(shape[2:]) > LARGEST:
        raise _wrong_size(*shape[2:])
    if len(samples) != shape[0]:
        raise UsageError(f"{shape[0]} pairs with {len(samples)} sample numbers; give one for each")
    if planes is None:
        return range(shape[1])
    if len(planes) != shape[1] or any(not 0 <= view < 256 for view in planes):
        raise UsageError(f"planes {list(planes)} do not say which views {shape[1]} planes belong to")
    return planes


def _numbers(samples: Array) -> np.ndarray:
    numbers = np.asarray(samples.cpu().numpy() if is_tensor(samples) else samples).astype(np.int64).reshape(-1)
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= MOST_SAMPLES):
        raise UsageError(f"sample {numbers.min()}..{numbers.max()} is outside 0..{MOST_SAMPLES - 1}")
    return numbers
