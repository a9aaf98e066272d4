"""Looking at a data set as at a sequence: ``dataset[0]``, ``dataset["train"][10:20]``, a table, images in a notebook.

Everything here is NumPy; :mod:`fusionbench.data.torch_split` has the same samples as tensors.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast, overload

import numpy as np

from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.core.inline_images import data_uri
from fusionbench.core.io import escaped
from fusionbench.core.notebook import need_pandas

if TYPE_CHECKING:
    import pandas

    from fusionbench.data.dataset import Dataset
    from fusionbench.data.torch_split import TorchSplit

SHOWN = 4  # samples in a notebook
SIDE = 96  # pixels of their images, at most
_SAMPLE = {"targets": "target", "views": "views", "label": "label"}  # name of an array -> name in a sample


class SplitView:
    """Some samples of a split, in an order: ``len``, samples by number, parts by slices, lists and masks.

    A sample is a dict of ``id`` (its number in the split), ``target`` uint8 (H,W[,C]) where there is one, ``views``
    uint8 (V,H,W[,C]) and ``label`` where the source has classes; always as stored. Nothing is read before it is asked
    for, and parts of a view share its memory maps.

    Args:
        ids: numbers of the samples, int64 (n,); by default all of the split.

    Raises:
        UsageError: no such split.
        DataError: a shard is missing, truncated, or not what the manifest says.

    Example:
        >>> import tempfile
        >>> from fusionbench import build_dataset, open_dataset
        >>> from fusionbench.data.recipes import load_recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     train = open_dataset(build_dataset(load_recipe("fusiondigits"), out=folder))["train"]
        ...     sample = train[-1]
        ...     print(len(train), len(train[:100:2]), sample["id"], sample["views"].shape, sample["label"])
        1501 50 1500 (3, 32, 32) 8
    """

    def __init__(self, dataset: Dataset, split: str, ids: np.ndarray | None = None) -> None:
        self.dataset, self.split = dataset, split
        self.ids = np.arange(dataset.size(split)) if ids is None else ids
        self._columns = dataset.arrays(split).columns

    def __repr__(self) -> str:
        whole = self.dataset.size(self.split)
        part = "" if len(self) == whole else f" of {whole:,}"
        return f"<{self.dataset.name} {self.dataset.version} {self.split}: {len(self):,}{part} samples>"

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice | list[int] | list[bool] | np.ndarray) -> SplitView: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            if not -len(self) <= key < len(self):
                raise IndexError(f"sample {key} is outside 0..{len(self) - 1} of {self!r}")
            return self._sample(int(self.ids[key]))
        if not isinstance(key, slice):
            key = np.asarray(key)
            if key.ndim != 1 or (key.size and key.dtype.kind not in "iub"):
                raise TypeError("samples are chosen by an integer, a slice, a list of integers or a mask")
            key = key if key.size else key.astype(np.int64)
        return SplitView(self.dataset, self.split, self.ids[key])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._sample(index) for index in self.ids.tolist())

    def _sample(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = {"id": index}
        for array, name in _SAMPLE.items():
            if array in self._columns:
                value = self._columns[array][index]
                found[name] = int(value) if array == "label" else np.array(value)  # a copy: the map is read-only
        return found

    def torch(self, **options: Any) -> TorchSplit:
        """These samples for a ``torch.utils.data.DataLoader``; options as for ``dataset.torch``."""
        from fusionbench.data.torch_split import TorchSplit

        return TorchSplit(self.dataset, self.split, ids=self.ids, **options)

    def to_pandas(self, coverage: bool = False) -> pandas.DataFrame:
        """A table with a row for each sample; no pixel is read.

        Columns: ``id``, the number in the split; ``name`` where samples have one; ``label`` where the source has
        classes; of pairs ``height`` and ``width``, of patches ``pair``, ``top`` and ``left``; of degraded pairs
        ``degradation``, the family (None for clean ones), and ``severity``; ``shard``, the file that holds it, and
        ``row``, its number in there.

        Args:
            coverage: add the share of the target's pixels that is seen in all views together, made from the stored
                parameters (about 0.2 ms a sample for masks of 32×32, 5 ms for overlays of 64×64).

        Raises:
            UsageError: pandas is not installed, or coverage of views that came with the source.
        """
        frame = need_pandas().DataFrame
        ids, columns = self.ids, self._columns
        table: dict[str, Any] = {"id": ids}
        names = self.dataset.names(self.split)
        if names is not None:
            table["name"] = [names[index] for index in ids.tolist()]
        if "label" in columns:
            table["label"] = columns["label"][ids]
        if "shape" in columns:
            table["height"], table["width"] = np.asarray(columns["shape"][ids]).T
        if "corner" in columns:
            table["pair"] = columns["pair"][ids]
            table["top"], table["left"] = np.asarray(columns["corner"][ids]).T
        if "degradation" in columns:
            families = [*self.dataset.recipe.spec["degrade"]["families"], None]  # -1, the last: none
            chosen, table["severity"] = np.asarray(columns["degradation"][ids]).T
            table["degradation"] = [families[number] for number in chosen.tolist()]
        shards = self.dataset.split(self.split).shards
        starts = np.array([shard.start for shard in shards], np.int64)
        place = np.searchsorted(starts, ids, side="right") - 1
        table["shard"] = np.array([shard.file for shard in shards])[place]
        table["row"] = ids - starts[place]
        if coverage:
            table["coverage"] = self._coverage()
        found: pandas.DataFrame = frame(table)
        return found

    def plot(self, count: int = 4) -> np.ndarray:
        """The first samples with matplotlib: a row for each, its target and its views beside each other.

        Returns:
            The axes, (rows, columns).
        """
        import matplotlib.pyplot as plt

        samples = list(self[: max(1, count)])
        images = [
            ([("target", sample["target"])] if "target" in sample else [])
            + [(f"view {number}", view) for number, view in enumerate(sample["views"])]
            for sample in samples
        ]
        if not images:
            raise UsageError(f"{self!r} has no samples to draw")
        size = (1.7 * len(images[0]), 1.8 * len(images))
        _, found = plt.subplots(len(images), len(images[0]), figsize=size, squeeze=False, layout="constrained")
        for sample, row, axes in zip(samples, images, found, strict=True):
            for (name, pixels), ax in zip(row, axes, strict=True):
                ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
                ax.set_xticks([])
                ax.set_yticks([])
                ax.set_title(name, fontsize=8)
            axes[0].set_ylabel(str(sample["id"]), fontsize=8)
        axes_of: np.ndarray = found
        return axes_of

    def _coverage(self) -> np.ndarray:
        maker, spec = self.dataset.view_maker(self.split), self.dataset.spec
        params = self._columns["params"]
        seen = [maker.covered(np.array(params[[index]]))[-1] for index in self.ids.tolist()]
        return np.array(seen, np.float64) / (spec.height * spec.width)

    def _repr_html_(self) -> str:
        """The first samples as images, for notebooks: nothing is fetched, every text is escaped."""
        head = _text(repr(self)[1:-1])
        more = "" if len(self) <= SHOWN else f"<p>and {len(self) - SHOWN:,} more</p>"
        return f"<div><p><b>{head}</b></p>{_guarded(self._images)}{more}</div>"

    def _images(self) -> str:
        rows = []
        for sample in self[:SHOWN]:
            label = f", label {sample['label']}" if "label" in sample else ""
            images = [("target", sample["target"])] if "target" in sample else []
            images += [(f"view {number}", view) for number, view in enumerate(sample["views"])]
            cells = "".join(f"<td>{_image(pixels, name, sample['id'])}</td>" for name, pixels in images)
            rows.append(f"<tr><th>{sample['id']}{label}</th>{cells}</tr>")
            names = [name for name, _ in images]
        if not rows:
            return ""
        head = "".join(f"<th>{name}</th>" for name in names)
        return f"<table><tr><th>sample</th>{head}</tr>{''.join(rows)}</table>"


class SplitAccess:
    """What a data set offers as a container of splits; :class:`fusionbench.data.dataset.Dataset` is one.

    ``dataset["train"]`` is a :class:`SplitView`; ``dataset[0]`` is a sample of the first split (``train`` where there
    is one). A data set has no length and is not iterated: its splits are.
    """

    @overload
    def __getitem__(self, key: str) -> SplitView: ...
    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> dict[str, Any]: ...
    def __getitem__(self, key: Any) -> Any:
        dataset = cast("Dataset", self)
        if isinstance(key, str):
            return SplitView(dataset, key)
        first = dataset.splits[0]
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return SplitView(dataset, first)[key]
        raise TypeError(f'a data set takes the name of a split or a number: dataset["{first}"][…] for several samples')

    def __contains__(self, split: object) -> bool:
        return split in cast("Dataset", self).splits

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        self._refuse('len(dataset["{0}"])')

    def __iter__(self) -> NoReturn:
        self._refuse('dataset["{0}"]')

    def _refuse(self, instead: str) -> NoReturn:
        splits = cast("Dataset", self).splits
        loader = f'for a loader DataLoader(dataset.torch("{splits[0]}"))'
        raise TypeError(f"a data set has splits ({', '.join(splits)}): use {instead.format(splits[0])}, or {loader}")

    def to_pandas(self) -> pandas.DataFrame:
        """A table with a row for each sample of all splits: ``split``, and what :meth:`SplitView.to_pandas` has.

        Raises:
            UsageError: pandas is not installed.
        """
        tables = {split: self[split].to_pandas() for split in cast("Dataset", self).splits}
        found: pandas.DataFrame = need_pandas().concat(tables, names=["split", None]).reset_index("split")
        return found.reset_index(drop=True)

    def plot(self, split: str | None = None, count: int = 4) -> np.ndarray:
        """The first samples of a split, of the first one when None; see :meth:`SplitView.plot`."""
        return self[cast("Dataset", self).splits[0] if split is None else split].plot(count)

    def torch(self, split: str, **options: Any) -> TorchSplit:
        """A split as a map-style ``torch.utils.data.Dataset``; see :class:`fusionbench.data.torch_split.TorchSplit`.

        Args:
            split: which one.
            options: ``live``, ``transform``, ``dtype``, ``ids``.

        Raises:
            UsageError: no such split or option.
            DataError: a shard is missing, truncated, or not what the manifest says.
        """
        from fusionbench.data.torch_split import TorchSplit

        return TorchSplit(cast("Dataset", self), split, **options)

    def _repr_html_(self) -> str:
        """Facts and the first samples, for notebooks: nothing is fetched, every text is escaped."""
        dataset = cast("Dataset", self)
        source = dataset.manifest.source
        facts = {"title": dataset.manifest.title, "id": dataset.id, "source": source.title, "licence": source.licence}
        facts |= {f"split {split}": f"{dataset.size(split):,} samples" for split in dataset.splits}
        rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items())
        head = _text(f"{dataset.name} {dataset.version}")
        images = _guarded(lambda: SplitView(dataset, dataset.splits[0])._repr_html_())
        return f"<div><p><b>{head}</b></p><table>{rows}</table>{images}</div>"

    def __getstate__(self) -> dict[str, Any]:
        """Without memory maps, which a copy in another process opens again when it needs them."""
        state = {key: value for key, value in self.__dict__.items() if key not in ("recipe", "spec")}
        return state | {"_arrays": {}, "_headers": {}}


def _text(value: str) -> str:
    return html.escape(escaped(value))


def _image(pixels: np.ndarray, name: str, sample: int) -> str:
    size = max(pixels.shape[:2])
    scale = max(1, SIDE // size)  # small ones are enlarged by the browser
    style = f"width:{pixels.shape[1] * scale}px;" if size <= SIDE else f"max-width:{SIDE}px;"
    style += "image-rendering:pixelated"
    return f'<img src="{data_uri(pixels, SIDE)}" alt="{name} of sample {sample}" style="{style}">'


def _guarded(make: Callable[[], str]) -> str:
    """What ``make`` gives, or why it cannot: a notebook shows something either way."""
    try:
        return make()
    except FusionbenchError as error:
        return f"<p>{_text(str(error))}</p>"
