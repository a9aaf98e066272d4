"""The sheet of a suite of registered pairs: a few pairs, and what every row makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.images import FULL, read_image
from fusionbench.core.io import write_bytes
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_images import FUSED
from fusionbench.evaluation.pair_sets import PairSet
from fusionbench.evaluation.pairs import fuse_pair
from fusionbench.evaluation.protocols.base import ScoredRow
from fusionbench.models import MODELS
from fusionbench.results.schema import Result, load

if TYPE_CHECKING:
    from fusionbench.evaluation.suites import Suite

SHEET, SHOWN = "sheet.png", 3  # the sheet of a suite, and the pairs on it


def draw_sheet(suite: Suite, rows: Sequence[ScoredRow], pairs: PairSet, out: Path, *, whole: bool) -> None:
    """Draw the rows side by side, each with its first seed, beside images of others that were scored and kept.

    A sheet that is there is drawn again only when the ``whole`` suite was run and something on it is newer.
    """
    results = [one.result for one in rows]
    path, others = out / pairs.name / SHEET, _scored_beside(results[0], pairs, out)
    if _is_due(path, [*results, *others], out, whole):
        shown = {one.row.key: (one.row.title or _title(one.model), one.model) for one in reversed(rows)}
        columns = [shown[key] for key in dict.fromkeys(one.row.key for one in rows)]
        columns += [(result.title, result.folder(out) / FUSED) for result in others]
        write_bytes(path, side_by_side(columns, pairs, suite.protocol.stretch, suite.title))


def pair_spec(pairs: PairSet) -> ImageSpec:
    """The shape that models are built for; pairs may have any size, so that of the first one is as good as any."""
    height, width = pairs.pair(0).shape[1:]
    return ImageSpec(1, height, width, 2)


def _title(subject: Any) -> str:
    """What a model object, or the model of a run folder, is called."""
    from fusionbench.training.run import read_run

    found = MODELS.get(read_run(subject).info.model).title if isinstance(subject, str | Path) else subject.title
    return str(found)


def _is_due(path: Path, results: Sequence[Result], out: str | Path, whole: bool) -> bool:
    """Whether a sheet is to be drawn: it is missing, or the whole suite was run and something on it is newer."""
    if not path.is_file():
        return True
    written = [(result.folder(out) / "result.json").stat().st_mtime for result in results]
    return whole and path.stat().st_mtime < max(written)


def _scored_beside(ours: Result, pairs: PairSet, out: str | Path) -> list[Result]:
    """Results of others' pictures of the same pairs under the same protocol, whose pictures were kept."""
    found = []
    for path in sorted((Path(out) / pairs.name).glob("*/*/result.json")):
        kept = all((path.parent / FUSED / f"{stem}.png").is_file() for stem in pairs.stems[:SHOWN])
        if kept and (result := load(path)).status == "scored":
            theirs, mine = result.identity, ours.identity
            if (theirs.dataset, theirs.protocol, path.parent) == (mine.dataset, mine.protocol, result.folder(out)):
                found.append(result)
    return found


def side_by_side(columns: Sequence[tuple[str, Any]], pairs: PairSet, stretch: bool, title: str) -> bytes:
    """A PNG: a line a pair, with view 0, view 1 and the fused image of every column.

    Args:
        columns: what each is called, and a model object, a run's folder or a folder of pictures.
    """
    from fusionbench.core.figures import pair_sheet
    from fusionbench.training.run import read_run

    made = []
    for _, value in columns:
        is_run = isinstance(value, str | Path) and (Path(value) / "run.json").is_file()
        made.append(read_run(value).load_model(pair_spec(pairs)) if is_run else value)
    lines = []
    for index in range(min(SHOWN, len(pairs))):
        pair, name = pairs.pair(index), f"{pairs.stems[index]}.png"
        fused = [
            read_image(one / name, FULL).grey() if isinstance(one, Path) else fuse_pair(one, pair, index, stretch)
            for one in made
        ]
        lines.append([*pair, *fused])
    return pair_sheet(lines, ["view 0", "view 1", *(name for name, _ in columns)], title=title)
