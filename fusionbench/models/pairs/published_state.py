"""From the tensors of a published file to the ``state_dict`` of a network of ours.

A network lists which of its parts is which part of the file; names and shapes are then checked one by one, so that
weights of another network, or of another size, are refused with the first tensor that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionbench.core.errors import DataError
from fusionbench.models.pairs.base import PairModel
from fusionbench.models.published_weights import PUBLISHED_SPEC

COUNTER = ".num_batches_tracked"  # of batch normalisation


def flat_state(state: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """All tensors of nested mappings, by their names joined with dots; what is no tensor (an epoch) is left out.

    Example:
        >>> import torch
        >>> from fusionbench.models.pairs.published_state import flat_state
        >>> sorted(flat_state({"weight": {"a.bias": torch.zeros(1)}, "epoch": 120}))
        ['weight.a.bias']
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if isinstance(value, Mapping):
            found |= flat_state(value, f"{prefix}{name}.")
        elif isinstance(value, Tensor):
            found[f"{prefix}{name}"] = value
    return found


def published_state(
    cls: type[PairModel],
    params: Mapping[str, Any],
    states: Sequence[Mapping[str, Any]],
    parts: Sequence[Mapping[str, str]],
    ours_alone: Iterable[str] = (),
    not_needed: Iterable[str] = (),
) -> dict[str, Tensor]:
    """The ``state_dict`` of ``cls`` with ``params``, filled from published files.

    Counters of batch normalisation are 0 where a file lacks them, as those from before torch 0.4.1 do.

    Args:
        cls: a model of pairs.
        params: the parameters that the weights are for.
        states: what the files hold.
        parts: for each file, the names of our modules or tensors, and what the file calls them.
        ours_alone: parts of ours that nobody publishes (discriminators): they are drawn anew, from a fixed seed.
        not_needed: endings of names in the file that are no weights (index tables).

    Raises:
        DataError: another number of files, or a tensor that is missing, too many, of another shape or not finite.

    Example:
        >>> import torch
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.models import MODELS
        >>> from fusionbench.models.pairs.published_state import published_state
        >>> try:
        ...     published_state(MODELS.get("ifcnn"), {}, [{"fc.weight": torch.zeros(2)}], [{"stem": "conv1"}])
        ... except FusionbenchError as error:
        ...     print(error)
        not the published weights of IFCNN: 'conv1.weight' is missing
    """
    title = cls.title
    if len(states) != len(parts):
        raise DataError(f"{title}: the published weights are {len(parts)} file(s), not {len(states)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        result = cls(PUBLISHED_SPEC, **params).state_dict()
    new = tuple(ours_alone)
    wanted = {name for name in result if not name.startswith(new)} if new else set(result)
    ends = tuple(not_needed)
    for number, (state, names) in enumerate(zip(states, parts, strict=True), 1):
        wrong = f"not the published weights of {title}: " + (f"file {number}, " if len(states) > 1 else "")
        held = {name: value for name, value in flat_state(state).items() if not (ends and name.endswith(ends))}
        for ours in [name for name in result if name in wanted]:
            part = _part_of(ours, names)
            if part is None:
                continue
            theirs, expected = names[part] + ours.removeprefix(part), result[ours]
            wanted.discard(ours)
            if theirs not in held and ours.endswith(COUNTER):
                continue
            if theirs not in held:
                raise DataError(f"{wrong}{theirs!r} is missing")
            value = held.pop(theirs)
            if value.shape != expected.shape:
                shapes = f"{tuple(value.shape)} instead of {tuple(expected.shape)}"
                raise DataError(f"{wrong}{theirs!r} has the shape {shapes}")
            value = value.detach().to(expected.dtype)
            if not bool(torch.isfinite(value).all()):
                raise DataError(f"{wrong}{theirs!r} has values that are not finite")
            result[ours] = value.clone()
        if held:
            raise DataError(f"{wrong}{len(held)} names are unknown, first {min(held)[:100]!r}")
    if wanted:
        raise DataError(f"{title}: no published tensor for {min(wanted)!r}")
    return dict(result)


def _part_of(name: str, parts: Mapping[str, str]) -> str | None:
    """The longest of the parts that ``name`` is, or is in."""
    fitting = [part for part in parts if name == part or name.startswith(f"{part}.")]
    return max(fitting, key=len, default=None)
