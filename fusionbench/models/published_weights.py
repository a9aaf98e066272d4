"""Weights that a network's authors published: which files they are, and how they become weights of ours.

A network of a paper names them in ``PUBLISHED`` and turns what the files hold into its own ``state_dict`` with
``from_published``. The files are the user's own: none is shipped or fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor


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
