"""Phase congruency of a step, and the median that its noise threshold takes."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics._images import Image
from fusionbench.metrics._log_gabor import filters_of
from fusionbench.metrics._phase_congruency import maps, median


def test_phase_congruency_is_blind_to_brightness_and_marks_a_step() -> None:
    step = np.full((48, 48), 60.0)
    step[:, 24:] = 180
    congruency, largest, smallest = maps(Image(step), filters_of(48, 48, "centred"))
    assert ((congruency >= 0) & (congruency <= 1)).all() and (largest >= smallest).all()
    # the image is continued periodically, so its left border is a step as well
    assert set(np.argsort(congruency[20])[-4:]) <= {0, 23, 24, 47}
    brighter = maps(Image(step + 30), filters_of(48, 48, "centred"))[0]
    assert brighter == pytest.approx(congruency, abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 4096, 10_001])
@pytest.mark.parametrize("kind", ["rayleigh", "equal", "rising", "two values"])
def test_the_median_is_exact(count: int, kind: str) -> None:
    rng = np.random.default_rng(count)
    values = {
        "rayleigh": rng.rayleigh(size=count),
        "equal": np.full(count, 0.3),
        "rising": np.linspace(0, 5, count),  # no random order: a sample sees every part alike
        "two values": rng.integers(0, 2, count) * 1.5,
    }[kind]
    assert median(np, values**2) == np.median(np.sqrt(values**2) ** 2)
