"""VIFF against a plain SciPy composition, to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import convolve2d

from fusionbench.metrics.viff import viff
from tests.metrics.scenes import floats, stacks
from tests.metrics.test_vif import plain_window


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray, chosen: bool = True) -> float:
    f, a, b = floats(f, a, b)
    noise, total, sums = 0.005 * 255**2, 0.0, np.zeros((2, 2))
    for size, weight in ((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0)):
        window = plain_window(size)
        if size < 17:
            f, a, b = (convolve2d(x, window, "valid")[::2, ::2] for x in (f, a, b))
        mean_f = convolve2d(f, window, "valid")
        s2 = np.maximum(convolve2d(f * f, window, "valid") - mean_f**2, 0)
        maps = []
        for source in (a, b):
            mean = convolve2d(source, window, "valid")
            s1 = np.maximum(convolve2d(source**2, window, "valid") - mean**2, 0)
            s12 = convolve2d(source * f, window, "valid") - mean * mean_f
            structured = (s1 >= 1e-10) & (s2 >= 1e-10)
            gain = np.where(structured, s12 / (s1 + 1e-10), 0)
            rest = np.where(s2 >= 1e-10, s2 - gain * s12, 0)
            rest = np.maximum(np.where(gain < 0, s2, rest), 1e-10)
            gain = np.maximum(gain, 0)
            s1 = np.where(s1 >= 1e-10, s1, 0)
            maps.append((gain, np.log10(1 + gain**2 * s1 / (rest + noise)), np.log10(1 + s1 / noise)))
        sums += [[one.sum() for one in information] for _, *information in maps]
        first = maps[0][0] < maps[1][0]
        kept, there = (np.where(first, maps[0][k], maps[1][k]) for k in (1, 2))
        total += weight * (kept + 1e-7).sum() / (there + 1e-7).sum()
    return total / 2.15 if chosen else float((sums[:, 0] / sums[:, 1]).sum())


def test_against_a_plain_composition() -> None:
    triples = stacks(2)
    for value, *images in zip(viff(*triples), *triples, strict=True):
        assert value == pytest.approx(plainly(*images), rel=1e-9)


def test_without_a_choice_between_the_sources() -> None:
    images = [stack[0] for stack in stacks(1)]
    found = viff(*(image[None] for image in images), sources="sum")[0]
    assert found == pytest.approx(plainly(*images, chosen=False), rel=1e-9)
    assert viff(images[1][None], images[1][None], np.full_like(images[1], 7)[None], sources="sum")[0] == pytest.approx(
        2
    )


def test_extremes() -> None:
    fused, a, b = stacks(1)
    flat = np.full_like(fused, 70)
    assert viff(a, a, a)[0] == pytest.approx(1, abs=1e-9)
    assert viff(flat, flat, flat)[0] == pytest.approx(1, abs=1e-9)
    assert viff(flat, a, b)[0] < 1e-3
