"""The sheet of a suite of stacks: a few stacks with their truth, and what every row makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.core.io import write_bytes
from fusionbench.evaluation.protocols.base import ScoredRow
from fusionbench.evaluation.stack_scores import fused_luma
from fusionbench.evaluation.stack_sets import StackSet
from fusionbench.evaluation.subject import loaded

SHEET, SHOWN = "sheet.png", 4


def draw_stack_sheet(rows: Sequence[ScoredRow], stacks: StackSet, folder: Path, *, title: str, whole: bool) -> None:
    """Draw ``sheet.png`` into ``folder``: a line a stack, with its views, its truth and the image of every row.

    Stacks are taken evenly from all, rows with their first seeds. A sheet that is there is drawn again only when the
    ``whole`` suite was run.
    """
    from fusionbench.core.figures import pair_sheet

    if (folder / SHEET).is_file() and not whole:
        return
    shown = {one.row.key: one for one in reversed(rows)}
    columns = [shown[key] for key in dict.fromkeys(one.row.key for one in rows)]
    models = [loaded(one.model, stacks.spec)[0].eval() for one in columns]
    places = np.unique(np.linspace(0, len(stacks) - 1, SHOWN).round().astype(int)).tolist()
    lines = []
    for index in places:
        stack = stacks.stack(index)
        truth = [] if stack.truth is None else [stack.truth]
        fused = [fused_luma(model.to("cpu"), stack, index, "cpu") for model in models]
        lines.append([*stack.views, *truth, *fused])
    heads = [f"view {number}" for number in range(stacks.spec.views)]
    heads += ["truth"] if stacks.stack(places[0]).truth is not None else []
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / SHEET, pair_sheet(lines, [*heads, *(one.result.title for one in columns)], title=title))
