"""What is said beside ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusionbench.results.comparison import compare_results
from fusionbench.results.rank_notes import MAX_NEEDED, rank_notes
from tests.helpers.results import saved

VALUES = np.array([0.1, 0.5, 0.3, 0.9, 0.2, 0.7, 0.4, 0.6])


def test_few_images_are_said_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path, name, {"vif": VALUES[:3], "ssim": VALUES[:3]}, family="trivial")
    notes = rank_notes(compare_results([tmp_path], resamples=100))
    assert notes == ["ssim, vif: no ranks: 3 images, fewer than the 6 that a rank needs"]


def test_one_training_is_said_of_its_row(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"vif": VALUES})
    saved(tmp_path, "b", {"vif": VALUES + 1}, family="trivial")
    assert rank_notes(compare_results([tmp_path], resamples=100)) == [
        "a: trained once: the interval holds for this training alone"
    ]


def test_ties_say_how_many_images_they_need(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"vif": VALUES}, family="trivial")
    saved(tmp_path, "b", {"vif": VALUES[::-1] + 0.01}, family="trivial")
    saved(tmp_path, "cut", {"vif": VALUES}, cut=True)
    comparison = compare_results([tmp_path], resamples=100)
    needed = next(row.needed_images for row in comparison.scores["vif"] if row is not None and row.needed_images)
    assert needed > 1000 and rank_notes(comparison) == [
        f"images that would separate a row from the best (power 0.8): a: vif about {needed:,}"
    ]


def test_the_line_stays_short(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(MAX_NEEDED + 9):
        saved(tmp_path, f"m{i}", {"vif": rng.normal(size=8)}, family="trivial")
    (line,) = rank_notes(compare_results([tmp_path], resamples=100))
    assert line.count("about") == MAX_NEEDED


def test_many_trained_once_are_one_line(tmp_path: Path) -> None:
    for i in range(12):
        saved(tmp_path, f"m{i:02}", {"vif": VALUES + i})
    (line,) = [note for note in rank_notes(compare_results([tmp_path], resamples=100)) if "trained once" in note]
    assert line.startswith("m00, m01, ") and " and 4 more: trained once" in line


def test_no_number_of_images_separates_rounding(tmp_path: Path) -> None:
    for i in range(3):
        saved(tmp_path, f"m{i}", {"vif": VALUES + i * 1e-12}, family="trivial")
    comparison = compare_results([tmp_path], resamples=100)
    assert [row.needed_images for row in comparison.scores["vif"] if row is not None] == [None] * 3
    assert rank_notes(comparison) == []
