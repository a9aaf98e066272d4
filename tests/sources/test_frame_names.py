"""Frames of one recording that are near each other are one scene, whatever order the names come in."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.sources.frame_names import GUARD, LENGTH, are_near, number_of, scenes_of


def test_a_name_is_text_number_text_and_the_last_number_counts() -> None:
    assert number_of("00123N") == ("", 123, "N")
    assert number_of("set2_00009_ir") == ("set2_", 9, "_ir")
    assert number_of("FLIR_00211") == ("FLIR_", 211, "")
    assert number_of("") is None and number_of("cat") is None
    assert number_of("9" * 40) == ("9" * 25, int("9" * 15), "")  # no number is without bound
    assert number_of("٣") is None  # digits of other scripts are letters here


@pytest.mark.parametrize("seed", range(5))
def test_scenes_hold_what_is_near_and_part_what_is_far(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(2000)[:120]
    stems = [f"{number:05d}{'DN'[int(number % 7 == 0)]}" for number in numbers]
    scenes = scenes_of(stems)
    assert scenes_of(stems[::-1]) == scenes[::-1]  # the order of names does not matter
    for scene in set(scenes):
        inside = [stem for stem, one in zip(stems, scenes, strict=True) if one == scene]
        found = [int(stem[:5]) for stem in inside]
        assert max(found) - min(found) < LENGTH and len({stem[5] for stem in inside}) == 1
        assert scene == (min(inside) if len(inside) == 1 else f"{min(inside)}-{max(inside)}")
        others = [int(s[:5]) for s, one in zip(stems, scenes, strict=True) if one != scene and s[5] == inside[0][5]]
        assert not any(min(found) <= number <= max(found) for number in others)  # scenes do not interleave


def test_frames_without_a_number_are_scenes_of_their_own() -> None:
    assert scenes_of(["cat", "dog"]) == ["cat", "dog"]
    assert not are_near("cat", "dog") and are_near("cat", "cat")


def test_near_frames_are_near_whatever_comes_after_the_number() -> None:
    assert are_near("00001D", f"{1 + GUARD:05d}N") and not are_near("00001D", f"{2 + GUARD:05d}D")
    assert not are_near("a_1", "b_1")
