"""What a figure of fused images shows: sources of some pairs, and what each method makes or has made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fusionbench.core.colour import ColourRule, colour_fused, luminance, to_levels
from fusionbench.core.errors import DataError, SizeMismatchError, UsageError, unknown_name
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import fit_ranges, images_in, read_full_depth, to_grey
from fusionbench.core.io import utf8, utf8_names
from fusionbench.core.progress import progress
from fusionbench.core.types import Metric
from fusionbench.evaluation.fusing.fuse import FusingOptions, fuse_pixels
from fusionbench.evaluation.fusing.methods import LoadedMethod, load_method
from fusionbench.evaluation.image_rows import pair_by_stem
from fusionbench.evaluation.pair_images import FUSED
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.metrics import METRICS
from fusionbench.metrics.dialects import STANDARD
from fusionbench.metrics.inputs import choose_for, measure_row
from fusionbench.models import MODELS
from fusionbench.results.paper_columns import metric_named

if TYPE_CHECKING:
    from fusionbench.evaluation.pair_sets import PairSet

MAX_PAIRS, MAX_METHODS = 24, 40
Colour = Literal["auto"] | ColourRule
Reader = Callable[[], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Picture:
    """An image of a figure.

    Attributes:
        pixels: uint8 (h,w) or (h,w,3).
        grey: its luminance, uint8 (h,w), which scores and differences are from.
        scores: metric -> value, of fused images; NaN where there is none.
    """

    title: str
    kind: Literal["source", "fused"]
    pixels: np.ndarray
    grey: np.ndarray
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ShownPair:
    """A pair: both sources, then the methods in their order; all of one size."""

    stem: str
    pictures: list[Picture]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pictures[0].grey.shape
        return height, width

    @property
    def fused(self) -> list[Picture]:
        return [picture for picture in self.pictures if picture.kind == "fused"]


@dataclass(frozen=True)
class PairFiles:
    """Pairs by stem, each read when it is wanted: float32 (h,w) or (h,w,3) on [0,1]; and their files, if any."""

    readers: Mapping[str, Reader]
    files: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)

    def files_of(self, stem: str) -> Sequence[Path]:
        """The files of a pair; none of embedded and stored ones."""
        return self.files.get(stem, ())

    @classmethod
    def of_places(cls, a: Path, b: Path, ranges: Ranges) -> PairFiles:
        """Two folders paired by stem, or two files.

        Raises:
            UsageError, DataError: as :func:`fusionbench.evaluation.image_rows.pair_by_stem`.
        """
        rows, _ = pair_by_stem({"a": a, "b": b})
        return cls._of_files({stem: (files["a"], files["b"]) for stem, files in rows}, ranges)

    @classmethod
    def of_data(cls, what: str, split: str | None, root: Path | None, ranges: Ranges) -> PairFiles:
        """The pairs that a name or a folder means (:func:`fusionbench.evaluation.pair_sets.open_pairs`).

        They have the colours of their files; embedded and stored pairs are grey.

        Raises:
            UsageError, DataError: as :func:`fusionbench.evaluation.pair_sets.open_pairs`.
        """
        pairs = open_pairs(what, split, root, ranges=ranges)
        if hasattr(pairs.source, "files"):
            return cls._of_files(pairs.files(), pairs.ranges)
        return cls({stem: _stored(pairs, index) for index, stem in enumerate(pairs.stems)})

    @classmethod
    def _of_files(cls, files: Mapping[str, tuple[Path, Path]], ranges: Ranges) -> PairFiles:
        sides = {side: [pair[place] for pair in files.values()] for place, side in enumerate("ab")}
        fitted = fit_ranges(ranges, sides)
        return cls({stem: _reader(pair, fitted) for stem, pair in files.items()}, files)

    def choose(self, stems: Sequence[str]) -> list[str]:
        """The pairs that are meant; the first one where none is named.

        Raises:
            UsageError: an unknown stem, one twice, or too many.
        """
        for stem in stems:
            if stem not in self.readers:
                raise unknown_name("pair", stem, self.readers)
        if len(set(stems)) < len(stems):
            raise UsageError("--pairs names a pair twice; name each once")
        if len(stems) > MAX_PAIRS:
            raise UsageError(f"--pairs names {len(stems)} pairs; a figure shows at most {MAX_PAIRS}")
        return list(stems) or [next(iter(self.readers))]


def _reader(files: tuple[Path, Path], ranges: Ranges) -> Reader:
    def read() -> tuple[np.ndarray, np.ndarray]:
        return _pixels(files[0], ranges.a, "--range-a"), _pixels(files[1], ranges.b, "--range-b")

    return read


def _stored(pairs: PairSet, index: int) -> Reader:
    def read() -> tuple[np.ndarray, np.ndarray]:
        a, b = pairs.pair(index).astype(np.float32) / np.float32(255)
        return a, b

    return read


def _pixels(file: Path, wanted: Range | None, option: str = "") -> np.ndarray:
    """float32 on [0,1]; three equal channels are one."""
    pixels = read_full_depth(file, wanted, option=option).pixels
    grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., 0]) if grey else pixels


@dataclass(frozen=True)
class ShownMethod:
    """A method of a figure: one that is ready to fuse, or the ``files`` of its fused images by stem."""

    title: str
    given: str
    method: LoadedMethod | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """For records: whether it was run, or its images were there."""
        return "images" if self.method is None else "fused here"


def open_methods(names: Sequence[str], device: str = "auto", size: tuple[int, int] = (256, 256)) -> list[ShownMethod]:
    """The methods that are meant, each a ``NAME`` or ``TITLE=NAME``.

    A name is a folder of fused images, which are paired by stem; a result's folder in which they were kept; a model's
    name, with a preset after ``@``; the folder of a run; or ``file.py:Class``.

    Raises:
        UsageError, DataError: as :func:`fusionbench.evaluation.fusing.methods.load_method`; two of one title.
    """
    if not 1 <= len(names) <= MAX_METHODS:
        raise UsageError(f"--methods names {len(names)}; a figure shows 1 to {MAX_METHODS}")
    found = [_open(text, device, size) for text in names]
    titles = [method.title for method in found]
    twice = next((title for title in titles if titles.count(title) > 1), None)
    if twice is not None:
        raise UsageError(f"two methods are called {twice!r}; name one of them, as in --methods 'Ours=FOLDER'")
    return found


def _open(text: str, device: str, size: tuple[int, int]) -> ShownMethod:
    title, equals, name = text.partition("=")
    if not equals or Path(text).exists():
        title, name = "", text
    if not name:
        raise UsageError(f"--methods {text!r}: give NAME, or TITLE=NAME")
    place = Path(name)
    if place.is_dir() and not (place / "run.json").is_file():
        if (place / "result.json").is_file() and not (place / FUSED).is_dir():
            raise DataError(f"{place}: its fused images were not kept; score again with --keep-images")
        place = place / FUSED if (place / "result.json").is_file() else place
        return ShownMethod(title or utf8(Path(name).resolve().name), name, files=utf8_names(images_in(place)))
    model, at, preset = name.rpartition("@")
    known = bool(at) and model in MODELS.names()
    try:
        loaded = load_method(model if known else name, preset=preset if known else None, device=device, size=size)
    except UsageError as error:  # here a method with weights is its run folder
        raise UsageError(str(error).replace("give the run folder with --weights", "name the run folder")) from error
    return ShownMethod(title or getattr(loaded.model, "title", "") or Path(loaded.name).name, name, loaded)


def used_files(methods: Sequence[ShownMethod], stems: Sequence[str]) -> list[Path]:
    """The fused images of these pairs that lie in folders."""
    return [method.files[stem] for method in methods for stem in stems if stem in method.files]


def score_named(text: str) -> Metric:
    """The metric that a name or a label means, ``Qabf`` or ``vif@cddfuse``, of a fused image and its two sources.

    Raises:
        UsageError: an unknown one, or one that needs something else.
    """
    asked, _, dialect = text.partition("@")
    name = metric_named(asked, METRICS.names())
    (metric,) = choose_for([name or asked], dialect or STANDARD)
    return metric


def shown_pairs(
    pairs: PairFiles,
    stems: Sequence[str],
    methods: Sequence[ShownMethod],
    *,
    names: tuple[str, str] = ("Source A", "Source B"),
    colour: Colour = "auto",
    scores: Sequence[Metric] = (),
) -> list[ShownPair]:
    """Read, fuse and score what a figure shows.

    Fused images are as :func:`fusionbench.evaluation.fusing.fuse.fuse` makes them, in 8 bits. Grey images of a folder
    get their colour by the same rule, as their methods fused luminance alone.

    Args:
        colour: where colour comes from; ``auto`` is that of b, or that of a where b has none.
        scores: of each fused image against its sources, as ``score`` gives them for the files.

    Raises:
        DataError: an image that is missing or cannot be read or fused, or sizes that differ.
    """
    for method in methods:
        if method.method is None and (missing := [stem for stem in stems if stem not in method.files]):
            near = ", ".join(list(method.files)[:3])
            raise DataError(
                f"{method.given}: no image of {missing[0]} in this folder (it has {near}); rename the files"
            )
    found = []
    with progress("figure", len(stems) * len(methods), "images") as bar:
        for stem in stems:
            a, b = pairs.readers[stem]()
            if a.shape[:2] != b.shape[:2]:
                raise SizeMismatchError(f"{stem}: a is {_size(a)} and b is {_size(b)} pixels")
            rule: ColourRule = ("visible" if b.ndim == 3 else "weighted") if colour == "auto" else colour
            sources = [_picture(name, "source", one, rule) for name, one in zip(names, (a, b), strict=True)]
            fused = []
            for method in methods:
                picture = _picture(method.title, "fused", _fused(method, stem, a, b, rule), rule)
                if scores:
                    values, _ = measure_row(picture.grey, [one.grey for one in sources], scores, stem)
                    picture = Picture(picture.title, "fused", picture.pixels, picture.grey, values)
                fused.append(picture)
                bar.advance()
            found.append(ShownPair(stem, [*sources, *fused]))
    return found


def _fused(method: ShownMethod, stem: str, a: np.ndarray, b: np.ndarray, rule: ColourRule) -> np.ndarray:
    if method.method is not None:
        return fuse_pixels(method.method, a, b, FusingOptions(rule), (f"{stem}: a", f"{stem}: b"))
    pixels = _pixels(method.files[stem], None)
    if pixels.shape[:2] != a.shape[:2]:
        raise SizeMismatchError(f"{method.files[stem]}: {_size(pixels)} pixels, and the sources {_size(a)}")
    return colour_fused(pixels, a, b, rule) if pixels.ndim == 2 else pixels


def _picture(title: str, kind: Literal["source", "fused"], pixels: np.ndarray, rule: ColourRule) -> Picture:
    """Scores are from the luminance of what is shown in 8 bits; in grey figures colour images are that luminance."""
    levels = to_levels(pixels, 8)
    grey = to_grey(levels)
    return Picture(title, kind, to_levels(luminance(pixels), 8) if rule == "none" else levels, grey)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[0]}×{pixels.shape[1]}"
