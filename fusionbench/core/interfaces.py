"""Interfaces: what a source, data set, stream, model or torch module must offer to the functions that take one.

They are checked by mypy and by the contract tests (``tests/contracts``); a class need not derive from them. Optional
abilities (files with names, a loss, samples) are interfaces of their own; :func:`has_files`, :func:`has_pairs`,
:func:`is_trainable`, :func:`can_fuse`, :func:`can_sample` and :func:`has_likelihood` say whether an object has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeGuard, overload, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn
    from typing_extensions import TypeIs

    from fusionbench.core.types import Batch, ImageSpec, LossTerms, Preset


@runtime_checkable
class Source(Protocol):
    """Upstream images, as they are before a recipe touches them.

    A source is constructed with the folder that holds its files (``None`` for embedded
    ones) and checks on construction that they are what they should be; it never writes.

    Abilities are discovered by presence: ``read_list(split, indices)`` for images of mixed sizes, a list of
    uint8 (h, w, c); ``visible_mask(split, index)``, uint8 (h, w) or None, the truth that cut-outs are held against;
    ``object_mask(split, index)``, the same as far as it can be told from the image, for the gate of cut-outs alone;
    ``views(split, indices)``, uint8 (n, V, h, w, c), views that come with the source; :class:`FileSource`, images in
    files that can be named; ``companions(split, index)``, further files that such an image depends on;
    ``containers(split)``, the files of a source that has one for many images; ``fixed(split)``, why none of a split may
    be left out ("" where it may);
    :class:`PairSource`, registered pairs. ``read`` of a source of files may be called by several threads at once.

    Raises (constructor and ``read``):
        DataError: missing, truncated, swapped or hostile files: one line, naming the file and the remedy.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]  # of the data, as its owner states it
    citation: ClassVar[str]
    homepage: ClassVar[str]
    redistributable: ClassVar[bool]
    splits: Sequence[str]

    def __init__(self, root: Path | None) -> None: ...

    def length(self, split: str) -> int:
        """Number of images of a split."""
        ...

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Images as uint8 (n, H, W, C), in the order of ``indices``."""
        ...

    def labels(self, split: str) -> np.ndarray | None:
        """Class labels as int64 (length,), or None when the source has none."""
        ...

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over a split's decoded pixels: tells a differing decoder from a differing generator."""
        ...


class FileSource(Source, Protocol):
    """A source whose every image is in a file of its own (a pair in two): a single one can be refused and left out."""

    def names(self, split: str) -> Sequence[str]:
        """The name of every image of a split, in order."""
        ...

    def paths(self, split: str, index: int) -> Sequence[Path]:
        """The files that an image is read from."""
        ...


class PairSource(Protocol):
    """Registered pairs, each of its own size: of image files, embedded, or of a stored data set of whole pairs.

    Abilities are discovered by presence: ``ranges_of(split)``, the ranges by which the image files of a split became 8
    bits; ``missing(split)``, images without a partner -> the folder that lacks it; ``files(split)``, stem -> the two
    image files; ``fingerprint_of(stems, pairs)``, what ``fingerprint`` says of pairs from elsewhere.
    """

    @property
    def name(self) -> str: ...

    @property
    def redistributable(self) -> bool: ...

    @property
    def splits(self) -> Sequence[str]: ...

    def stems(self, split: str) -> list[str]:
        """The name of every pair of a split, in order.

        Raises:
            UsageError: no such split.
        """
        ...

    def length(self, split: str) -> int:
        """Number of pairs of a split."""
        ...

    def read_pairs(self, split: str, indices: np.ndarray) -> Sequence[np.ndarray]:
        """Pairs as uint8 (2, h, w), in the order of ``indices``.

        Raises:
            DataError: an unreadable image, or a pair of two sizes.
        """
        ...

    def fingerprint(self, split: str) -> str:
        """Hex sha256 over the pixels (of files, and the names) of all pairs of a split."""
        ...


class UpstreamPairs(Source, PairSource, Protocol):
    """Registered pairs as they are before a recipe touches them."""


@overload
def has_files(source: type[Source]) -> TypeGuard[type[FileSource]]: ...
@overload
def has_files(source: Source) -> TypeGuard[FileSource]: ...
def has_files(source: Source | type[Source]) -> bool:
    """Whether every image of a source is in a file, or a pair in two, that can be named."""
    return hasattr(source, "names") and hasattr(source, "paths")


@overload
def has_pairs(source: type[Source]) -> TypeGuard[type[UpstreamPairs]]: ...
@overload
def has_pairs(source: Source) -> TypeGuard[UpstreamPairs]: ...
def has_pairs(source: Source | type[Source]) -> bool:
    """Whether a source has registered pairs."""
    return hasattr(source, "read_pairs")


class Columns(Protocol):
    """The arrays of a split, each an attribute: ``targets``, ``views``, ``label``, … and all of them by name."""

    @property
    def columns(self) -> Mapping[str, Any]: ...

    def __getattr__(self, name: str) -> Any: ...


class StreamLike(Protocol):
    """Batches of a split by sample index, stored or live, of any kind of data set."""

    def __len__(self) -> int: ...

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        """The samples ``indices`` (n,), an integer array, list or tensor on any device.

        Raises:
            IndexError: an index outside the split.
        """
        ...


