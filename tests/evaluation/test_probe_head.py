"""The head of the downstream probe: folds that do not leak, equations that are solved, scikit-learn's precision."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.evaluation.probe_head import Folds, precision_and_overlap, score_frames, solve_ridge
from fusionbench.sources.frame_names import GUARD, scenes_of


def test_a_scene_on_both_sides_is_noticed() -> None:
    """Pixels that tell which scene it is, labels that the scene decides: learnt by heart, and not across folds."""
    rng = np.random.default_rng(3)
    scenes = [f"s{scene}" for scene in range(8) for _ in range(3)]
    places = [rng.permutation(400) < 40 for _ in range(8)]
    marks = rng.integers(0, 900, (8, 400, 1)) + 300.0 * np.stack(places)[..., None]  # a unit of each scene's own
    hidden = [np.concatenate([np.eye(8)[i // 3] * marks[i // 3], np.ones((400, 1))], 1) for i in range(24)]
    truth = [places[i // 3][:, None] for i in range(24)]
    apart = Folds.by_scene([f"{100 * i}" for i in range(24)], scenes, 4)
    leaky = Folds(np.arange(24) % 3, [[i for i in range(24) if i % 3 != fold] for fold in range(3)])

    def mean_ap(folds: Folds) -> float:
        found = score_frames(lambda frame: hidden[frame], truth, folds)
        return float(np.mean([precision_and_overlap(found[i][:, 0], truth[i][:, 0])[0] for i in range(24)]))

    assert not any(
        scenes[i] == scenes[j]
        for k, train in enumerate(apart.trains)
        for i in train
        for j in np.flatnonzero(apart.of == k)
    )
    assert mean_ap(apart) == pytest.approx(0.1, abs=1e-9)  # all scores are equal: the share of pixels
    assert mean_ap(leaky) > 0.2


def test_neighbours_in_another_scene_do_not_train() -> None:
    stems = [f"{number:04d}N" for number in range(0, 400, 5)]
    scenes = scenes_of(stems)
    folds = Folds.by_scene(stems, scenes, 4)
    for fold, train in enumerate(folds.trains):
        tested = [int(stems[i][:4]) for i in np.flatnonzero(folds.of == fold)]
        assert all(min(abs(int(stems[i][:4]) - number) for number in tested) > GUARD for i in train)
        assert len(train) > 30
    assert sorted(np.unique(folds.of)) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_scikit_learn_and_overlap_that_of_brute_force(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    scores, shown = rng.integers(0, 12, 200).astype(float), rng.random(200) < 0.2
    precision, overlap = precision_and_overlap(scores, shown)
    assert precision == pytest.approx(metrics.average_precision_score(shown, scores), abs=1e-12)
    assert overlap == max((shown & (scores >= t)).sum() / (shown | (scores >= t)).sum() for t in np.unique(scores))
    assert np.isnan(precision_and_overlap(scores, np.zeros(200, bool))).all()


def test_the_ridge_solves_its_equations() -> None:
    rng = np.random.default_rng(0)
    hidden, targets = rng.integers(-99, 99, (500, 12)).astype(float), rng.integers(0, 2, (500, 2)).astype(float)
    weights = solve_ridge(hidden.T @ hidden, hidden.T @ targets, 500)
    expected = np.linalg.lstsq(hidden, targets, rcond=None)[0]
    for column, wanted in zip(weights.T, expected.T, strict=True):
        assert np.array_equal(column, np.rint(column)) and 2**17 <= np.abs(column).max() <= 2**18
        assert np.corrcoef(column, wanted)[0, 1] > 0.999999
    assert solve_ridge(np.zeros((3, 3)), np.zeros((3, 1)), 5).tolist() == [[0.0]] * 3
