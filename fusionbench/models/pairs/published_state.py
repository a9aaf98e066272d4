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
from fusionbench.core.types import ImageSpec
from fusionbench.models.pairs.base import PairModel

ANY_SIZE = ImageSpec(channels=1, height=32, width=32, views=2)


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

    Args:
        cls: a model of pairs.
        params: the parameters that the weights are for.
        states: what the files hold.
        parts: for each file, the names of our modules or tensors, and what the file calls them.
        ours_alone: parts of ours that nobody publishes (discriminators): they are drawn anew, from a fixed seed.
        not_needed: endings of names in the file that are no weights (index tables).

    Raises:
        DataError: another number of files, or a tensor that is missing, too many, of another shape or not finite.
    """
    title = cls.title
    if len(states) != len(parts):
        raise DataError(f"{title}: the published weights are {len(parts)} file(s), not {len(states)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        result = cls(ANY_SIZE, **params).state_dict()
    new = tuple(ours_alone)
    wanted = {name for name in result if not name.startswith(new)} if new else set(result)
    ends = tuple(not_needed)
    for number, (state, names) in enumerate(zip(states, parts, strict=True), 1):
        where = f"{title}, file {number}" if len(states) > 1 else title
        held = {name: value for name, value in flat_state(state).items() if not (ends and name.endswith(ends))}
        for ours in sorted(wanted):
            part = _part_of(ours, names)
            if part is None:
                continue
            theirs = names[part] + ours.removeprefix(part)
            if theirs not in held:
                raise DataError(f"{where}: not the published weights, which have a tensor {theirs!r}")
            value, expected = held.pop(theirs), result[ours]
            if value.shape != expected.shape:
                raise DataError(
                    f"{where}: {theirs!r} has the shape {tuple(value.shape)}, and {tuple(expected.shape)} in the "
                    "published weights"
                )
            value = value.detach().to(expected.dtype)
            if not bool(torch.isfinite(value).all()):
                raise DataError(f"{where}: {theirs!r} has values that are not finite, which the published weights lack")
            result[ours] = value.clone()
            wanted.discard(ours)
        if held:
            raise DataError(f"{where}: not the published weights, which have no tensor {min(held)!r}")
    if wanted:
        raise DataError(f"{title}: no published tensor for {min(wanted)!r}")
    return dict(result)


def _part_of(name: str, parts: Mapping[str, str]) -> str | None:
    """The longest of the parts that ``name`` is, or is in."""
    fitting = [part for part in parts if name == part or name.startswith(f"{part}.")]
    return max(fitting, key=len, default=None)
