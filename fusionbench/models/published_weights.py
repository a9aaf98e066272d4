"""Weights that a network's authors published: which files they are, and how they become weights of ours.

A network of a paper names them in ``PUBLISHED`` and turns what the files hold into its own ``state_dict`` with
``from_published``. The files are the user's own: none is shipped or fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import ImageSpec

if TYPE_CHECKING:
    from torch import Tensor

# What networks of pairs are built for; they fuse any size.
PUBLISHED_SPEC = ImageSpec(channels=1, height=64, width=64, views=2)


@dataclass(frozen=True)
class PublishedWeights:
    """What authors published for one network.

    Attributes:
        files: the parts that it takes, in order, such as ``("encoder", "decoder")``; most have one, ``("weights",)``.
        sha256: hex sha256 of each part of the release that was checked here, in the same order.
        homepage: where the authors publish them.
        licence: of the weights, as the authors state it.
        params: parameters of the model that these weights need, where they are not the defaults.
        checked: what fused images of these weights were compared with, and how well they agreed.
    """

    files: tuple[str, ...]
    sha256: tuple[str, ...]
    homepage: str
    licence: str
    params: Mapping[str, Any] = field(default_factory=dict)
    checked: str = ""


class TakesPublished(Protocol):
    """A model class whose authors published weights."""

    PUBLISHED: ClassVar[PublishedWeights]

    @classmethod
    def from_published(cls, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The ``state_dict`` of this model from what the files hold, a mapping of names to tensors each.

        Raises:
            DataError: names or shapes that are not those of the published files.
        """
        ...


def fit_published(cls: type, state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The state of a model of pairs from published tensors: every one under its name here, with its shape checked.

    Args:
        cls: the model's class; its ``PUBLISHED.params`` are the parameters it is built with.
        state: published name -> tensor.
        names: name in the model's ``state_dict`` -> published name. A counter of batch normalisation that is not among
            them is zero.

    Raises:
        DataError: a name that is missing, unknown, or of another shape: weights of another network or size.

    Example:
        >>> import torch
        >>> from fusionbench import FusionbenchError, MODELS
        >>> from fusionbench.models.published_weights import fit_published
        >>> try:
        ...     fit_published(MODELS.get("ifcnn"), {"fc.weight": torch.zeros(2)}, {"stem.weight": "conv1.weight"})
        ... except FusionbenchError as error:
        ...     print(error)
        not the published weights of IFCNN: 'conv1.weight' is missing
    """
    import torch

    title, params = cls.title, cls.PUBLISHED.params  # type: ignore[attr-defined]
    with torch.device("meta"):
        own = cls(PUBLISHED_SPEC, **params).state_dict()
    wrong = f"not the published weights of {title}"
    found = {}
    for ours, value in own.items():
        if ours not in names and ours.endswith("num_batches_tracked"):
            found[ours] = torch.zeros((), dtype=torch.int64)
            continue
        theirs = names[ours]
        if theirs not in state:
            raise DataError(f"{wrong}: {theirs!r} is missing")
        if state[theirs].shape != value.shape:
            shapes = f"{tuple(state[theirs].shape)} instead of {tuple(value.shape)}"
            raise DataError(f"{wrong}: {theirs!r} has the shape {shapes}")
        found[ours] = state[theirs]
    if unknown := sorted(set(state) - set(names.values())):
        raise DataError(f"{wrong}: {len(unknown)} names are unknown, first {unknown[0][:100]!r}")
    return found


def networks_with_published_weights() -> dict[str, PublishedWeights]:
    """Registered models whose authors published weights, by name.

    Example:
        >>> from fusionbench.models.published_weights import networks_with_published_weights
        >>> networks_with_published_weights()["seafusion"].homepage
        'https://github.com/Linfeng-Tang/SeAFusion'
    """
    from fusionbench.models import MODELS

    classes = {name: MODELS.get(name) for name in MODELS.names()}
    return {name: cls.PUBLISHED for name, cls in classes.items() if hasattr(cls, "PUBLISHED")}


def published_weights_of(network: str) -> PublishedWeights:
    """What the authors of a registered model published.

    Raises:
        UsageError: no such model, or none whose published weights are known.

    Example:
        >>> from fusionbench.models.published_weights import published_weights_of
        >>> published_weights_of("ifcnn").files
        ('weights',)
    """
    from fusionbench.models import MODELS

    MODELS.get(network)  # an unknown name gets a suggestion
    known = networks_with_published_weights()
    if network not in known:
        names = ", ".join(known) or "none"
        raise UsageError(f"no published weights of {network} are known; see `fusionbench weights list` ({names})")
    return known[network]
