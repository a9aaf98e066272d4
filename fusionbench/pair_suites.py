"""Runs the suites of registered pairs: every row fuses every pair of a source's split, under ``pairs/1``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionbench.errors import UsageError
from fusionbench.evaluate_pairs import PairsProtocol, evaluate_pairs, fuse_pair
from fusionbench.files import write_bytes
from fusionbench.models import MODELS, get_preset
from fusionbench.pairsets import PairSet, open_pairs
from fusionbench.result import Result
from fusionbench.suites import Suite, SuiteModel

SHEET, SHOWN = "sheet.png", 3  # the sheet of a suite, and the pairs on it


def suite_pairs(suite: Suite, source_dir: str | Path | None, *, strict: bool = False) -> PairSet:
    """The pairs that a suite scores.

    Raises:
        UsageError, DataError: as :func:`fusionbench.pairsets.open_pairs`.
    """
    return open_pairs(suite.dataset, suite.split, source_dir, limit=suite.protocol.limit, strict=strict)


def suite_protocol(suite: Suite) -> PairsProtocol:
    """The suite's protocol, with its options."""
    return PairsProtocol(stretch=suite.protocol.stretch)


def run_pair_suite(
    suite: Suite,
    rows: Sequence[SuiteModel],
    *,
    source_dir: str | Path | None = None,
    out: str | Path = "results",
    device: str = "auto",
    sheets: bool = False,
    strict: bool = False,
    keep_pictures: bool | None = None,
) -> list[Result]:
    """Score the rows that are not scored, and draw all of them side by side where the sheet is missing.

    Args:
        strict: refuse pictures without a partner.
        keep_pictures: as for :func:`fusionbench.evaluate_pairs.evaluate_pairs`.

    Raises:
        UsageError: a row that has to be trained, or as :func:`suite_pairs`.
        DataError: a pair that cannot be read or scored.
    """
    for row in rows:
        if hasattr(MODELS.get(row.name), "loss"):
            raise UsageError(
                f"{row.key} has to be trained, and suites of pairs do not train: score a finished run with "
                "fusionbench.evaluate_pairs"
            )
    pairs = suite_pairs(suite, source_dir, strict=strict)
    results = []
    for row in rows:
        result = evaluate_pairs(
            create(row, pairs),
            pairs,
            protocol=suite_protocol(suite),
            params=parameters(row),
            out=out,
            device=device,
            title=row.title,
            keep_pictures=keep_pictures,
        )
        results.append(result)
    path = Path(out) / pairs.name / SHEET
    if sheets and not path.is_file():
        write_bytes(path, side_by_side(rows, pairs, suite_protocol(suite).stretch, suite.title))
    return results


def parameters(row: SuiteModel) -> dict[str, Any]:
    """What the row's model is built with: its preset's parameters and the row's own."""
    return {**get_preset(row.name, row.preset).model, **row.params}


def create(row: SuiteModel, pairs: PairSet) -> Any:
    """The row's model; pairs may have any size, so that of the first one is as good as any."""
    from fusionbench.contracts import ImageSpec

    height, width = pairs.pair(0).shape[1:]
    return MODELS.get(row.name)(ImageSpec(1, height, width, 2), **parameters(row))


def side_by_side(rows: Sequence[SuiteModel], pairs: PairSet, stretch: bool, title: str) -> bytes:
    """A PNG: a line a pair, with view 0, view 1 and the fused image of every row."""
    from fusionbench.pictures import pair_sheet

    models = [create(row, pairs) for row in rows]
    lines = []
    for index in range(min(SHOWN, len(pairs))):
        pair = pairs.pair(index)
        lines.append([*pair, *(fuse_pair(model, pair, index, stretch) for model in models)])
    names = [row.title or row.key for row in rows]
    return pair_sheet(lines, ["view 0", "view 1", *names], title=title)
