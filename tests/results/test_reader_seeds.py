"""The spread of detectors and U-Nets: in intervals and on tables, from what a result tells of its seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.results.bootstrap import paired_difference
from fusionbench.results.comparison import compare_entries
from fusionbench.results.entries import read_entries
from fusionbench.results.reader_seeds import reader_means, spread_readers
from fusionbench.results.schema import Score, load, load_per_image, save
from fusionbench.results.tables import as_data, label, legend
from tests.helpers.results import saved


def told(mean: float | None, seeds: Any) -> Score:
    return Score(mean=mean, n=9, better="higher", unit="1", extra={"seeds": seeds})


def test_values_keep_their_means_and_get_those_of_the_readers() -> None:
    values = np.array([[0.1, np.nan, 0.5]])
    found = spread_readers(values, told(0.3, [0.1, 0.2, 0.6]))
    assert found.shape == (3, 3) and np.allclose(found.mean(0), values[0], equal_nan=True)
    assert np.allclose(np.nanmean(found, axis=1), [0.1, 0.2, 0.6])


@pytest.mark.parametrize(
    "score", [Score(mean=0.3, n=9, better="higher", unit="1"), told(None, [1.0]), told(0.3, [0.3]), told(0.3, [])]
)
def test_no_several_readers(score: Score) -> None:
    values = np.array([[0.1, 0.5]])
    assert reader_means(score) == [] and spread_readers(values, score) is values


@pytest.mark.parametrize(
    "seeds",
    [
        "ab",
        {"a": 1},
        3,
        [0.3, "0.3"],
        [0.3, None],
        [True, False],
        [0.2, np.inf],
        [9.0, 9.0],
        [0.3, np.nan],
        [10**400, 0],
        [0.3] * 101,
    ],
)
def test_damaged_seeds_are_one_line(seeds: Any) -> None:
    with pytest.raises(DataError, match="score again") as caught:
        reader_means(told(0.3, seeds))
    assert "\n" not in str(caught.value)


def with_seeds(root: Path, name: str, values: list[float], spread: list[float], **more: Any) -> Path:
    folder = saved(root, name, {"map50": values}, better="higher", **more)
    made = load(folder)
    made.scores["map50"].extra["seeds"] = [float(np.mean(values)) + step for step in spread]
    save(made, root, load_per_image(folder))
    return folder


def test_a_row_says_its_readers_and_is_less_sure(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 30).tolist()
    with_seeds(tmp_path, "steady", values, [-0.001, 0, 0.001])
    alone = compare_entries(read_entries([tmp_path])).scores["map50"][0]
    with_seeds(tmp_path, "shaky", [value + 0.01 for value in values], [-0.1, 0, 0.1])
    made = compare_entries(read_entries([tmp_path]))
    rows = {entry.title: row for entry, row in zip(made.entries, made.scores["map50"], strict=True)}
    assert alone is not None and rows["shaky"] is not None and rows["steady"] is not None
    assert rows["shaky"].high - rows["shaky"].low > 2 * (alone.high - alone.low)
    assert rows["steady"].tied and rows["shaky"].mean == pytest.approx(rows["steady"].mean + 0.01)
    assert {label(entry) for entry in made.entries} == {"steady (3 readers)", "shaky (3 readers)"}
    assert "readers that were trained" in legend(made) and "standard deviation over readers" in legend(made)
    assert [row["readers"] for row in as_data(made)["rows"]] == [3, 3]


def test_the_values_of_its_result_are_the_mean_of_its_readers(tmp_path: Path) -> None:
    with_seeds(tmp_path, "steady", [0.1, 0.4], [-0.1, 0.1])
    [entry] = read_entries([tmp_path])
    assert entry.values["map50"].shape == (2, 2) and entry.first_values["map50"] == pytest.approx([0.1, 0.4])


def test_training_runs_have_the_spread_of_their_readers_already(tmp_path: Path) -> None:
    for seed in range(2):
        with_seeds(tmp_path, "net", [0.1 + seed, 0.2 + seed, 0.3 + seed], [-0.1, 0.1], seed=seed)
    [entry] = read_entries([tmp_path])
    assert entry.readers == 1 and entry.values["map50"].shape == (2, 3)


def test_a_network_that_was_trained_once_says_so(tmp_path: Path) -> None:
    with_seeds(tmp_path, "net", [0.1, 0.2, 0.3], [-0.1, 0.1], seed=0)
    with_seeds(tmp_path, "rule", [0.1, 0.2, 0.3], [-0.1, 0.1], family="trivial")
    remarks = {entry.title: entry.remarks for entry in read_entries([tmp_path])}
    assert remarks == {"net": ["trained once: intervals know of 2 readers, not of another training"], "rule": []}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = with_seeds(tmp_path, "forged", [0.1, 0.2], [0.5, 0.6])
    with pytest.raises(DataError, match="map50: the means of the seeds") as caught:
        read_entries([tmp_path])
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_differences_of_equal_methods_are_covered() -> None:
    """Simulated truth: images and detectors vary, no method is better. Without detectors one in five is 'found'."""
    rng = np.random.default_rng(1)
    rounds, images, readers = 200, 40, 3
    hidden = {"spread": 0, "images alone": 0}
    for _ in range(rounds):
        common = rng.normal(0, 0.2, images)
        rows, flat = [], []
        for _ in range(2):
            of_seed = rng.normal(0, 0.03, readers)
            each = common + of_seed[:, None] + rng.normal(0, 0.05, (readers, images))
            score = told(float(each.mean()), each.mean(1).tolist())
            flat.append(each.mean(0)[None])
            rows.append(spread_readers(flat[-1], score))
        hidden["spread"] += paired_difference(*rows, resamples=200).separable
        hidden["images alone"] += paired_difference(*flat, resamples=200).separable
    assert hidden["spread"] <= 0.05 * rounds + 3 * np.sqrt(0.05 * 0.95 * rounds)
    assert hidden["images alone"] > 0.2 * rounds
