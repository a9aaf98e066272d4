"""The contact sheet of a data set on disk."""

from __future__ import annotations

from collections.abc import Sequence

from fusionbench.data import Dataset
from fusionbench.pictures import contact_sheet


def draw_sheet(dataset: Dataset, split: str, indices: Sequence[int]) -> bytes:
    """PNG of some samples of a data set, with its name, identity and the source's licence."""
    arrays, source = dataset.arrays(split), dataset.manifest.source
    return contact_sheet(
        arrays.targets[list(indices)],
        arrays.views[list(indices)],
        title=f"{dataset.manifest.title.partition(':')[0] or dataset.name} {dataset.version}",
        caption=f"{split} split, {dataset.size(split):,} samples · id {dataset.id[:16]} · source: {source.licence}",
        labels=[str(index) for index in indices],
    )
