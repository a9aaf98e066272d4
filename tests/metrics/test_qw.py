"""Q_W against explicit windows."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics._piella import INDICES
from fusionbench.metrics.qw import qw
from tests.metrics.scenes import stacks
from tests.metrics.test_piella import explicit, rough


def weighted(f: np.ndarray, a: np.ndarray, b: np.ndarray, index: str) -> float:
    """Q_W of images without flat windows."""
    (to_a, _, _), (to_b, _, _) = (explicit(f, source, INDICES[index]) for source in (a, b))
    s_a, s_b = (explicit(source, f, INDICES[index])[2] for source in (a, b))
    value = (s_a * to_a + s_b * to_b) / (s_a + s_b)
    return float(np.average(value, weights=np.maximum(s_a, s_b)))


@pytest.mark.parametrize("index", ["universal", "ssim"])
def test_against_explicit_windows(index: str) -> None:
    images = rough(3)
    assert qw(*(x[None] for x in images), index=index)[0] == pytest.approx(weighted(*images, index), rel=1e-9)


def test_windows_without_contrast_do_not_count() -> None:
    fused, a, b = stacks(1)
    half = [np.where(np.arange(a.shape[2]) < 37, image, 60).astype(np.uint8) for image in (a, b)]
    other = a.copy()
    other[:, :, 45:] = fused[:, :, 45:]  # at least 8 columns from where both sources become flat
    assert qw(a, *half)[0] == qw(other, *half)[0]
    flat = np.full_like(a, 60)
    assert np.isnan(qw(fused, flat, flat)[0]) and np.isfinite(qw(fused, flat, flat, index="ssim")[0])
