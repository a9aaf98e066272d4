"""From names to the figure of fused images: which pairs, methods and windows it shows, and a record of the choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionbench.core.errors import UsageError
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.vector_figures import Kind
from fusionbench.evaluation.paper.grid import GridOptions, draw_grid
from fusionbench.evaluation.paper.pictures import (
    Colour,
    PairFiles,
    ShownPair,
    open_methods,
    score_named,
    shown_pairs,
    used_files,
)
from fusionbench.evaluation.paper.zooms import HOW, MAX_ZOOMS, Zoom, find_zooms


@dataclass(frozen=True)
class PairFigure:
    """What a figure shows: sources as ``a`` and ``b`` or as ``data``, methods, pairs and windows by name.

    Attributes:
        methods: see :func:`fusionbench.evaluation.paper.pictures.open_methods`.
        zooms: windows that are given; ``found``: how many are looked for in each pair beside them.
        scores: names of metrics.
        out: where the figure will be written, which is none of the images that it shows.
    """

    methods: Sequence[str]
    a: Path | None = None
    b: Path | None = None
    data: str | None = None
    root: Path | None = None
    split: str | None = None
    pairs: Sequence[str] = ()
    names: tuple[str, str] = ("Source A", "Source B")
    colour: Colour = "auto"
    zooms: Sequence[str] = ()
    found: int = 2
    zoom_size: float = 0.2
    scores: Sequence[str] = ()
    range_a: Range | str | None = None
    range_b: Range | str | None = None
    device: str = "auto"
    out: Path | None = None

    def files(self) -> PairFiles:
        """The pairs that are meant.

        Raises:
            UsageError: neither or both ways of naming them.
            DataError: as they are read.
        """
        ranges = Ranges.parse(self.range_a, self.range_b)
        if self.data is not None:
            if self.a is not None or self.b is not None:
                raise UsageError("--data names the pairs: leave out --a and --b")
            return PairFiles.of_data(self.data, self.split, self.root, ranges)
        if self.a is None or self.b is None:
            raise UsageError("Name the sources: --a and --b, or --data")
        if self.root is not None or self.split is not None:
            raise UsageError("--source-dir and --split are of --data: leave them out")
        return PairFiles.of_places(self.a, self.b, ranges)


def draw_pair_figure(wanted: PairFigure, kind: Kind, look: GridOptions | None = None) -> tuple[bytes, dict[str, Any]]:
    """The figure as a file, and what was chosen for it, JSON-ready: windows, scores, the scale of differences, notes.

    Raises:
        UsageError, DataError: names that are not known, images that are missing or do not fit.

    Example:
        >>> from fusionbench.evaluation.paper.pair_figure import PairFigure, draw_pair_figure
        >>> wanted = PairFigure(["average", "copy-b"], data="pairs-demo", pairs=["chelsea"], found=1, device="cpu")
        >>> content, record = draw_pair_figure(wanted, "pdf")
        >>> content[:5], [len(pair["zooms"]) for pair in record["pairs"]]
        (b'%PDF-', [1])
    """
    look = look or GridOptions()
    given = [Zoom.parse(text) for text in wanted.zooms]
    scores = [score_named(name) for name in wanted.scores]
    files = wanted.files()
    stems = files.choose(wanted.pairs)
    for stem, zoom in given:
        if stem is not None and stem not in stems:
            raise UsageError(f"--zoom {stem}:{zoom.x},…: no pair of the figure is called so; it has {', '.join(stems)}")
    methods = open_methods(wanted.methods, wanted.device)
    if wanted.out is not None:
        _spare(wanted.out, [*(path for stem in stems for path in files.files_of(stem)), *used_files(methods, stems)])
    pairs = shown_pairs(files, stems, methods, names=wanted.names, colour=wanted.colour, scores=scores)
    zooms = [_zooms(pair, given, wanted) for pair in pairs]
    drawn = draw_grid(pairs, zooms, kind, look, scores)
    notes = []
    if wanted.found and any(zooms):
        notes.append(f"windows: {HOW}" + (" (and the sources, as there is one method)" if len(methods) == 1 else ""))
    notes += [
        f"{pair.stem}: white is a difference of {white} of 255 levels"
        for pair, white in zip(pairs, drawn.white, strict=True)
        if white is not None
    ]
    record = {
        "width": round(drawn.width, 4),
        "height": round(drawn.height, 4),
        "methods": [{"title": one.title, "name": one.given, "kind": one.kind} for one in methods],
        "scores": [{"name": one.name, "definition": one.dialect, "better": one.better} for one in scores],
        "pairs": [
            {
                "pair": pair.stem,
                "height": pair.size[0],
                "width": pair.size[1],
                "zooms": [[zoom.x, zoom.y, zoom.width, zoom.height] for zoom in found],
                "scores": {one.title: _finite(one.scores) for one in pair.fused} if scores else {},
                "white": white,
            }
            for pair, found, white in zip(pairs, zooms, drawn.white, strict=True)
        ],
        "notes": notes,
    }
    return drawn.content, record


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores for JSON, which has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def _spare(out: Path, images: Sequence[Path]) -> None:
    """Refuse a figure that would replace an image.

    Raises:
        UsageError: names it.
    """
    if out.exists() and any(path.exists() and out.samefile(path) for path in images):
        raise UsageError(f"{out}: is one of the images that the figure shows; choose another name")


def _zooms(pair: ShownPair, given: Sequence[tuple[str | None, Zoom]], wanted: PairFigure) -> list[Zoom]:
    """The windows of a pair: those that are given, then those that are found."""
    mine = [zoom for stem, zoom in given if stem in (None, pair.stem)]
    for zoom in mine:
        zoom.check(pair.size, pair.stem)
    if len(mine) + wanted.found > MAX_ZOOMS:
        raise UsageError(f"{len(mine) + wanted.found} zooms of {pair.stem}: at most {MAX_ZOOMS} have a colour each")
    if wanted.found:
        shown = pair.fused if len(pair.fused) > 1 else pair.pictures
        mine += find_zooms([picture.grey for picture in shown], wanted.found, wanted.zoom_size)
    return mine
