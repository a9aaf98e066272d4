"""Images of single pairs beside their results, for the pages that compare images one by one.

They lie where :mod:`fusionbench.board.explorer` looks for them: both sources once a data set, ``sources/a/<id>.png``
and ``sources/b/<id>.png``, and what a row made of them in the result's folder, ``fused/<id>.png``; 8-bit grey, at the
size of the pair. They are kept where the source's licence lets anybody pass its images on, or where somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.images import encode_png
from fusionbench.core.io import read_bounded, write_bytes, write_json
from fusionbench.core.progress import progress
from fusionbench.evaluation.pair_sets import PairSet
from fusionbench.results.schema import Result

FUSED, SOURCES = "fused", "sources"
_SET = "set.json"  # written last: of which data set the sources are


def keeps_images(pairs: PairSet, asked: bool | None) -> bool:
    """What was asked for; without a word, whether the source may be passed on."""
    return bool(pairs.source.redistributable) if asked is None else asked


def save_sources(pairs: PairSet, out: str | Path) -> None:
    """Write the sources that are not there; all of them where those of another set lie under this name.

    Raises:
        DataError: an unreadable pair, or a folder that cannot be written.
    """
    for index in missing_sources(pairs, out):
        save_source(pairs, out, index, pairs.pair(index))
    finish_sources(pairs, out)


def missing_sources(pairs: PairSet, out: str | Path) -> list[int]:
    """Indices of the pairs whose sources are not there; all of them where those of another set are."""
    folder = _sources(pairs, out)
    if _mark(folder / _SET) != _identity(pairs):
        return list(range(len(pairs)))
    stems = enumerate(pairs.stems)
    return [index for index, stem in stems if not all((folder / side / f"{stem}.png").is_file() for side in "ab")]


def save_source(pairs: PairSet, out: str | Path, index: int, pair: np.ndarray) -> None:
    """Write both images of one pair, uint8 (2, h, w).

    Raises:
        DataError: a folder that cannot be written.
    """
    for side, pixels in zip("ab", pair, strict=True):
        write_bytes(_sources(pairs, out) / side / f"{pairs.stems[index]}.png", encode_png(pixels))


def finish_sources(pairs: PairSet, out: str | Path) -> None:
    """Say of which set the sources are, now that all of them are there.

    Raises:
        DataError: a folder that cannot be written.
    """
    path = _sources(pairs, out) / _SET
    if _mark(path) != _identity(pairs):
        write_json(path, _identity(pairs))


def _sources(pairs: PairSet, out: str | Path) -> Path:
    return Path(out) / pairs.name / SOURCES


def _identity(pairs: PairSet) -> dict[str, str]:
    return {"id": pairs.identity.id, "version": pairs.identity.version}


def _mark(path: Path) -> object:
    import json

    try:
        return json.loads(read_bounded(path, 1 << 16, "mark"))
    except (DataError, ValueError, RecursionError):
        return None  # missing or damaged: everything is written again


def save_fused(result: Result, pairs: PairSet, out: str | Path, make: Callable[[int, np.ndarray], np.ndarray]) -> None:
    """Make and write the fused images of a result that are not there.

    Args:
        make: index and pair, uint8 (2, h, w), to the fused image, uint8 (h, w).

    Raises:
        DataError: an unreadable pair, or a folder that cannot be written.
    """
    left = [index for index in range(len(pairs)) if not fused_path(result, pairs, out, index).is_file()]
    if left:
        with progress(f"images of {result.title}", len(left), "pairs") as bar:
            for index in left:
                write_bytes(fused_path(result, pairs, out, index), encode_png(make(index, pairs.pair(index))))
                bar.advance()


def fused_path(result: Result, pairs: PairSet, out: str | Path, index: int) -> Path:
    """Where the fused image of a pair lies."""
    return result.folder(out) / FUSED / f"{pairs.stems[index]}.png"
