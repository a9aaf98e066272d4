"""Two data sets side by side on one page: what differs, how much, and the samples that differ most.

The page is one file: its style and its images are inside, and its content security policy lets nothing else in.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.board.rendering import STATIC, render
from fusionbench.core.inline_images import data_uri
from fusionbench.core.io import escaped
from fusionbench.data.dataset import Dataset
from fusionbench.data.diff import ArrayDifference, DatasetDiff

MAX_SHOWN = 24  # samples with images, of all splits together
_VIEWS = 8  # of a sample
_SIDE = 160  # pixels of an image
_IMAGES = ("targets", "views")


@dataclass(frozen=True)
class ImageTriple:
    """An image of a sample in both sets, and the difference; as data URIs, empty where there is none."""

    head: str
    a: str
    b: str
    gap: str


@dataclass(frozen=True)
class SampleDiff:
    """A sample on show. ``white``: the difference in grey levels that is white in the images of differences."""

    split: str
    number: int
    name: str
    mean: float
    largest: int
    white: int
    note: str
    cells: Sequence[ImageTriple]


def render_diff(a: Dataset, b: Dataset, found: DatasetDiff, shown: int = MAX_SHOWN) -> bytes:
    """The page on what :func:`fusionbench.data.diff.compare_datasets` found, in UTF-8.

    Args:
        shown: at most so many samples have images, the worst of every split.

    Raises:
        DataError: a shard that cannot be read.
    """
    style = "".join((STATIC / name).read_text("utf-8") for name in ("board.css", "dataset-diff.css"))
    return render(
        "dataset-diff.html",
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
        facts=_facts(a, b, found),
        arrays=found.arrays,
        uncompared=_uncompared(a, b, found),
        samples=_samples(a, b, found, shown),
        same=found.same,
        titles=[escaped(f"{each.name} {each.version}") for each in (a, b)],
        ids=[a.id, b.id],
    )


def _facts(a: Dataset, b: Dataset, found: DatasetDiff) -> list[tuple[str, str, str, bool]]:
    """Name, value in A, value in B, whether they differ: what is always of interest, then what differs."""
    rows: dict[str, tuple[Any, Any]] = {
        "title": (a.manifest.title, b.manifest.title),
        "version": (a.version, b.version),
        "id": (a.id, b.id),
        "source": (a.manifest.source.title, b.manifest.source.title),
        "licence": (a.manifest.source.licence, b.manifest.source.licence),
    }
    for split in dict.fromkeys((*a.splits, *b.splits)):
        counts = [f"{each.size(split):,}" if split in each.splits else None for each in (a, b)]
        rows[f"samples of {split}"] = (counts[0], counts[1])
    for name, values in found.facts.items():
        if name not in ("splits", *rows) and len(values) == 2:
            rows[name] = (values[0], values[1])
    return [(escaped(name), _said(one), _said(two), one != two) for name, (one, two) in rows.items()]


def _said(value: Any) -> str:
    return "–" if value is None else escaped(str(value))


def _uncompared(a: Dataset, b: Dataset, found: DatasetDiff) -> list[tuple[str, str, str, str]]:
    """Split, array and layout in A and B of what has no counterpart, or one with samples of another shape."""
    if "splits" not in found.facts:
        return []
    one, two = found.facts["splits"]
    rows = []
    for split in dict.fromkeys((*a.splits, *b.splits)):
        here, there = one.get(split, {}), two.get(split, {})
        for array in dict.fromkeys((*here, *there)):
            layouts = here.get(array), there.get(array)
            if None in layouts or not _comparable(a, b, split, array):
                rows.append((escaped(split), escaped(array), _said(layouts[0]), _said(layouts[1])))
    return rows


def _comparable(a: Dataset, b: Dataset, split: str, array: str) -> bool:
    one, two = (each.arrays(split).columns[array] for each in (a, b))
    return bool(one.shape[1:] == two.shape[1:])


def _samples(a: Dataset, b: Dataset, found: DatasetDiff, shown: int) -> list[SampleDiff]:
    splits: dict[str, list[ArrayDifference]] = {}
    for row in found.arrays:
        if row.array in _IMAGES:
            splits.setdefault(row.split, []).append(row)
    made = []
    for split, rows in splits.items():
        worst: dict[int, float] = {}
        for row in rows:
            for number, mean in row.worst:
                worst[number] = max(mean, worst.get(number, 0.0))
        order = sorted(worst, key=lambda number: (-worst[number], number))
        for number in order[: max(1, shown // len(splits))]:
            made.append(_sample(a, b, split, number, worst[number]))
    return made[:shown]


def _sample(a: Dataset, b: Dataset, split: str, number: int, mean: float) -> SampleDiff:
    pairs: list[tuple[str, np.ndarray | None, np.ndarray | None]] = []
    columns = [each.arrays(split).columns for each in (a, b)]
    if any("targets" in each for each in columns):
        one, two = (each["targets"][number] if "targets" in each else None for each in columns)
        pairs.append(("target", one, two))
    views = [each["views"][number] for each in columns]
    for view in range(min(_VIEWS, max(map(len, views)))):
        one, two = (each[view] if view < len(each) else None for each in views)
        pairs.append((f"view {view}", one, two))
    gaps = [_gap(one, two) for _, one, two in pairs]
    largest = max((int(gap.max()) for gap in gaps if gap is not None), default=0)
    cells = []
    for (head, one, two), gap in zip(pairs, gaps, strict=True):
        stretched = None if gap is None else (gap.astype(np.uint16) * 255 // max(largest, 1)).astype(np.uint8)
        cells.append(ImageTriple(head, _uri(one), _uri(two), _uri(stretched)))
    notes = ["images of different sizes have no difference"] if any(gap is None for gap in gaps) else []
    more = max(map(len, views)) - _VIEWS
    notes += [f"{more} more views"] if more > 0 else []
    names = a.names(split)
    name = escaped(names[number]) if names is not None else ""
    return SampleDiff(escaped(split), number, name, mean, largest, max(largest, 1), "; ".join(notes), cells)


def _gap(one: np.ndarray | None, two: np.ndarray | None) -> np.ndarray | None:
    if one is None or two is None or one.shape != two.shape:
        return None
    gap: np.ndarray = np.maximum(one, two) - np.minimum(one, two)  # uint8 holds it
    return gap


def _uri(pixels: np.ndarray | None) -> str:
    return "" if pixels is None else data_uri(np.asarray(pixels), _SIDE)
