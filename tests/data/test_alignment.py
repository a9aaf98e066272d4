"""Displacements of pairs whose truth is known: views of opposite contrast, of one size and several, flat and tiny."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.data.alignment import Alignment, AlignmentCheck, measure_alignment, sample_of
from fusionbench.synth.degradations import degrade


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """Two views of one scene, of opposite contrast and with noise of their own: uint8 (2, h, w)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shown = np.full((height, width), 90.0)
    for _ in range(12):  # ellipses of all brightnesses
        cy, cx, ry, rx = rng.uniform((0, 0, 8, 8), (height, width, 40, 40))
        shown[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = rng.uniform(20, 235)
    noise = rng.normal(0, 3, (2, height, width))
    return np.clip(np.stack([255 - 255 * (shown / 255) ** 1.6, shown]) + noise, 0, 255).astype(np.uint8)


SCENES = [scene(seed, 150 + 3 * seed, 200 - 5 * seed) for seed in range(6)]


def moved(pair: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """View 0 moved down and to the right; what is not in both is cut away."""
    height, width = pair.shape[1:]
    return np.stack([pair[0, : height - rows, : width - columns], pair[1, rows:, columns:]])


def test_views_that_lie_on_each_other_are_not_told() -> None:
    found = measure_alignment(SCENES)
    assert found is not None and found.distance < 0.3 and not found.told and found.pairs == 6
    assert not any(one.told for pair in SCENES if (one := measure_alignment([pair])) is not None)


@pytest.mark.parametrize("shift", [(2, 0), (0, 5), (12, 7)])
def test_a_common_displacement_is_found_and_told(shift: tuple[int, int]) -> None:
    found = measure_alignment([moved(pair, *shift) for pair in SCENES])
    assert found is not None and found.told
    assert (found.rows, found.columns) == pytest.approx(shift, abs=0.3)
    assert "pixel" in found.text and "\n" not in found.text and "(6 pairs)" in found.text


def test_the_true_field_of_a_degradation_is_what_is_measured() -> None:
    large = scene(1, 200, 240)[None]
    made = degrade(large, "shift/1", 5, dataset="demo", split="all", samples=np.array([4]))
    found = measure_alignment([made.views[0]] * 3)
    truth = made.field[0, :, 100, 100] / 256
    assert found is not None and (found.rows, found.columns) == pytest.approx(tuple(truth), abs=0.4)


def test_pairs_that_are_displaced_in_every_direction_are_not_told() -> None:
    ways = [(6, 0), (0, 6), (6, 6)]
    pairs = [moved(pair, *way) for pair, way in zip(SCENES, ways * 2, strict=True)]
    back = [pair[::-1] for pair in pairs[3:]]  # the other way around
    found = measure_alignment(pairs[:3] + back)
    assert found is not None and not found.told


def test_what_cannot_be_looked_at_says_nothing() -> None:
    flat, tiny = np.full((2, 64, 64), 7, np.uint8), np.zeros((2, 1, 1), np.uint8)
    other = [np.zeros((40, 40), np.uint8), np.zeros((40, 41), np.uint8)]
    assert measure_alignment([flat, tiny, other]) is None and measure_alignment([]) is None  # type: ignore[list-item]
    for seed in range(20):  # views that have nothing in common
        noise = np.random.default_rng(seed).integers(0, 256, (1 + seed % 8, 2, 40, 40), np.uint8)
        found = measure_alignment(noise)
        assert found is not None and not found.told


def test_pairs_may_have_any_sizes_and_types() -> None:
    check = AlignmentCheck()
    for pair in [*(moved(one, 4, 0) for one in SCENES), scene(9, 900, 1100), scene(8, 64, 64)]:
        check.add(*pair.astype(np.float32))
    found = check.result()
    assert found is not None and found.rows == pytest.approx(4, abs=0.5) and check.lines == [found.text]


def test_what_a_result_keeps_is_read_back_and_nonsense_is_not() -> None:
    found = Alignment(12.0, -7.0, 0.1, 3.0, 9.5, 9)
    read = Alignment.of_json(found.to_json())
    assert read == found and "12 pixels below and 7 pixels left of" in found.text
    whole = found.to_json()
    for wrong in ({}, [], None, {**whole, "pairs": 0}, {**whole, "rows": "x"}, {**whole, "rows": float("nan")}):
        assert Alignment.of_json(wrong) is None


def test_a_sample_is_spread_over_all_pairs() -> None:
    assert sample_of(5) == [0, 1, 2, 3, 4] and sample_of(10, 1) == [0]
    found = sample_of(1000)
    assert len(found) == len(set(found)) == 32 and found[0] == 0 and found[-1] == 999
