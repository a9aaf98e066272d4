"""The contact sheets of a data set on disk: of samples, and of the cut-outs that are pasted over its targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusionbench.core.figures import contact_sheet, pair_sheet, tile_sheet
from fusionbench.data.dataset import Dataset
from fusionbench.data.shards.manifest import CutoutGate

_PAPER = (255, 0, 255)  # behind cut-outs: no object has this colour


def draw_preview(dataset: Dataset, split: str, indices: Sequence[int]) -> bytes:
    """PNG of some samples of a data set, with its name; of targets and views also its identity and the licence."""
    arrays, source = dataset.arrays(split), dataset.manifest.source
    title = f"{dataset.manifest.title.partition(':')[0] or dataset.name} {dataset.version}"
    if "targets" not in arrays.columns:
        names = ["view 0", "view 1"]
        if "clean" in arrays.columns:
            lines = [[*arrays.clean[index], *arrays.views[index]] for index in indices]
            return pair_sheet(lines, [f"{name}, clean" for name in names] + names, title=title)
        return pair_sheet([[*arrays.views[index]] for index in indices], names, title=title)
    return contact_sheet(
        arrays.targets[list(indices)],
        arrays.views[list(indices)],
        title=title,
        caption=f"{split} split, {dataset.size(split):,} samples · id {dataset.id[:16]} · source: {source.licence}",
        labels=[str(index) for index in indices],
    )


def draw_cutouts(dataset: Dataset, split: str, count: int | None = None) -> tuple[bytes, list[int]]:
    """PNG of the cut-outs of a split, the worst first, and their numbers in the bank in this order.

    They are ordered by the score that the gate of ``canny-cut/2`` gave them. Cut-outs without a score are ordered by
    the share of their convex hull that they fill, which is small for a fragment.

    Args:
        count: how many; None: all.

    Raises:
        UsageError, DataError: as :meth:`Dataset.cutouts`.
    """
    bank = dataset.cutouts(split)
    cutouts = bank["cutouts"]
    gated = "score" in bank
    scores = np.array(bank["score"]) if gated else np.array([solidity(each[..., -1]) for each in cutouts])
    repaired = bank["repaired"] if gated else np.zeros(len(scores))
    order = np.argsort(scores, kind="stable")[:count].tolist()
    colours = np.repeat(cutouts[..., :-1], 3 if cutouts.shape[-1] == 2 else 1, axis=-1)
    colours[cutouts[..., -1] == 0] = _PAPER
    gate = dataset.split(split).cutouts_gate
    counts = f"{len(cutouts):,} cut-outs of the {split} split, the worst first"
    if isinstance(gate, CutoutGate):
        counts += f" · {gate.kept:,} as cut, {gate.repaired:,} repaired (*), {len(gate.dropped):,} dropped"
    what = "agreement with the source's mask, or closedness, before a repair" if gated else "share of the convex hull"
    sheet = tile_sheet(
        colours[order],
        [f"{scores[i] / 1000:.2f}{'*' if repaired[i] else ''}" for i in order],
        title=f"Cut-outs of {dataset.name} {dataset.version}",
        caption=f"{counts} · {what} · id {dataset.id[:16]} · source: {dataset.manifest.source.licence}",
    )
    return sheet, order


def solidity(alpha: np.ndarray) -> int:
    """Share of its convex hull that a mask uint8 (h, w) fills where it is at least half opaque, in thousandths."""
    import cv2

    mask = np.where(np.asarray(alpha) >= 128, 255, 0).astype(np.uint8)
    points = cv2.findNonZero(mask)
    if points is None:
        return 0
    hull = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(points), 255)
    return 1000 * int(np.count_nonzero(mask)) // max(1, int(np.count_nonzero(hull)))
