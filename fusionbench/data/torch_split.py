"""A split of a data set as a map-style ``torch.utils.data.Dataset``, for any ``DataLoader`` with any workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils.data import default_collate

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.types import Batch
from fusionbench.core.unit_range import to_unit
from fusionbench.data.pair_stream import PairStream
from fusionbench.data.shards.ragged import Ragged

if TYPE_CHECKING:
    from fusionbench.data.dataset import Dataset

Sample = dict[str, Any]
_IMAGES = ("views", "target", "clean")
DTYPES = {"float32": torch.float32, "uint8": torch.uint8}


class TorchSplit(torch.utils.data.Dataset[Sample]):
    """Samples of a split as dicts of tensors.

    A sample has ``views`` (V,C,H,W), ``target`` (C,H,W) where there is one, ``id``, its number in the split, and
    ``label`` where the source has classes; ``clean`` (V,C,H,W) where the recipe degrades the views.
    Registered pairs have two views of one channel; with ``live=False`` whole
    pairs come in their own sizes, which :attr:`collate` pads. ``data[[3, 1]]`` and ``data[10:20]`` give a whole batch
    with one read; a loader's batches are read at once, too. Copies in worker processes open the files themselves.

    Args:
        dataset: a data set on disk.
        split: which split.
        live: views of the epoch of :meth:`set_epoch`, the same bits as ``dataset.stream(split).batch(ids, epoch)``;
            epoch 0 has the stored views (of whole pairs the crop in the middle). Otherwise what is stored, always.
        transform: called with every sample; what it returns is the sample.
        dtype: ``"float32"`` for values in [0,1], or ``"uint8"`` for 0..255; torch's types are taken, too.
        ids: numbers of the samples, in order; by default all of the split.

    Raises:
        UsageError: no such split or dtype, or a number that is not in the split.
        DataError: a shard that is missing or not what the manifest says, or with ``live`` a pair smaller than a crop.

    Example:
        >>> import tempfile
        >>> from torch.utils.data import DataLoader
        >>> from fusionbench import build_dataset, open_dataset
        >>> from fusionbench.data.recipes import load_recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = open_dataset(build_dataset(load_recipe("fusiondigits"), out=folder)).torch("train")
        ...     batch = next(iter(DataLoader(data, batch_size=8)))
        ...     print(len(data), sorted(batch), tuple(batch["views"].shape), tuple(batch["target"].shape))
        1501 ['id', 'label', 'target', 'views'] (8, 3, 1, 32, 32) (8, 1, 32, 32)
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        live: bool = True,
        transform: Callable[[Sample], Any] | None = None,
        dtype: str | torch.dtype = "float32",
        ids: Any = None,
    ) -> None:
        self.dataset, self.split, self.live, self.transform = dataset, split, live, transform
        name = str(dtype).removeprefix("torch.")
        if name not in DTYPES:
            raise unknown_name("dtype", name, DTYPES)
        self.dtype = DTYPES[name]
        size = dataset.size(split)
        self.ids = np.arange(size) if ids is None else np.array(ids)
        if self.ids.ndim != 1 or (self.ids.size and self.ids.dtype.kind not in "iu"):
            raise UsageError("ids: a sequence of whole numbers is needed")
        self.ids = self.ids.astype(np.int64)
        if self.ids.size and (self.ids.min() < 0 or self.ids.max() >= size):
            found = f"{self.ids.min()}..{self.ids.max()}"
            raise UsageError(f"ids {found} are not in 0..{size - 1} of {dataset.name} {split}")
        # in memory that worker processes share: those of a persistent loader learn of the next epoch
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._reader: _Reader | None = _Reader(dataset, split, live)  # opened here for its errors

    def __repr__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        how = "live" if self.live else "stored"
        return f"<TorchSplit {self.dataset.name} {self.split}: {len(self):,} samples, {how}, {kind}>"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def epoch(self) -> int:
        """The epoch that views are made for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Make the views of another epoch from now on, in worker processes, too.

        Call it between passes; :class:`fusionbench.data.sampler.ResumableSampler` does.
        """
        self._epoch.fill_(int(epoch))

    @property
    def same_size(self) -> bool:
        """Whether all samples have one size, so that torch's own collate function serves."""
        return self._open().same_size

    @property
    def collate(self) -> Callable[[Sequence[Any]], Any]:
        """The collate function that belongs to the samples: torch's own, or :func:`collate_padded`."""
        return cast("Callable[[Sequence[Any]], Any]", default_collate if self.same_size else collate_padded)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            if not -len(self) <= key < len(self):
                raise IndexError(f"sample {key} is outside 0..{len(self) - 1}")
            return self.__getitems__([int(key)])[0]
        if isinstance(key, torch.Tensor):
            key = key.cpu().numpy()
        if not isinstance(key, slice):
            key = np.asarray(key)
            if key.ndim != 1 or (key.size and key.dtype.kind not in "iub"):
                raise TypeError("samples are chosen by an integer, a slice, a list of integers or a mask")
            key = key if key.size else key.astype(np.int64)
        ids = self.ids[key]
        if self.transform is None and self.same_size:
            return self._read(ids)
        return self.collate(self._samples(ids))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch, read at once."""
        return self._samples(self.ids[np.asarray(indices, np.int64)])

    def _samples(self, ids: np.ndarray) -> list[Any]:
        found = self._read(ids)
        label = found.get("label")
        samples: list[Any] = []
        for row, index in enumerate(ids.tolist()):
            sample: Sample = {name: found[name][row] for name in _IMAGES if name in found}
            sample["id"] = index
            if label is not None:
                sample["label"] = int(label[row])
            samples.append(sample if self.transform is None else self.transform(sample))
        return samples

    def _read(self, ids: np.ndarray) -> Sample:
        """Tensors of samples by number; the views of pairs of different sizes are a list."""
        found = self._open().read(ids, self.epoch)
        for name in _IMAGES:
            if name in found:
                one = found[name]
                found[name] = [self._tensor(image) for image in one] if isinstance(one, list) else self._tensor(one)
        return {**found, "id": torch.from_numpy(ids.copy())}

    def _tensor(self, images: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.require(images, requirements=["W", "C"]))  # a copy when it is a memory map
        tensor = tensor.unsqueeze(-3) if self._open().channels == 1 else tensor.movedim(-1, -3).contiguous()
        return to_unit(tensor) if self.dtype == torch.float32 else tensor

    def _open(self) -> _Reader:
        if self._reader is None:
            self._reader = _Reader(self.dataset, self.split, self.live)
        return self._reader

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._epoch.share_memory_()  # a copy by pickle or copy.deepcopy has its own


class _Reader:
    """The opened arrays of a split and what makes live views of them; never leaves its process."""

    def __init__(self, dataset: Dataset, split: str, live: bool) -> None:
        self.columns = dataset.arrays(split).columns
        self.channels = dataset.spec.channels
        made = dataset.recipe.made_views(split) > 0  # others came with the source and cannot be made
        self.maker = dataset.view_maker(split) if live and made else None
        self.pairs = PairStream(dataset, split) if live and dataset.kind == "pairs" else None
        self.same_size = self.pairs is not None or not isinstance(self.columns["views"], Ragged)

    def read(self, ids: np.ndarray, epoch: int) -> Sample:
        """``views``, ``target`` and ``clean`` as uint8 arrays, channels last, and ``label`` as a tensor."""
        found: Sample = {}
        if self.maker is not None:
            found["target"] = self.maker.augmented(self.columns["targets"][ids], ids, epoch)
            found["views"] = self.maker.make_views(found["target"], ids, epoch)
        else:
            if self.pairs is None:
                found |= {name: self.columns[name][ids] for name in ("views", "clean") if name in self.columns}
            else:
                found["views"], clean = self.pairs.crops_and_clean(ids, epoch)
                found |= {} if clean is None else {"clean": clean}
            if "targets" in self.columns:
                found["target"] = self.columns["targets"][ids]
        if "label" in self.columns:
            found["label"] = torch.from_numpy(np.array(self.columns["label"][ids], np.int64))
        return found


def collate_padded(samples: Sequence[Mapping[str, Any]]) -> Sample:
    """One batch of samples of different sizes: images are padded with zeros at the bottom and on the right.

    Beside the other values, collated by torch, the batch has ``size`` int64 (N,2): height and width of every sample
    before.

    Example:
        >>> import torch
        >>> from fusionbench.data.torch_split import collate_padded
        >>> pairs = [torch.ones(2, 1, 4, 6), torch.ones(2, 1, 5, 3)]
        >>> batch = collate_padded([{"views": pair, "id": number} for number, pair in enumerate(pairs)])
        >>> tuple(batch["views"].shape), batch["size"].tolist(), batch["views"].sum().item()
        ((2, 2, 1, 5, 6), [[4, 6], [5, 3]], 78.0)
    """
    sizes = [tuple(sample["views"].shape[-2:]) for sample in samples]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))

    def padded(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))

    filled = [
        {name: padded(value) if name in _IMAGES else value for name, value in sample.items()} for sample in samples
    ]
    batch: Sample = default_collate(filled)
    return {**batch, "size": torch.tensor(sizes, dtype=torch.int64)}


def as_batch(collated: Mapping[str, Any]) -> Batch:
    """What a loader gives as the :class:`fusionbench.core.types.Batch` that models take; all views are present.

    Raises:
        UsageError: images that are not float32.
    """
    views = collated["views"]
    if views.dtype != torch.float32:
        raise UsageError(f"models take float32 images, these are {views.dtype}; open the data with dtype='float32'")
    present = torch.ones(views.shape[:2], dtype=torch.bool, device=views.device)
    return Batch(collated.get("target"), views, present, collated["id"], collated.get("clean"))
