"""The views of a round: the targets of a public data set under masks, noise and occluders of a secret seed.

The seed is used where the views are made and nowhere else: results name the round and its commitment, and the process
that scores weights reads finished views.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import read_bounded
from fusionbench.core.locks import lock
from fusionbench.core.progress import progress
from fusionbench.core.types import ImageSpec
from fusionbench.data.arrays import Arrays, ShardedArray
from fusionbench.data.dataset import Dataset
from fusionbench.data.recipes import Recipe, ViewMaker
from fusionbench.data.shards.manifest import ShardEntry
from fusionbench.evaluation.masked import MaskedImages
from fusionbench.evaluation.masked import Protocol as MaskedSettings
from fusionbench.evaluation.rounds import Round
from fusionbench.results.schema import ProtocolIdentity

_CHUNK_BYTES = 64 << 20  # of views that are made at a time


def round_dataset_id(round_: Round, dataset_id: str) -> str:
    """What results call the data of a round: ``round ID of DATASET``; the seed does not follow from it.

    Example:
        >>> from fusionbench.evaluation.round_views import round_dataset_id
        >>> from fusionbench.evaluation.rounds import make_round
        >>> round_dataset_id(make_round("quickstart")[0], "d" * 64)[-68:]
        ' of dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd'
    """
    return f"round {round_.id} of {dataset_id}"


def check_round_data(round_: Round, images: MaskedImages) -> None:
    """See whether a round is about these images.

    Raises:
        UsageError: another data set, recipe, split or number of images; or views that came with the source.
    """
    dataset = images.dataset
    if not isinstance(dataset, Dataset) or not isinstance(dataset.recipe, Recipe):
        raise UsageError(f"round {round_.id} is about {round_.dataset}, whose views are made; {dataset.name} is not")
    found = (dataset.name, dataset.recipe.hash, images.split)
    if found != (round_.dataset, round_.recipe, round_.split):
        raise UsageError(
            f"round {round_.id} is about {round_.dataset} {round_.split}, recipe {round_.recipe[:12]}; these data are "
            f"{found[0]} {found[2]}, recipe {found[1][:12]}"
        )
    if round_.n is not None and round_.n != len(images.ids):
        raise UsageError(f"round {round_.id} is about {round_.n} images, the suite scores {len(images.ids)} of these")


def write_round_views(dataset: Dataset, split: str, count: int, seed: int, path: Path) -> str:
    """Make the views of the first ``count`` samples for a seed and write them to ``path`` (.npy); their sha256.

    uint8 (count, V, H, W[, C]), as the generator makes them for a recipe with this seed. Other users cannot read the
    file.

    Raises:
        UsageError: the split's views came with the source.
        DataError: the file cannot be written.
    """
    public = dataset.recipe
    assert isinstance(public, Recipe)
    dataset.view_maker(split)  # says so where there is nothing to make
    bank = None if dataset.split(split).cutouts is None else np.array(dataset.cutouts(split)["cutouts"])
    maker: ViewMaker = msgspec.structs.replace(public, seed=seed).view_maker(split, bank)
    shape = (count, *public.stored["views"][1])
    step = max(1, _CHUNK_BYTES // int(np.prod(shape[1:])))
    targets = dataset.arrays(split).targets
    scratch = path.with_name(f".{path.name}.tmp")
    total = hashlib.sha256()
    try:
        scratch.unlink(missing_ok=True)
        os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with open(scratch, "r+b") as stream, progress(f"views of {dataset.name} {split}", count, "samples") as bar:
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for begin in range(0, count, step):
                samples = np.arange(begin, min(count, begin + step))
                made = np.ascontiguousarray(maker.make_views(targets[samples], samples))
                total.update(made.data)
                stream.write(made.data)
                bar.advance(len(samples))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
    except OSError as error:
        raise DataError(f"{path}: cannot write: {error.strerror or error}; check the folder") from error
    finally:
        scratch.unlink(missing_ok=True)
    return total.hexdigest()


def cached_round_views(round_: Round, images: MaskedImages, seed: int, folder: Path) -> Path:
    """The file of views of a round in a private folder, made when it is missing or damaged.

    All who score weights in one round share it; the folder is the maintainer's, and other users cannot enter it.

    Raises:
        UsageError: the round is about other data.
        DataError: the folder cannot be written.
    """
    check_round_data(round_, images)
    assert isinstance(images.dataset, Dataset)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise DataError(f"{folder}: cannot write: {error.strerror or error}; check the folder") from error
    path = folder / f"{round_.id}-{images.dataset.id[:12]}-{len(images.ids)}.npy"
    noted = path.with_suffix(".sha256")
    with lock(folder / ".lock"):
        if not (path.is_file() and noted.is_file() and read_bounded(noted, 64, "digest").decode() == _sha256_of(path)):
            made = write_round_views(images.dataset, images.split, len(images.ids), seed, path)
            noted.write_text(made)
    return path


def _sha256_of(path: Path) -> str:
    """Digest of the values in a file of views; "" where it cannot be read."""
    try:
        return hashlib.sha256(np.load(path, mmap_mode="r", allow_pickle=False)).hexdigest()
    except (OSError, ValueError, EOFError):
        return ""


class RoundDataset(Dataset):
    """A public data set whose views of one split are those of a round; the others of its splits are not there.

    Args:
        dataset: the public data set.
        views: the file of :func:`write_round_views`.

    Raises:
        DataError: the file is not one of views of this data set.
    """

    def __init__(self, dataset: Dataset, round_: Round, views: Path) -> None:
        super().__init__(dataset.folder, dataset.manifest)
        self._public, self._round = dataset, round_
        try:
            self._views = np.load(views, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{views}: no views of a round: {error}") from error
        dtype, shape = self.recipe.stored["views"]
        if self._views.dtype != dtype or self._views.shape[1:] != shape:
            raise DataError(f"{views}: views of {self._views.dtype} {self._views.shape[1:]}, not {dtype} {shape}")

    @property
    def id(self) -> str:
        """Round and public data set; see :func:`round_dataset_id`."""
        return round_dataset_id(self._round, self._public.id)

    @property
    def splits(self) -> tuple[str, ...]:
        """The split of the round."""
        return (self._round.split,)

    def shard_file(self, entry: ShardEntry) -> Path:
        """The public data set's file, which has the targets."""
        return self._public.shard_file(entry)

    def size(self, split: str) -> int:
        """Number of images of the round."""
        self._require(split)
        return len(self._views)

    def view_maker(self, split: str) -> ViewMaker:
        """There is none: the seed is secret.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"round {self._round.id}: its views are given, they cannot be made here")

    def arrays(self, split: str) -> Arrays:
        """``targets`` and labels of the public data set, ``views`` of the round."""
        self._require(split)
        public, count = self._public.arrays(split), len(self._views)
        bounds = np.minimum(np.cumsum([0, *(entry.n for entry in self.split(split).shards)]), count).tolist()
        ranges = [(a, b) for a, b in pairwise(bounds) if b > a]
        names = [name for name in ("targets", "label", "index") if name in public.columns]
        columns: dict[str, Any] = {name: _in_parts(public.columns[name], ranges) for name in names}
        columns["views"] = _in_parts(self._views, ranges)
        return Arrays(columns)

    def _require(self, split: str) -> None:
        if split != self._round.split:
            raise UsageError(f"round {self._round.id} is about the split {self._round.split}, not {split}")


def _in_parts(array: Any, ranges: Sequence[tuple[int, int]]) -> ShardedArray:
    return ShardedArray([array[begin:end] for begin, end in ranges])


@dataclass(frozen=True)
class RoundProtocol(MaskedSettings):
    """``masked/1`` on the views of a round: results of one round are comparable with each other and no others."""

    round: str = ""
    commitment: str = ""

    def identity(self, spec: ImageSpec) -> ProtocolIdentity:
        """As without a round, with the round's id and commitment."""
        found = super().identity(spec)
        found.params |= {"round": self.round, "commitment": self.commitment}
        return found
