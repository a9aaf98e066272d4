"""The fixed features of the downstream probe against loops over pixels and exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fusionbench.evaluation.probe_features import FEATURES, HIDDEN, Levels, RandomLayer, filter_features


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
