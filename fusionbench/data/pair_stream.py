"""Batches of registered pairs: patches, or crops of whole pairs; no targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.types import Batch
from fusionbench.core.unit_range import to_unit
from fusionbench.core.uploads import upload
from fusionbench.data.degrade_rules import CLEAN
from fusionbench.data.shards.ragged import Ragged
from fusionbench.data.stream_base import StreamBase

if TYPE_CHECKING:
    import torch

    from fusionbench.data.dataset import Dataset

ON_DEVICE = 4 << 30  # bytes; the pixels of a larger split stay on disk, and crops are cut here and sent


class PairStream(StreamBase):
    """Batches of a split of pairs by sample index, on a device.

    ``views`` is (n,2,1,h,w), of patches or of crops of whole pairs: in epoch 0, and without ``live``, the stored patch
    or the centred crop; in later epochs crops and flips at random, the same for both views, a function of recipe,
    sample and epoch. On a device the pixels of a split are uploaded once and cut there, with the same bits.

    Where the recipe degrades them, the batch's ``clean`` has the same pairs before: those that are stored beside the
    degraded ones, or with ``when = "live"`` the crops, which are degraded in live epochs from 1 on.

    Raises:
        DataError: a pair that is smaller than a crop.
    """

    def __init__(self, dataset: Dataset, split: str, device: str | torch.device = "cpu", live: bool = True) -> None:
        super().__init__(dataset, split, device, live)
        self._cropper = dataset.recipe.cropper(split)  # type: ignore[union-attr]
        self._degrader = dataset.recipe.live_degrader(split)  # type: ignore[union-attr]
        self._views = dataset.arrays(split).views
        self._clean = dataset.arrays(split).columns.get(CLEAN)
        spec = dataset.spec
        if isinstance(self._views, Ragged):
            self._sides = np.asarray(dataset.arrays(split).shape)
            small = np.flatnonzero((self._sides < (spec.height, spec.width)).any(axis=1))
            if len(small):
                height, width = self._sides[small[0]]
                raise DataError(
                    f"{dataset.folder}: {len(small)} pairs of {split} are smaller than the crop of {spec.height}×"
                    f"{spec.width} (pair {small[0]}: {height}×{width}); choose a smaller live.crop in the recipe"
                )
        else:
            self._sides = np.broadcast_to(np.array([spec.height, spec.width]), (len(self._views), 2))
        self._resident: dict[bool, tuple[Any, Any, Any]] = {}  # the pairs, and the clean ones

    @staticmethod
    def sample_names(dataset: Dataset, split: str, headers: Mapping[str, Any]) -> list[str]:
        """Names of the samples of a split, from the headers of its shards; see :meth:`Dataset.names`.

        Raises:
            DataError: a header that does not name its pairs.
        """
        columns = dataset.arrays(split).columns
        entries = dataset.split(split).shards
        names: list[str] = []
        for entry, header in zip(entries, headers[split], strict=True):
            part = slice(entry.start, entry.start + entry.n)
            pairs = columns["pair"][part] if "pair" in columns else np.arange(entry.n)
            known, which = np.unique(pairs, return_inverse=True)
            stems = _stems(header, dataset.folder / entry.file, len(known))
            mine = [stems[place] for place in which.tolist()]
            if "corner" in columns:
                corners = columns["corner"][part].tolist()
                mine = [f"{stem}@{top},{left}" for stem, (top, left) in zip(mine, corners, strict=True)]
            names += mine
        return names

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        """The samples ``indices`` (n,), an integer array, list or tensor on any device.

        Raises:
            IndexError: an index outside the split.
        """
        import torch

        ids = self.checked(indices).reshape(-1)
        where = upload(ids, self.device)
        there = self.device.type != "cpu" and self._views.nbytes * (1 if self._clean is None else 2) <= ON_DEVICE
        if there:
            views, clean = self._degraded(ids, epoch, partial(self._cut_there, where, epoch if self.live else 0))
        else:
            views, clean = (
                None if made is None else torch.from_numpy(made).to(self.device)
                for made in self.crops_and_clean(ids, epoch)
            )
        present = torch.ones(views.shape[:2], dtype=torch.bool, device=self.device)
        units = None if clean is None else to_unit(clean[:, :, None])
        return Batch(None, to_unit(views[:, :, None]), present, where, units).with_present(present, present.numel())

    def crops(self, indices: Any, epoch: int = 0) -> np.ndarray:
        """The views of :meth:`batch` as they are stored: uint8 (n,2,h,w).

        Raises:
            IndexError: an index outside the split.
        """
        return self.crops_and_clean(indices, epoch)[0]

    def crops_and_clean(self, indices: Any, epoch: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """The views of :meth:`batch`, and the same crops before they were degraded, where they are: uint8 (n,2,h,w).

        Raises:
            IndexError: an index outside the split.
        """
        ids = self.checked(indices).reshape(-1)
        sides = self._sides[ids]
        params = self._cropper.params(ids, sides[:, 0], sides[:, 1], epoch if self.live else 0)

        def cut(clean: bool) -> np.ndarray:
            pairs: Any = self._clean if clean else self._views
            made: np.ndarray = self._cropper.cut([pairs[index] for index in ids.tolist()], params)
            return made

        return self._degraded(ids, epoch, cut)

    def _degraded(self, ids: np.ndarray, epoch: int, cut: Callable[[bool], Any]) -> tuple[Any, Any]:
        """Views and clean ones of what ``cut`` gives: the stored pairs, or with True the clean ones beside them."""
        views = cut(False)
        if self._clean is not None:
            return views, cut(True)
        if self._degrader is None:
            return views, None
        return (self._degrader.apply(views, ids, epoch) if self.live and epoch else views), views

    def _cut_there(self, where: torch.Tensor, epoch: int, clean: bool = False) -> torch.Tensor:
        if clean not in self._resident:
            self._resident[clean] = resident(self._clean if clean else self._views, self._sides, self.device)
        pixels, offsets, sides = self._resident[clean]
        height, width = (sides[:, axis].index_select(0, where) for axis in (0, 1))
        params = self._cropper.params(where, height, width, epoch)
        result: torch.Tensor = self._cropper.gather(pixels, offsets.index_select(0, where), height, width, params)
        return result


def resident(views: Any, sides: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The pixels of a split one after the other, where each pair begins, and the sizes: uint8 (N,), int64 (n,), (n,2).

    Args:
        views: whole pairs, or an array of patches (n,2,h,w).
    """
    import torch

    if isinstance(views, Ragged):
        parts, offsets = views.flat()
        pixels = torch.cat([torch.from_numpy(np.array(part)).to(device) for part in parts])
    else:
        pixels = torch.from_numpy(np.array(views)).to(device).reshape(-1)
        offsets = np.arange(len(views)) * int(np.prod(views.shape[1:]))
    there = [torch.from_numpy(np.array(value, np.int64)).to(device) for value in (offsets, sides)]
    return pixels, there[0], there[1]


def _stems(header: Mapping[str, Any], path: Any, count: int) -> Sequence[str]:
    stems = header.get("stems")
    if not isinstance(stems, list) or len(stems) != count or not all(map(_plain, stems)) or len(set(stems)) != count:
        raise DataError(f"{path}: its header does not name its {count} pairs; it was not written by fusionbench")
    return stems


def _plain(stem: Any) -> bool:
    """Whether a name can be that of a file: nothing that leads out of a folder, and not too long."""
    return isinstance(stem, str) and 0 < len(stem) < 256 and not set(stem) & set("/\\\0") and stem not in (".", "..")
