"""Q_C against explicit windows."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics._piella import UNGUARDED, UNIVERSAL
from fusionbench.metrics.qc import qc
from tests.metrics.scenes import stacks
from tests.metrics.test_piella import explicit, rough


def test_against_explicit_windows() -> None:
    fused, a, b = rough(5)
    stacked = [image[None] for image in (fused, a, b)]
    (q_a, c_a, _), (q_b, c_b, _) = (explicit(fused, source, UNIVERSAL) for source in (a, b))
    share = np.clip(c_a / (c_a + c_b), 0, 1)
    assert qc(*stacked)[0] == pytest.approx((share * q_a + (1 - share) * q_b).mean(), rel=1e-8)
    (q_a, c_a, _), (q_b, c_b, _) = (explicit(fused, source, UNGUARDED) for source in (a, b))
    share = c_a / (c_a + c_b)
    assert (share < 0).any() and (share > 1).any(), "the scene tries both limits"
    value = np.where(share < 0, 0, np.where(share > 1, 1, share * q_a + (1 - share) * q_b))
    assert qc(*stacked, index="unguarded", limits="value")[0] == pytest.approx(value.mean(), rel=1e-8)


def test_windows_that_share_nothing() -> None:
    fused, a, b = stacks(1, (24, 24))
    flat = np.full_like(a, 40)
    assert qc(flat, flat, flat)[0] == 1 and qc(flat, flat, 2 * flat)[0] == pytest.approx((1 + 0.8) / 2)
    inverted = 255 - a  # both covariances are opposite and equal: only the positive one speaks
    assert qc(a, a, inverted)[0] == pytest.approx(1) and qc(a, inverted, a)[0] == pytest.approx(1)
    for limits in ("share", "value"):
        assert np.isfinite(qc(fused, flat, flat, limits=limits)[0])
    assert qc(a, a, b)[0] > qc(fused, a, b)[0]


def test_blocks_against_a_loop() -> None:
    """The authors' code: 4×4 blocks side by side, each source's share limited on its own, blocks of nothing count 0."""
    fused, a, b = stacks(3, (107, 30))
    fused[0, 8:24, :12] = 90  # flat there: nothing is shared
    a[0, 96:, 16:] = 7
    found, count = 0.0, 0
    for y in range(0, 107 - 3, 4):
        for x in range(0, 30 - 3, 4):
            f, *sources = (image[0, y : y + 4, x : x + 4].astype(float).ravel() for image in (fused, a, b))
            shared = [np.cov(f, source)[0, 1] for source in sources]
            count += 1
            for source, covariance in zip(sources, shared, strict=True):
                spread = (f.var(ddof=1) + source.var(ddof=1)) * (f.mean() ** 2 + source.mean() ** 2)
                q = 4 * covariance * f.mean() * source.mean() / spread if spread else 0.0
                found += q * np.clip(covariance / sum(shared), 0, 1) if sum(shared) else 0.0
    assert count == 26 * 7
    assert qc(fused, a, b, index="blocks")[0] == pytest.approx(found / count, rel=1e-8)
