"""Q_S against explicit windows."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.metrics._piella import INDICES
from fusionbench.metrics.qs import qs
from tests.metrics.scenes import stacks
from tests.metrics.test_piella import explicit, rough


@pytest.mark.parametrize("index", ["universal", "ssim"])
def test_against_explicit_windows(index: str) -> None:
    fused, a, b = rough(2)
    (to_a, _, _), (to_b, _, _) = (explicit(fused, source, INDICES[index]) for source in (a, b))
    s_a, s_b = (explicit(source, fused, INDICES[index])[2] for source in (a, b))
    expected = (s_a / (s_a + s_b) * to_a + s_b / (s_a + s_b) * to_b).mean()
    assert qs(fused[None], a[None], b[None], index=index)[0] == pytest.approx(expected, rel=1e-9)


def test_flat_images() -> None:
    fused, a, b = stacks(1)
    flat = np.full_like(a, 50)
    assert qs(flat, flat, flat)[0] == 1 and qs(flat, flat, flat + 50)[0] == pytest.approx((1 + 0.8) / 2)
    assert qs(a, a, flat)[0] == pytest.approx(qs(a, a, a)[0], abs=0.05)
    with pytest.raises(DataError, match="at least 11×11"):
        qs(fused[:, :10], a[:, :10], b[:, :10], index="ssim")
