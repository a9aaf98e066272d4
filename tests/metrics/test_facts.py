"""Facts of single images: found where they hold, told once with names, and true of the metrics that are named."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics.engine import score_images
from fusionbench.metrics.facts import fact_lines, facts
from tests.metrics.scenes import scene

SCENES = [scene(0, (96, 120))]


def test_facts_of_single_pictures() -> None:
    _, a, b = SCENES[0]
    assert facts(SCENES[0][0], [a, b]) == [] and facts(a, [a, b]) == ["copy 0"] and facts(b, [a, b]) == ["copy 1"]
    assert facts(a, [a, a]) == ["same sources", "copy 0"] and facts(SCENES[0][0], [a, a]) == ["same sources"]
    assert facts(a * 0, [a, b]) == ["black"] and facts(a * 0 + 3, [a, b]) == ["constant"]
    assert facts(a * 0, [a * 0, b]) == ["black", "copy 0"] and facts(a, []) == []
    nearly = a.copy()
    nearly[0, 0] ^= 1
    assert facts(nearly, [a, b]) == []


def test_lines_of_facts_name_eight_and_count_the_rest() -> None:
    found = [(f"n{place:02}", ["copy 1"] if place < 11 else ["black"] if place < 13 else []) for place in range(20)]
    black, copies = fact_lines(found, 20, ("the first source", "the second source"))
    assert black.startswith("the fused image is black in 2 of 20 images (n11, n12): EN, SD, SF, AG and MI are 0")
    names = ", ".join(f"n{place:02}" for place in range(8))
    assert copies.startswith(
        f"the fused image is identical to the second source in 11 of 20 images ({names} and 3 more): "
    )
    assert "SCD has no value" in copies
    assert fact_lines([("0", [])], 1, ()) == []
    (plain,) = fact_lines([("0", ["constant"])], 1, (), of_pairs=False)
    assert plain == "the fused image is constant in 1 of 1 images (0)"


def test_what_follows_from_a_fact_is_so() -> None:
    """The metrics that the lines name, on images that have the fact."""
    _, a, b = SCENES[0]
    names = ["en", "sd", "sf", "ag", "mi", "cc", "scd", "qabf", "ssim", "vif"]
    for flat in (a * 0, a * 0 + 9):
        values = {name: float(value[0]) for name, value in score_images(flat[None], a[None], b[None], names).items()}
        assert [values[name] for name in names[:5]] == [0] * 5 and np.isnan(values["cc"]) and np.isfinite(values["scd"])
    copied = {name: float(value[0]) for name, value in score_images(a[None], a[None], b[None], names).items()}
    best = {name: float(value[0]) for name, value in score_images(a[None], a[None], a[None], names).items()}
    assert np.isnan(copied["scd"])
    for name in ("mi", "ssim", "vif"):  # sums or means over the sources: half is the source's own share
        other = float(score_images(a[None], b[None], b[None], [name])[name][0])
        assert copied[name] == pytest.approx((best[name] + other) / 2, rel=1e-9)
