"""The sheet of a suite of registered pairs: a few pairs, and what every row makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.core.images import FULL, read_image
from fusionbench.core.interfaces import Model, can_fuse
from fusionbench.core.io import write_bytes
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_images import FUSED
from fusionbench.evaluation.pair_sets import PairSet
from fusionbench.evaluation.pairs import fuse_pair
from fusionbench.evaluation.protocols.base import ScoredRow
from fusionbench.evaluation.subject import Scorable, loaded
from fusionbench.models import MODELS
from fusionbench.results.schema import Result, load
from fusionbench.training.run import Run, read_run

SHEET, SHOWN = "sheet.png", 3  # the sheet of a suite, and the pairs on it


def draw_pair_sheet(
    rows: Sequence[ScoredRow], pairs: PairSet, out: Path, *, title: str, stretch: bool, whole: bool
) -> None:
    """Draw the rows of a suite side by side, with their first seeds, and images of others that were scored and kept.

    A sheet that is there is drawn again only when the ``whole`` suite was run and something on it is newer.
    """
    results = [one.result for one in rows]
    path, others = out / pairs.name / SHEET, _scored_beside(results[0], pairs, out)
    if _is_due(path, [*results, *others], out, whole):
        shown = {one.row.key: (one.row.title or _title(one.model), one.model) for one in reversed(rows)}
        columns = [shown[key] for key in dict.fromkeys(one.row.key for one in rows)]
        columns += [(result.title, result.folder(out) / FUSED) for result in others]
        write_bytes(path, side_by_side(columns, pairs, stretch, title))


def pair_spec(pairs: PairSet) -> ImageSpec:
    """The shape that models are built for; pairs may have any size, so that of the first one is as good as any."""
    height, width = pairs.pair(0).shape[1:]
    return ImageSpec(1, height, width, 2)


def _title(model: Scorable) -> str:
    """What a model object, or the model of a run, is called."""
    run = read_run(model) if isinstance(model, str | Path) else model
    return MODELS.get(run.info.model).title if isinstance(run, Run) else run.title


def _is_due(path: Path, results: Sequence[Result], out: str | Path, whole: bool) -> bool:
    """Whether a sheet is to be drawn: it is missing, or the whole suite was run and something on it is newer."""
    if not path.is_file():
        return True
    written = [(result.folder(out) / "result.json").stat().st_mtime for result in results]
    return whole and path.stat().st_mtime < max(written)


def _scored_beside(ours: Result, pairs: PairSet, out: str | Path) -> list[Result]:
    """Results of others' images of the same pairs under the same protocol, whose images were kept."""
    found = []
    for path in sorted((Path(out) / pairs.name).glob("*/*/result.json")):
        kept = all((path.parent / FUSED / f"{stem}.png").is_file() for stem in pairs.stems[:SHOWN])
        if kept and (result := load(path)).status == "scored":
            theirs, mine = result.identity, ours.identity
            if (theirs.dataset, theirs.protocol, path.parent) == (mine.dataset, mine.protocol, result.folder(out)):
                found.append(result)
    return found


def side_by_side(columns: Sequence[tuple[str, Scorable]], pairs: PairSet, stretch: bool, title: str) -> bytes:
    """A PNG: a line a pair, with view 0, view 1 and the fused image of every column.

    Args:
        columns: what each is called, and a model object, a run's folder or a folder of images.
    """
    from fusionbench.core.figures import pair_sheet

    def fused_by(one: Path | Model, index: int, pair: np.ndarray, name: str) -> np.ndarray:
        if isinstance(one, Path):
            return read_image(one / name, FULL).grey()
        assert can_fuse(one)  # it has a result under this protocol
        return fuse_pair(one, pair, index, stretch)

    def opened(one: Scorable) -> Path | Model:
        if isinstance(one, str | Path) and not (Path(one) / "run.json").is_file():
            return Path(one)
        return loaded(one, pair_spec(pairs))[0]

    made = [opened(one) for _, one in columns]
    lines = []
    for index in range(min(SHOWN, len(pairs))):
        pair, name = pairs.pair(index), f"{pairs.stems[index]}.png"
        lines.append([*pair, *(fused_by(one, index, pair, name) for one in made)])
    return pair_sheet(lines, ["view 0", "view 1", *(name for name, _ in columns)], title=title)
