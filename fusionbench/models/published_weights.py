"""Weights that a network's authors published: which files they are, and how they become weights of ours.

A network of a paper names them in ``PUBLISHED`` and turns what the files hold into its own ``state_dict`` with
``from_published``; :mod:`fusionbench.models.pairs.published_state` renames and checks the tensors for it. The files are
the user's own: none is shipped or fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from fusionbench.core.errors import UsageError
from fusionbench.core.io import canonical_json
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
        ours_alone: how names of tensors begin that the authors do not publish (discriminators); they are drawn here.
        state_sha256: :func:`released_state_sha256` of the model's state from the checked release; empty where nobody
            had the files when the network was written.
    """

    files: tuple[str, ...]
    sha256: tuple[str, ...]
    homepage: str
    licence: str
    params: Mapping[str, Any] = field(default_factory=dict)
    checked: str = ""
    ours_alone: tuple[str, ...] = ()
    state_sha256: str = ""


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


def released_state_sha256(state: Mapping[str, Tensor], ours_alone: tuple[str, ...] = ()) -> str:
    """Hex sha256 over the tensors of a model's state that a release determines: name, type, shape and bytes, by name.

    Args:
        state: a ``state_dict``, on any device and in any memory format.
        ours_alone: how names of tensors begin that are left out.

    Example:
        >>> import torch
        >>> from fusionbench.models.published_weights import released_state_sha256
        >>> state = {"a": torch.ones(2), "critic.b": torch.zeros(1)}
        >>> digest = released_state_sha256(state, ("critic.",))
        >>> digest == released_state_sha256({"a": torch.ones(2)}), digest == released_state_sha256({"a": torch.ones(3)})
        (True, False)
    """
    import torch

    total = hashlib.sha256()
    for name in sorted(state):
        if ours_alone and name.startswith(ours_alone):
            continue
        value = state[name].detach().cpu().contiguous()
        total.update(canonical_json([name, str(value.dtype).removeprefix("torch."), list(value.shape)]))
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


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