class DatasetLike(Protocol):
    """A data set as training and scoring see it; :class:`fusionbench.data.dataset.Dataset` is the one on disk.

    ``kind`` is ``"views"`` (masked views) or ``"pairs"`` (registered pairs); whether samples have a known target
    is ``has_targets``.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def id(self) -> str:
        """The citable identity: hex sha256."""
        ...

    @property
    def splits(self) -> Sequence[str]: ...

    @property
    def kind(self) -> Literal["views", "pairs"]: ...

    @property
    def has_targets(self) -> bool: ...

    @property
    def spec(self) -> ImageSpec:
        """Shape of one sample."""
        ...

    def size(self, split: str) -> int:
        """Number of samples of a split."""
        ...

    def arrays(self, split: str) -> Columns:
        """The arrays of a split, read-only."""
        ...

    def labels(self, split: str) -> np.ndarray | None:
        """Class labels int64 (n,), or None."""
        ...

    def names(self, split: str) -> Sequence[str] | None:
        """Names of the samples, or None."""
        ...

    def stream(self, split: str, device: str | torch.device = "cpu", live: bool = True) -> StreamLike:
        """Batches of a split by index; with ``live`` the views of later epochs are made anew."""
        ...

    def batches(
        self, split: str, batch_size: int, device: str | torch.device = "cpu", start: int = 0, stop: int | None = None
    ) -> Iterator[Batch]:
        """The stored samples start..stop-1 of a split, in order."""
        ...


class Module(Protocol):
    """The part of ``torch.nn.Module`` that training and scoring use."""

    training: bool

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, nn.Parameter]]: ...

    def modules(self) -> Iterator[nn.Module]: ...

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> object: ...

    def zero_grad(self, set_to_none: bool = True) -> None: ...

    def train(self, mode: bool = True) -> Self: ...

    def eval(self) -> Self: ...

    def to(self, *args: Any, **kwargs: Any) -> Self: ...

    def double(self) -> Self: ...


class Model(Module, Protocol):
    """A fusion model: a ``torch.nn.Module`` built as ``Class(spec: ImageSpec, **params)``.

    Abilities are discovered by presence (``hasattr``); a model has those that make sense for it:

    * :class:`Trainable`: a loss with groups of parameters; :class:`Plans`: phases that depend on the number of steps;
    * :class:`Fits`: learns statistics in one pass (the mean image) instead of by gradients;
    * :class:`Fuses`, :class:`Samples`, :class:`HasLikelihood`: what can be scored.

    Draws are keyed by (seed, sample id, draw number), so neither batch size nor order can change them.
    """

    title: ClassVar[str]
    reference: ClassVar[str]
    version: ClassVar[str]  # raised when the same weights would give other numbers
    PRESETS: ClassVar[Mapping[str, Preset]]

    def __init__(self, spec: ImageSpec, **params: Any) -> None: ...


class Trainable(Model, Protocol):
    """Learns by gradients."""

    def loss(self, batch: Batch, group: str, step: int) -> LossTerms:
        """The loss of a group of parameters at a step."""
        ...

    def parameter_groups(self) -> Mapping[str, list[nn.Parameter]]:
        """Parameters by optimiser, in the order of their steps.

        ``{"main": [...]}``, or for adversarial ones ``{"critic": [...], "generator": [...]}``.
        """
        ...


class Plans(Protocol):
    """Has annealing, phases or noise that are functions of the step."""

    def plan(self, steps: int, seed: int) -> None:
        """Called before the first step, and again when a budget changes the number of steps."""
        ...


class Fits(Protocol):
    """Learns statistics in one pass."""

    def fit(self, batches: Iterable[Batch]) -> None: ...


class Fuses(Model, Protocol):
    """Makes one deterministic image per sample."""

    def fuse(self, batch: Batch) -> Tensor:
        """(N,C,H,W) in [0,1]."""
        ...


class Samples(Model, Protocol):
    """Draws images from the prior path p(z|X)."""

    def sample(self, batch: Batch, n: int, seed: int) -> Tensor:
        """Mean images (n,N,C,H,W) in [0,1]."""
        ...


class Reconstructs(Samples, Protocol):
    """Shows what its latents carry of a target."""

    def reconstruct(self, batch: Batch) -> Tensor:
        """The targets of a batch as the mean of their posterior gives them back: (N,C,H,W) in [0,1]."""
        ...


class HasLikelihood(Model, Protocol):
    """Can say how likely the target is."""

    def log_weights(self, batch: Batch, n: int, seed: int) -> Tensor:
        """(n,N) float64 nats: log importance weights of p(y|X), of which the harness takes the log-mean-exp.

        A model without latents returns n equal rows.
        """
        ...


class HasPosterior(HasLikelihood, Protocol):
    """Can say what its latents are of a target."""

    def posterior_of(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """For every group of latents its posterior mean (N,…) and its KL to the prior (N,) in nats."""
        ...


def is_trainable(model: Model) -> TypeGuard[Trainable]:
    """Whether a model learns by gradients."""
    return hasattr(model, "loss")


def can_fuse(model: Model) -> TypeIs[Fuses]:
    """Whether a model makes one image per sample."""
    return hasattr(model, "fuse")


def can_sample(model: Model) -> TypeIs[Samples]:
    """Whether a model draws images from a prior."""
    return hasattr(model, "sample")


def can_reconstruct(model: Model) -> TypeIs[Reconstructs]:
    """Whether a model with latents gives back targets."""
    return hasattr(model, "sample") and hasattr(model, "reconstruct")


def has_likelihood(model: Model) -> TypeIs[HasLikelihood]:
    """Whether a model can say how likely a target is."""
    return hasattr(model, "log_weights")


def has_posterior(model: Model) -> TypeIs[HasPosterior]:
    """Whether a model with latents can say what they are of a target."""
    return hasattr(model, "posterior_of") and hasattr(model, "log_weights")
