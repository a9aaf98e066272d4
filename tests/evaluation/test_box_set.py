"""Which pairs detectors are trained on and tested: by scene, never neighbours, the same with any limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.box_set import BoxSet, open_boxes
from fusionbench.sources.frame_names import GUARD
from fusionbench.sources.labelled_pairs import ProbeDemo
from tests.sources import folders


class Recording(ProbeDemo):
    """The demo's frames as one recording."""

    def stems(self, split: str) -> list[str]:
        return [f"{40 * number:05d}" for number in range(len(super().stems(split)))]


def test_scenes_are_dealt_in_shares_and_neighbours_do_not_train() -> None:
    data = BoxSet(Recording(), "all", (2, 1, 1))
    numbers = [{40 * place for _, place in part} for part in (data.trained, data.tested)]
    assert not numbers[0] & numbers[1] and len(numbers[1]) == 6 and len(numbers[0]) == 12
    assert all(abs(a - b) > GUARD for a in numbers[0] for b in numbers[1])
    few = BoxSet(data.source, "all", (2, 1, 1), limit=2)
    assert few.tested == data.tested[:2] and few.trained == data.trained
    assert few.identity.n == 2 and few.identity.id == data.identity.id


def test_published_splits_stay_what_they_are(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folders.boxed(tmp_path, f"infrared/{split}", f"visible/{split}", "Annotations", "person")
    data = open_boxes("llvip-detection", None, tmp_path, parts=(1, 1, 98))
    assert {split for split, _ in data.trained} == {"train"} and {split for split, _ in data.tested} == {"test"}
    colours = data.colour(data.tested[0])
    assert colours is not None and colours.shape == (*data.pair(data.tested[0]).shape[1:], 3)
    for path in (tmp_path / "visible" / "test").iterdir():
        Image.open(path).convert("L").save(path)
    assert open_boxes("llvip-detection", None, tmp_path).colour(data.tested[0]) is None


def test_boxes_of_label_maps_are_those_of_their_parts() -> None:
    data = open_boxes("probe-demo", None, None)
    boxes = data.boxes(("all", 3))
    for place, number in ((0, 2), (1, 1)):
        rows, columns = np.nonzero(data.source.label_map("all", 3) == number)
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert boxes.corners[boxes.classes == place].tolist() == [corners]


def test_sources_without_boxes_are_told() -> None:
    with pytest.raises(UsageError, match="'pairs-demo' has neither boxes nor label maps; sources that have: labelled"):
        open_boxes("pairs-demo", None, None)
    with pytest.raises(UsageError, match="Unknown source of pairs with boxes"):
        open_boxes("m3fd-detectoin", None, None)
