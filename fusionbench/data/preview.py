"""The contact sheet of a data set on disk."""

from __future__ import annotations

from collections.abc import Sequence

from fusionbench.core.figures import contact_sheet, pair_sheet
from fusionbench.data.dataset import Dataset


def draw_preview(dataset: Dataset, split: str, indices: Sequence[int]) -> bytes:
    """PNG of some samples of a data set, with its name; of targets and views also its identity and the licence."""
    arrays, source = dataset.arrays(split), dataset.manifest.source
    title = f"{dataset.manifest.title.partition(':')[0] or dataset.name} {dataset.version}"
    if "targets" not in arrays.columns:
        return pair_sheet([[*arrays.views[index]] for index in indices], ["view 0", "view 1"], title=title)
    return contact_sheet(
        arrays.targets[list(indices)],
        arrays.views[list(indices)],
        title=title,
        caption=f"{split} split, {dataset.size(split):,} samples · id {dataset.id[:16]} · source: {source.licence}",
        labels=[str(index) for index in indices],
    )
