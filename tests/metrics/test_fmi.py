"""FMI against a plain loop over windows and cells, to 1e-11."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.fft import dctn

from fusionbench.core.errors import UsageError
from fusionbench.metrics.fmi import fmi
from tests.metrics.scenes import floats, scene, stacks


def entropy(cells: np.ndarray) -> float:
    cells = cells[cells != 0]
    return float(-(cells * np.log2(np.abs(cells))).sum())


def window(f: np.ndarray, s: np.ndarray) -> float:
    """Normalised information of two 3×3 windows."""
    if (f == s).all():
        return 1.0
    shares = []
    for x in (f, s):
        x = x.T.ravel()
        x = (x - x.min()) / (x.max() - x.min()) if x.max() > x.min() else np.ones(9)
        shares.append(x / x.sum())
    p, q = shares
    dp, dq = p - p.mean(), q - q.mean()
    norm = math.sqrt((dp @ dp) * (dq @ dq))
    c = dp @ dq / norm if norm > 1e-15 else 0.0
    fp, fq = np.cumsum(p), np.cumsum(q)
    bound = np.minimum.outer(fp, fq) if c >= 0 else np.maximum(np.add.outer(fp, fq) - 1, 0)
    number = np.arange(1, 10)
    sd = [math.sqrt(max(number**2 @ x - (number @ x) ** 2, 0)) for x in (p, q)]
    excess = (bound - np.outer(fp, fq)).sum()
    mix = c * sd[0] * sd[1] / excess if sd[0] * sd[1] > 0 and excess else 0.0
    extreme = np.diff(np.diff(bound, axis=0, prepend=0), axis=1, prepend=0)
    joint = mix * extreme + (1 - mix) * np.outer(p, q)
    total = entropy(p) + entropy(q)
    return 2 * (total - entropy(joint)) / total if total else 0.0


def plainly(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    values = [
        window(f[y : y + 3, x : x + 3], s[y : y + 3, x : x + 3])
        for s in (a, b)
        for y in range(f.shape[0] - 2)
        for x in range(f.shape[1] - 2)
    ]
    return float(np.mean(values))


FEATURES = {"pixel": lambda x: x, "gradient": lambda x: np.gradient(x, axis=1), "dct": lambda x: dctn(x, norm="ortho")}


@pytest.mark.parametrize("feature", FEATURES)
def test_against_a_plain_loop(feature: str) -> None:
    images = floats(*scene(4, (20, 24)))
    expected = plainly(*(FEATURES[feature](image) for image in images))
    assert fmi(*(image[None] for image in images), feature=feature)[0] == pytest.approx(expected, rel=1e-11)


def test_copies_and_flat_images() -> None:
    fused, a, b = stacks(1)
    assert fmi(a, a, a)[0] == 1
    assert 0.5 < fmi(a, a, b)[0] < 1
    flat = np.full_like(a, 9)
    assert fmi(flat, flat, flat)[0] == 1
    assert fmi(flat, a, a)[0] < fmi(fused, a, a)[0]


def test_unknown_feature() -> None:
    with pytest.raises(UsageError, match="pixel, gradient, edge, dct, wavelet"):
        fmi(*stacks(1), feature="corner")
