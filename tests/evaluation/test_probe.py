"""The downstream probe against simulated truth, brute force and scikit-learn's average precision."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench import create_model
from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.labelled_set import LabelledSet, open_labelled
from fusionbench.evaluation.probe_features import FEATURES, HIDDEN, Levels, RandomLayer, filter_features
from fusionbench.evaluation.probe_head import Folds, precision_and_overlap, score_frames, solve_ridge
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.results.schema import load_per_image
from fusionbench.sources.labelled_pairs import ProbeDemo
from fusionbench.sources.scenes import GUARD, scenes_of
from tests.sources import folders

PROBE = PROTOCOLS.get("probe/1")


def scores_of(name: str, data: LabelledSet, **options: object) -> dict[str, float]:
    model = PROBE.reference(name, data) if name == "stack" else create_model(name, PROBE.spec(data))
    found = PROBE.evaluate(model, data, PROBE.options(**options), out=None, device="cpu").scores
    return {key: np.nan if score.mean is None else score.mean for key, score in found.items()}


@pytest.fixture(scope="module")
def demo() -> LabelledSet:
    return open_labelled("probe-demo", None, None)


# Simulated truth


def test_a_class_is_found_in_the_view_that_shows_it_and_nowhere_else(demo: LabelledSet) -> None:
    infrared, visible = scores_of("copy-a", demo), scores_of("copy-b", demo)
    stack = scores_of("stack", demo, colour=False)
    assert infrared["ap@person"] > 0.98 and visible["ap@car"] > 0.98
    assert stack["ap@person"] > 0.98 and stack["ap@car"] > 0.98
    shares = [np.mean([demo.truth(f, [name], 1).mean() for f in range(len(demo))]) for name in ("person", "car")]
    assert visible["ap@person"] < 3 * shares[0] and infrared["ap@car"] < 3 * shares[1]  # about chance
    assert infrared["ap"] == pytest.approx((infrared["ap@person"] + infrared["ap@car"]) / 2)
    # the colour of the visible image shows the cars that infrared does not
    assert infrared["ap_colour@car"] > 0.98 and visible["ap_colour@person"] < 3 * shares[0]


class Permuted(ProbeDemo):
    """The demo with the pixels of its label maps in any order."""

    def label_map(self, split: str, index: int) -> np.ndarray:
        found = super().label_map(split, index)
        return np.random.default_rng(index).permutation(found.ravel()).reshape(found.shape)


def test_permuted_labels_give_chance() -> None:
    data = LabelledSet(Permuted(), "all")
    found = scores_of("stack", data, colour=False)
    for name in ("person", "car"):
        share = float(np.mean([data.truth(frame, [name], 1).mean() for frame in range(len(data))]))
        assert share / 2 < found[f"ap@{name}"] < 3 * share


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


# Numbers


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


def smoothed_by_hand(image: np.ndarray, spacing: int) -> np.ndarray:
    height, width = image.shape
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            total = 0
            for i, down in enumerate((1, 4, 6, 4, 1)):
                for j, across in enumerate((1, 4, 6, 4, 1)):
                    row = min(max(y + (i - 2) * spacing, 0), height - 1)
                    column = min(max(x + (j - 2) * spacing, 0), width - 1)
                    total += down * across * int(image[row, column])
            out[y, x] = (total + 128) // 256
    return out


def test_features_are_those_of_loops_over_pixels() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (9, 7), np.uint8)
    levels = Levels.of([image])
    assert abs(levels.mean / 256 - image.mean()) < 0.01 and abs(levels.deviation / 256 - image.std()) < 0.01
    level = levels.table()[image]
    assert np.abs(level - 64 * (image - image.mean()) / image.std()).max() < 1.1
    found = filter_features(image, levels, 1).reshape(9, 7, FEATURES).astype(np.int64)
    assert np.array_equal(found[..., 0], level)
    smooth = [level]
    for place, spacing in enumerate((1, 2, 4, 8, 16)):
        smooth.append(smoothed_by_hand(smooth[-1], spacing))
        assert np.array_equal(found[..., 2 + place], np.clip(2 * (smooth[-2] - smooth[-1]), -1023, 1023))
    assert np.array_equal(found[..., 1], smooth[5])
    for radius, column in ((1, 16), (3, 17), (7, 18)):
        rows, columns = np.indices((9, 7))
        for y, x in ((0, 0), (4, 3), (8, 6)):
            box = [
                level[min(max(y + i, 0), 8), min(max(x + j, 0), 6)]
                for i in range(-radius, radius + 1)
                for j in range(-radius, radius + 1)
            ]
            assert found[y, x, column] == 2 * int(np.std(box)), (rows[y, x], columns[y, x])
    sparse = filter_features(image, levels, 2)
    assert np.array_equal(sparse, found[::2, ::2].reshape(-1, FEATURES))


def test_tiny_and_flat_images_have_features() -> None:
    for shape in ((1, 1), (1, 40), (40, 2)):
        image = np.full(shape, 255, np.uint8)
        assert not filter_features(image, Levels.of([image]), 1).any()


def test_hidden_units_are_whole_numbers_in_any_order_and_do_not_see_contrast() -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 100, (40, 50), np.uint8)
    twice = (2 * image + 20).astype(np.uint8)  # brighter, with more contrast
    found = [filter_features(one, Levels.of([one]), 1) for one in (image, twice)]
    assert np.abs(found[0].astype(int) - found[1]).max() <= 4  # rounding of levels
    layer = RandomLayer.of([found[0]])
    units = layer.hidden(found[0])
    assert units.shape == (2000, FEATURES + HIDDEN + 1) and np.array_equal(units, np.rint(units))
    assert units.min() >= -511 and units.max() <= 2047
    # by exact fractions, one pixel
    scaled = [Fraction(int(f)) * Fraction(float(g)) // 256 for f, g in zip(found[0][7], layer.gains, strict=True)]
    scaled = [min(max(value, -511), 511) for value in scaled]
    for unit in range(0, HIDDEN, 17):
        total = sum(int(v) * int(w) for v, w in zip(scaled, layer.weights[:, unit], strict=True))
        expected = min(max(total + int(layer.biases[unit]), 0) // 32, 2047)
        assert units[7, FEATURES + unit] == expected
    assert 0.2 < (units[:, FEATURES:-1] > 0).mean() < 0.8


# Protocol and data


def test_the_suite_has_its_reference_and_tables_by_scene(tmp_path: Path) -> None:
    results = run_suite("probe-demo", out=tmp_path, models=["copy-a", "stack"], device="cpu", limit=3)
    assert [result.title for result in results] == ["infrared", "both sources as channels"]
    table = load_per_image(results[1].folder(tmp_path))
    assert list(table["id"]) == ["s0_100-s0_102", "s1_100-s1_102", "s2_100-s2_102"]
    assert results[1].scores["ap@person"].n == 3 and len(results[1].scores["ap@person"].extra["folds"]) == 3
    [alone] = run_suite("probe-demo", out=tmp_path, models=["stack"], device="cpu", limit=3)
    assert alone.id == results[1].id and alone.family == "trivial"


def test_scenes_without_a_class_and_grey_images_are_left_out_for_all(tmp_path: Path) -> None:
    root = folders.labelled(tmp_path)
    label = np.array(Image.open(root / "labels" / "0200.png"))
    folders.save(root / "labels" / "0200.png", np.where(label == 2, 0, label).astype(np.uint8))
    data = open_labelled(str(root), None, None)
    assert data.scene_names == ["0001", "0200", "0300"]
    found = PROBE.evaluate(
        create_model("average", PROBE.spec(data)), data, PROBE.options(), out=None, device="cpu"
    ).scores
    assert found["ap@person"].n == 2 and found["ap@car"].n == 3 and found["ap"].n == 3
    assert found["ap@person"].extra["not_available"][0]["images"] == ["0200"]
    assert found["ap_colour"].mean is None and "visible images are grey" in found["ap_colour"].reason


def test_what_cannot_be_probed_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'pairs-demo' has no label maps; sources with labels: labelled-pairs, msrs"):
        open_labelled("pairs-demo", None, None)
    with pytest.raises(UsageError, match=r"Unknown class 'persn'\. Did you mean 'person'"):
        scores_of("average", open_labelled("probe-demo", None, None, limit=2), classes=("persn",))
    for wrong in ({"classes": ()}, {"classes": ("a", "a")}, {"classes": ("../x",)}, {"folds": 1}):
        with pytest.raises(UsageError):
            PROBE.options(**wrong)
    with pytest.raises(DataError, match="one scene by the names of its frames"):
        _ = open_labelled("probe-demo", None, None, limit=1).identity
    root = folders.labelled(tmp_path)
    for folder in ("ir", "vi", "labels"):  # neighbours all, and in two scenes by their tails
        for old, new in (("0001", "0001D"), ("0200", "0002D"), ("0300", "0003N")):
            (root / folder / f"{old}.png").rename(root / folder / f"{new}.png")
    with pytest.raises(DataError, match="all frames are near tested ones"):
        scores_of("average", open_labelled(str(root), None, None))
