"""Opens data sets: arrays by memory map, and batches for training and scoring, stored or live.

A :class:`ViewStream` keeps the clean uint8 targets of a split on the device and makes the views of a whole batch there,
with the functions that produced the stored ones: live views of epoch 0 are the stored views, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.open_files import allow_open_files
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.core.unit_range import to_unit
from fusionbench.core.uploads import upload
from fusionbench.core.urls import url_of
from fusionbench.data.arrays import Arrays as Arrays  # was here in the first release
from fusionbench.data.arrays import SampleReader
from fusionbench.data.arrays import ShardedArray as ShardedArray
from fusionbench.data.degrade_rules import seen_in_training, stored_truth
from fusionbench.data.pair_stream import PairStream
from fusionbench.data.recipe_base import views_of_source
from fusionbench.data.recipes import AnyRecipe, ViewMaker, recipe_from_spec
from fusionbench.data.shards import ragged
from fusionbench.data.shards.manifest import FILE, Manifest, ShardEntry, SplitEntry, read_manifest
from fusionbench.data.shards.reader import Shard, open_shard
from fusionbench.data.split_view import SplitAccess
from fusionbench.data.stream_base import StreamBase
from fusionbench.synth.degradations import Degraded

if TYPE_CHECKING:
    import torch


class Dataset(SplitAccess):
    """A finished data set on disk.

    Attributes:
        verified: whether all values come from files that were checked against their sha256 on arrival, as those of data
            sets behind URLs are. The files of a folder are only checked by ``fusionbench verify``.
    """

    verified = False

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._arrays: dict[str, Arrays] = {}
        self._headers: dict[str, list[Mapping[str, Any]]] = {}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {self.size(split):,}" for split in self.splits)
        manifest = self.manifest.manifest_sha256[:12]
        return f"<Dataset {self.name} {self.version} ({sizes}) id {self.id[:12]}, manifest_sha256 {manifest}>"

    @property
    def location(self) -> str:
        """Where it is: its folder, or the URL that it was opened from."""
        return str(self.folder)

    def shard_file(self, entry: ShardEntry) -> Path:
        """The local file of a shard, or of a bank of cut-outs; of data sets elsewhere it is fetched on first use.

        Raises:
            DataError: it cannot be fetched, or is not what the manifest says.
        """
        return self.folder / entry.file

    def fresh(self) -> Dataset:
        """The data set as it is where it lies, past any cache."""
        return self

    def open_entry(self, entry: ShardEntry) -> Shard:
        """The shard of an entry of the manifest.

        Raises:
            DataError: missing, truncated, or not a plain shard.
        """
        return open_shard(self.shard_file(entry))

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def id(self) -> str:
        """The citable identity: sha256 over the ordered content digests."""
        return self.manifest.id

    @property
    def training_id(self) -> str:
        """What is trained on: the id, or, of live degradations, a digest of all that decides them beside it."""
        return seen_in_training(self)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: train, validation and test first, in this order."""
        order = {"train": 0, "validation": 1, "test": 2}
        return tuple(sorted(self.manifest.splits, key=lambda name: (order.get(name, 3), name)))

    @cached_property
    def recipe(self) -> AnyRecipe:
        """The recipe that made the data set."""
        return recipe_from_spec(self.manifest.recipe, str(self.folder / FILE))

    @cached_property
    def spec(self) -> ImageSpec:
        """Shape of one sample."""
        return self.recipe.image_spec

    def split(self, name: str) -> SplitEntry:
        """The manifest's entry of a split.

        Raises:
            UsageError: no such split.
        """
        if name not in self.manifest.splits:
            raise unknown_name(f"split of {self.name}", name, self.manifest.splits)
        return self.manifest.splits[name]

    @property
    def kind(self) -> Literal["views", "pairs"]:
        """What a sample is: ``views`` of a target, or a registered pair."""
        return self.recipe.kind

    @property
    def has_targets(self) -> bool:
        """Whether samples have a known target."""
        return self.recipe.has_targets

    @property
    def whole(self) -> bool:
        """Whether a sample is a whole image of the source; patches of pairs are not."""
        return self.recipe.whole

    def size(self, split: str) -> int:
        """Number of samples of a split."""
        return self.split(split).n

    def arrays(self, split: str) -> Arrays:
        """The arrays of a split, memory-mapped and read-only.

        Raises:
            DataError: a shard is missing, truncated, or not what the manifest says.
        """
        if split not in self._arrays:
            opened: list[Shard] = []
            allow_open_files(len(self.split(split).shards), self.name)
            for entry in self.split(split).shards:
                shard = self.open_entry(entry)
                path = shard.path
                if shard.header.get("content_sha256") != entry.content_sha256 or len(shard) != entry.n:
                    raise DataError(f"{path}: not the shard that {FILE} describes; see `fusionbench verify`")
                if shard.arrays.keys() != opened[0].arrays.keys() if opened else False:
                    raise DataError(f"{path}: its arrays are not those of the first shard; see `fusionbench verify`")
                opened.append(shard)
            self._check_shapes(opened)
            columns = {name: ShardedArray([shard.arrays[name] for shard in opened]) for name in opened[0].arrays}
            if ragged.PIXELS in columns:
                del columns[ragged.PIXELS], columns[ragged.OFFSETS]  # where a pair lies in its shard
                parts = [shard.arrays for shard in opened]
                columns[ragged.VIEWS] = ragged.Ragged(parts)  # type: ignore[assignment]
                if columns.pop(ragged.CLEAN_PIXELS, None) is not None:
                    columns[ragged.CLEAN] = ragged.Ragged(parts, ragged.CLEAN_PIXELS)  # type: ignore[assignment]
            self._arrays[split] = Arrays(columns)
            self._headers[split] = [shard.header for shard in opened]
        return self._arrays[split]

    def _check_shapes(self, opened: list[Shard]) -> None:
        for shard in opened:
            for name, (dtype, shape) in self.recipe.stored.items():
                found = shard.arrays.get(name)
                if found is None or found.shape[1:] != shape or found.dtype != dtype:
                    raise DataError(f"{shard.path}: {name!r} is not {dtype} {shape} a sample, as the recipe says")

    def view_maker(self, split: str) -> ViewMaker:
        """The function that makes the views of a split, with its bank of cut-outs where it has one.

        Raises:
            UsageError: the split's views came with the source.
            DataError: the bank is missing or not what the manifest says.
        """
        entry, recipe = self.split(split).cutouts, self.recipe
        if not recipe.made_views(split):
            raise views_of_source(self.name, split)
        bank = None if entry is None else np.array(self.cutouts(split)["cutouts"])
        return recipe.view_maker(split, bank)

    def cutouts(self, split: str) -> Mapping[str, np.ndarray]:
        """The bank of cut-outs of a split.

        ``cutouts`` uint8 (m, h, w, C+1), colours multiplied by alpha and alpha last; ``index`` (m,) into the source;
        ``label`` (m,); of ``canny-cut/2`` also ``score`` (m,) in thousandths and ``repaired`` (m,).

        Raises:
            UsageError: no such split, or it has no cut-outs.
            DataError: the bank is missing or not what the manifest says.
        """
        entry, recipe = self.split(split).cutouts, self.recipe
        if entry is None:
            raise UsageError(f"The {split} split of {self.name} has no cut-outs")
        path = self.shard_file(entry)
        shard = open_shard(path)
        bank = shard.arrays.get("cutouts", np.empty(0, np.uint8))
        right = shard.header.get("content_sha256") == entry.content_sha256 and bank.dtype == np.uint8
        if not right or bank.shape != (entry.n, *recipe.cutout_shape(split)):
            raise DataError(f"{path}: not the cut-outs that {FILE} describes; see `fusionbench verify`")
        return shard.arrays

    def labels(self, split: str) -> np.ndarray | None:
        """Class labels int64 (n,), or None where the source has none."""
        columns = self.arrays(split).columns
        return np.array(columns["label"], np.int64) if "label" in columns else None

    def names(self, split: str) -> list[str] | None:
        """Names of the samples: stems of pairs, for patches with ``@top,left``; None where they have none.

        Raises:
            DataError: a shard whose header does not name its pairs.
        """
        return _STREAMS[self.kind].sample_names(self, split, self._headers)

    def truth(self, split: str, indices: Any) -> list[Degraded]:
        """What ``[degrade]`` did to stored samples; see :func:`fusionbench.data.degrade_rules.stored_truth`."""
        return stored_truth(self, split, indices)

    def stream(self, split: str, device: str | torch.device = "cpu", live: bool = True) -> ViewStream | PairStream:
        """Batches of a split by index: :class:`ViewStream` or :class:`fusionbench.data.pair_stream.PairStream`."""
        return _STREAMS[self.kind](self, split, device, live)

    def batches(
        self,
        split: str,
        batch_size: int,
        device: str | torch.device = "cpu",
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[Batch]:
        """The stored samples start..stop-1 of a split, in order, nothing dropped or padded.

        Raises:
            UsageError: a batch size below 1 or a range outside the split.
        """
        size = self.size(split)
        stop = size if stop is None else stop
        if batch_size < 1 or not 0 <= start <= stop <= size:
            raise UsageError(f"samples {start}..{stop} by {batch_size} are not in 0..{size} of {self.name} {split}")
        stream = self.stream(split, device, live=False)
        for at in range(start, stop, batch_size):
            yield stream.batch(np.arange(at, min(stop, at + batch_size)))


class ViewStream(StreamBase):
    """Batches of a split by sample index, on a device.

    Args:
        live: views are made on the device for the epoch that is asked for, from the clean targets, which are uploaded
            once; otherwise the stored views are read for every epoch.
    """

    def __init__(self, dataset: Dataset, split: str, device: str | torch.device = "cpu", live: bool = True) -> None:
        super().__init__(dataset, split, device, live)
        self._arrays, self._spec = dataset.arrays(split), dataset.spec
        self._stored = SampleReader(self._arrays.targets, self._arrays.views)
        made = dataset.recipe.made_views(split) > 0  # others came with the source and cannot be made
        self._maker = dataset.view_maker(split) if live and made else None
        self._targets: Any = None

    @staticmethod
    def sample_names(dataset: Dataset, split: str, headers: Mapping[str, Any]) -> None:
        """None: samples of targets with views have no names."""
        return None

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        """The samples ``indices`` (n,), an integer array, list or tensor on any device.

        Raises:
            IndexError: an index outside the split.
        """
        import torch

        ids = self.checked(indices)
        if self._maker is None or self.device.type == "cpu":
            if self._maker is None:
                if self.device.type == "cpu" and (units := self._stored.read_units(ids, self._spec.channels)):
                    target, views = map(torch.from_numpy, units)
                    present = torch.ones(views.shape[:2], dtype=torch.bool)
                    batch = Batch(target, views, present, torch.as_tensor(ids, dtype=torch.int64))
                    return batch.with_present(present, present.numel())
                return _batch(self._stored.read(ids), ids, self._spec, self.device)
            targets = self._arrays.targets[ids]
            targets = self._maker.augmented(targets, ids, epoch)
            views = self._maker.make_views(targets, ids, epoch)
            return _batch((targets, views), ids, self._spec, self.device)
        if self._targets is None:
            self._targets = torch.from_numpy(np.array(self._arrays.targets)).to(self.device)
        where = upload(ids, self.device)
        targets = self._maker.augmented(self._targets.index_select(0, where), where, epoch)
        views = self._maker.make_views(targets, where, epoch)
        return _batch((targets, views), where, self._spec, self.device)


_STREAMS: Mapping[str, type[ViewStream] | type[PairStream]] = {"views": ViewStream, "pairs": PairStream}


def _images(images: Any, spec: ImageSpec, device: torch.device) -> torch.Tensor:
    """uint8 images (…, H, W[, C]), an array or tensor, as float32 value/255 (…, C, H, W) on a device."""
    import torch

    if spec.channels == 1:
        images = images[..., None, :, :]
    if isinstance(images, np.ndarray):
        plain = images.flags.carray  # np.require would find out, too, in many more steps
        images = torch.from_numpy(images if plain else np.require(images, requirements=["W", "C"]))
    images = images.to(device)
    return to_unit(images if spec.channels == 1 else images.movedim(-1, -3).contiguous())


def _batch(targets_and_views: Iterable[Any], ids: Any, spec: ImageSpec, device: torch.device) -> Batch:
    """A batch of uint8 targets and views, arrays or tensors, which are taken one after the other."""
    import torch

    # by map, which keeps no reference: the bytes of the targets are given back before the views are read
    target, views = map(partial(_images, spec=spec, device=device), targets_and_views)
    present = torch.ones(views.shape[:2], dtype=torch.bool, device=device)
    return Batch(target, views, present, upload(ids, device)).with_present(present, present.numel())


def open_dataset(
    name_or_folder: str | Path,
    root: str | Path = "data",
    *,
    partial: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Open a finished data set, here or behind an URL.

    Args:
        name_or_folder: its version folder (the one with ``manifest.json``), a parent folder that holds exactly one data
            set, the name of a data set below ``root``, or the URL of such a folder (``s3://``, ``https://``, … of
            fsspec, extra ``remote``), whose shards are fetched on first use into a cache and checked.
        root: where data sets lie, as given to ``fusionbench generate --out``.
        partial: of an URL, fetch only the bytes of the samples that are asked for, unchecked, and cache nothing.
        storage_options: of an URL, keyword arguments for fsspec's file system.

    Raises:
        DataError: nothing there, more than one there, or a damaged manifest.
        UsageError: an URL of a protocol whose library is not installed.

    Example:
        >>> import tempfile
        >>> from fusionbench import build_dataset, open_dataset
        >>> from fusionbench.data.recipes import load_recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), out=folder))
        ...     batch = dataset.stream("test").batch([0, 1])
        ...     print(dataset.name, dataset.size("test"), tuple(batch.views.shape), tuple(batch.target.shape))
        fusiondigits 296 (2, 3, 1, 32, 32) (2, 1, 32, 32)
    """
    if (url := url_of(name_or_folder)) is not None and not url.startswith("file://"):
        from fusionbench.data.remote import open_remote

        return open_remote(url, partial=partial, options=storage_options)
    path = Path(name_or_folder if url is None else url.removeprefix("file://"))
    if not path.is_dir():
        named = Path(root) / str(name_or_folder)
        if str(name_or_folder) != path.name or not named.is_dir():
            raise DataError(
                f"{name_or_folder}: no such data set here or in {root}; make it with `fusionbench generate {path.name}`"
            )
        path = named
    if not (path / FILE).is_file():
        found = sorted(found.parent for depth in ("*", "*/*", "*/*/*") for found in path.glob(f"{depth}/{FILE}"))
        if len(found) > 1:
            raise DataError(f"{path}: {len(found)} data sets are in here; name one of {', '.join(map(str, found[:4]))}")
        if found:
            path = found[0]
    if (path / "origin.json").is_file():
        from fusionbench.data.remote import reopen

        if (cached := reopen(path)) is not None:
            return cached
    manifest = read_manifest(path)
    if manifest.has_stored:
        from fusionbench.data.remote import StoredDataset

        return StoredDataset(path, manifest)
    return Dataset(path, manifest)
