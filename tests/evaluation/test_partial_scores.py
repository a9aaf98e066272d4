"""Chunks of scores that outlive a stop: found again by what they were measured with, and never trusted when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.evaluation.partial_scores import FOLDER, PartialScores

IDS = np.arange(3)
COLUMNS = {"nll": np.array([1.0, np.nan, 0.1]), "#nll of 2": np.array([3.0, 2.0, 1.0])}


def test_what_was_kept_is_found_to_the_bit(tmp_path: Path) -> None:
    PartialScores(tmp_path, {"id": "a"}).add("0-0-3", IDS, COLUMNS, seconds=1.25)
    found = PartialScores(tmp_path, {"id": "a"}).find("0-0-3", IDS)
    assert found is not None and found[1] == 1.25
    for name, values in COLUMNS.items():
        np.testing.assert_array_equal(found[0][name], values)


def test_other_configurations_chunks_and_images_are_not_found(tmp_path: Path) -> None:
    kept = PartialScores(tmp_path, {"id": "a"})
    kept.add("0-0-3", IDS, COLUMNS, seconds=1.0)
    assert PartialScores(tmp_path, {"id": "b"}).find("0-0-3", IDS) is None
    assert kept.find("1-0-3", IDS) is None and kept.find("0-0-3", IDS + 1) is None
    assert kept.find("0-0-3", np.arange(2)) is None


@pytest.mark.parametrize(
    "change",
    [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b[2:40], lambda b: b.replace(b"<f8", b"|O8")],
)
def test_a_damaged_file_is_measured_again(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    kept = PartialScores(tmp_path, 1)
    kept.add("0", IDS, COLUMNS, seconds=1.0)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(change(path.read_bytes()))
    assert kept.find("0", IDS) is None


def test_nothing_is_left_and_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    kept = PartialScores(tmp_path, 1)
    kept.add("0", IDS, COLUMNS, seconds=1.0)
    kept.remove()
    assert list(tmp_path.iterdir()) == []
    kept.remove()
    nowhere = PartialScores(None, 1)
    nowhere.add("0", IDS, COLUMNS, seconds=1.0)
    nowhere.remove()
    assert nowhere.find("0", IDS) is None
