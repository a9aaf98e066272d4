"""Colour: against exact fractions, the bytes of other libraries, and every property that the rules promise."""

from __future__ import annotations

import colorsys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.colour import (
    colour_difference,
    colour_fused,
    luminance,
    mixed_difference,
    recolour,
    rescaled_difference,
    to_levels,
    weighted_difference,
)
from fusionbench.core.errors import UsageError


def grid(step: int, top: int) -> np.ndarray:
    """All colours on a grid that has both ends, (n,1,3)."""
    axis = np.unique(np.append(np.arange(0, top + 1, step), top))
    return np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 1, 3)


@pytest.mark.parametrize(("bits", "step"), [(8, 5), (16, 1285)])
def test_colours_survive_a_luminance_that_nobody_changed(bits: int, step: int) -> None:
    top, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    drawn = np.random.default_rng(0).integers(0, top + 1, (50_000, 1, 3))
    for colours in (grid(step, top), drawn):
        levels = colours.astype(kind)
        unit = levels.astype(np.float32) / np.float32(top)
        again = to_levels(colour_fused(luminance(unit), np.zeros_like(unit[..., 0]), unit), bits)
        assert again.dtype == kind
        assert np.array_equal(again, levels), "not even one level"


def test_luminance_and_differences_are_those_of_bt601() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (300, 1, 3))
    unit = rgb.astype(np.float32) / np.float32(255)
    y, difference = luminance(unit), colour_difference(unit)
    for (r, g, b), found, cb, cr in zip(
        rgb[:, 0].tolist(), y[:, 0], difference[0, :, 0], difference[1, :, 0], strict=True
    ):
        exact = Fraction(299 * r + 587 * g + 114 * b, 1000)
        assert float(found) * 255 == pytest.approx(float(exact), abs=1e-4)
        assert float(cb) * 255 == pytest.approx(float((b - exact) / Fraction(1772, 1000)), abs=1e-4)
        assert float(cr) * 255 == pytest.approx(float((r - exact) / Fraction(1402, 1000)), abs=1e-4)
    theirs = np.asarray(Image.fromarray(rgb.astype(np.uint8)).convert("YCbCr"), int)
    ours = np.stack((y * 255, 128 + difference[0] * 255, 128 + difference[1] * 255), -1)
    assert np.abs(ours - theirs).max() < 1.01, "Pillow rounds to bytes"


def test_out_of_gamut_keeps_luminance_and_hue_and_loses_saturation() -> None:
    rng = np.random.default_rng(2)
    unit = rng.random((4000, 1, 3)).astype(np.float32)
    y = rng.random((4000, 1)).astype(np.float32)
    difference = colour_difference(unit)
    found = recolour(y, difference)
    assert found.min() >= 0 and found.max() <= 1
    assert np.abs(luminance(found) - y).max() < 1e-6, "what was fused is what is shown"
    again = colour_difference(found)
    assert np.abs(again[0] * difference[1] - again[1] * difference[0]).max() < 1e-6, "one factor for both"
    assert (np.abs(again) <= np.abs(difference) + 1e-6).all()
    clipped = np.clip(unit + (y - luminance(unit))[..., None], 0, 1)
    outside = np.abs(clipped - unit - (y - luminance(unit))[..., None]).max(-1) > 1e-3
    assert outside.mean() > 0.2, "the case is there"
    assert np.abs(luminance(clipped) - y)[outside].max() > 0.05, "clipping by channel would change the luminance"
    hues = [[colorsys.rgb_to_hsv(*map(float, pixel))[0] for pixel in image[:200, 0]] for image in (unit, found)]
    colourful = np.abs(again).max(0)[:200, 0] > 0.02
    turned = np.abs(np.subtract(*hues))[colourful]
    assert np.minimum(turned, 1 - turned).max() < 1e-3, "the hue, too, as another library has it"


def test_the_weighted_rule_is_that_of_the_papers() -> None:
    """On bytes: (C1|C1 − 128| + C2|C2 − 128|)/(|C1 − 128| + |C2 − 128|), 128 where both vanish."""
    one, two = np.meshgrid(np.arange(0, 256, 3), np.arange(0, 256, 4))
    weights = np.abs(one - 128), np.abs(two - 128)
    total = weights[0] + weights[1]
    papers = np.where(total == 0, 128, (one * weights[0] + two * weights[1]) / np.maximum(total, 1))
    ours = weighted_difference(*((plane[None] - 128) / 255 for plane in (one, two)))[0] * 255 + 128
    assert (total == 0).sum() == 0 or np.isfinite(ours).all()
    assert np.allclose(ours, papers, atol=1e-9)
    assert weighted_difference(np.zeros((2, 1, 1)), np.zeros((2, 1, 1))).tolist() == [[[0.0]], [[0.0]]]


def test_which_colour_is_taken() -> None:
    rng = np.random.default_rng(3)
    grey, y = rng.random((5, 4)), np.full((5, 4), 0.5)
    colour, other = rng.random((5, 4, 3)) * 0.2 + 0.4, rng.random((5, 4, 3)) * 0.2 + 0.4
    of = colour_difference
    assert np.allclose(of(colour_fused(y, other, colour)), of(colour)), "visible: of b"
    assert np.allclose(of(colour_fused(y, colour, grey, "weighted")), of(colour)), "the only one that has any"
    assert np.allclose(of(colour_fused(y, grey, colour, "weighted")), of(colour))
    assert np.allclose(of(colour_fused(y, colour, other, "weighted")), weighted_difference(of(colour), of(other)))
    for rule, a, b in (("none", colour, other), ("visible", colour, grey), ("weighted", grey, grey)):
        assert colour_fused(y, a, b, rule).shape == (5, 4)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Unknown rule of colour 'warm': use visible, weighted, none"):
        colour_fused(y, grey, grey, "warm")  # type: ignore[arg-type]


def test_levels_are_rounded_and_clipped() -> None:
    values = np.array([-0.1, 0.0, 1 / 255, 0.5, 1.0, 3.0])
    assert to_levels(values, 8).tolist() == [0, 0, 1, 128, 255, 255]
    assert to_levels(values, 16).tolist() == [0, 0, 257, 32768, 65535, 65535]
    assert values[0] == -0.1, "the argument is left alone"


def test_colours_of_many_are_mixed_as_those_of_two() -> None:
    drawn = np.random.default_rng(1).uniform(-0.5, 0.5, (4, 2, 5, 7))
    assert np.allclose(mixed_difference(drawn[:2]), weighted_difference(*drawn[:2]), atol=1e-12)
    assert np.allclose(mixed_difference([drawn[0], drawn[0] * 0, drawn[0] * 0]), drawn[0], atol=1e-12)
    many = mixed_difference(drawn)
    assert np.allclose(mixed_difference(drawn[::-1]), many, atol=1e-12)
    assert (many <= drawn.max(0) + 1e-12).all() and (many >= drawn.min(0) - 1e-12).all()
    assert (mixed_difference(drawn * 0) == 0).all()


def test_a_colour_keeps_its_hue_at_another_luminance() -> None:
    rgb = np.random.default_rng(2).uniform(0.05, 0.4, (6, 8, 3))
    y, difference = luminance(rgb), colour_difference(rgb)
    twice = rescaled_difference(difference, y, 2 * y + 0.02)  # the 0.02 is what keeps the dark from dividing by 0
    assert np.allclose(twice, 2 * difference, atol=1e-12)
    assert np.array_equal(rescaled_difference(difference, y, y), difference)
    assert np.abs(rescaled_difference(difference, y * 0, y * 0 + 1)).max() <= 8 * np.abs(difference).max()
