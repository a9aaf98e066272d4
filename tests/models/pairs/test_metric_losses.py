"""Losses that stand for metrics: beside the metrics themselves, and their ascents beside finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel
from torch import Tensor

from fusionbench.metrics.en import en
from fusionbench.metrics.qabf import qabf
from fusionbench.metrics.scd import scd
from fusionbench.metrics.sd import sd
from fusionbench.metrics.sf import sf
from fusionbench.models.pairs import metric_losses


def images(count: int = 3, height: int = 40, width: int = 33, seed: int = 0) -> np.ndarray:
    """Smooth textures of 256 levels, (count,H,W) uint8."""
    drawn = torch.rand(count, 1, height // 3, width // 3, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(drawn, (height, width), mode="bicubic").clamp(0, 1)
    return (255 * smooth[:, 0]).round().to(torch.uint8).numpy()


def tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255)[None, None]


def scd_ascent(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return metric_losses.combined(metric_losses.scd_weights(fused, a, b), fused, a, b)


def test_one_image_scores_as_its_metrics() -> None:
    """Q has directions of half a circle and differs by what ε does in flat places; the others are the same numbers."""
    fused, a, b = images()
    of, in_a, in_b = (tensor(image) for image in (fused, a, b))
    stacks = [image[None] for image in (fused, a, b)]
    assert metric_losses.soft_qabf(of, in_a, in_b).item() == pytest.approx(half_circle_qabf(fused, a, b), abs=2e-3)
    assert metric_losses.soft_qabf(in_a, in_a, in_a).item() == pytest.approx(float(qabf(*[stacks[1]] * 3)[0]), abs=1e-3)
    assert metric_losses.pooled_scd(of, in_a, in_b).item() == pytest.approx(float(scd(*stacks)[0]), abs=1e-5)
    assert 255 * metric_losses.pooled_spread(of).item() == pytest.approx(fused.std(), rel=1e-4)
    across, down = np.diff(fused.astype(float), axis=1), np.diff(fused.astype(float), axis=0)
    expected = np.sqrt((across**2).mean() + (down**2).mean())
    assert 255 * metric_losses.pooled_frequency(of).item() == pytest.approx(expected, rel=1e-4)
    assert float(sf(stacks[0])[0]) == pytest.approx(expected, rel=0.03), "the metric divides by all pixels"
    assert float(sd(stacks[0])[0]) == pytest.approx(fused.std(), rel=1e-3)


def test_entropies_are_the_metric_but_for_their_smoothing_and_show_the_way_to_more() -> None:
    stacks = np.stack([*images(2, 120, 90), np.full((120, 90), 7, np.uint8)])
    stacks[1] //= 3
    batch = torch.cat([tensor(image) for image in stacks]).requires_grad_()
    found = metric_losses.entropies(batch)
    assert found[:2].tolist() == pytest.approx(en(stacks)[:2].tolist(), abs=0.08)
    assert found[2].item() == pytest.approx(np.log2(5), abs=1e-5), "one level among five"
    (gradient,) = torch.autograd.grad(found[1], batch)
    assert (gradient[0] == 0).all() and (gradient[2] == 0).all() and gradient[1].abs().max() > 0
    better = metric_losses.entropies((batch + 2e-3 * gradient.sign()).detach())
    assert better[1] > found[1]


def half_circle_qabf(fused: np.ndarray, *sources: np.ndarray) -> float:
    """The paper's formula by angles of atan2, at most 90° apart."""

    def edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = (sobel(np.pad(image / 255, 1, mode="edge"), axis)[1:-1, 1:-1] for axis in (1, 0))
        return np.hypot(x, y), np.degrees(np.arctan2(y, x))

    of, kept, total = edges(fused), 0.0, 0.0
    for strength, angle in map(edges, sources):
        large = np.maximum(np.maximum(of[0], strength), 1e-12)
        apart = np.abs(angle - of[1]) % 180
        apart = np.minimum(apart, 180 - apart)
        q = 0.9994 / (1 + np.exp(-15 * (np.minimum(of[0], strength) / large - 0.5)))
        q *= 0.9879 / (1 + np.exp(-22 * (1 - apart / 90 - 0.8)))
        kept, total = kept + (q * strength).sum(), total + strength.sum()
    return float(kept / total)


def test_a_batch_is_one_sum() -> None:
    """A patch without contrast changes nothing but the share of pixels; an average over patches would halve SCD."""
    fused, a, b = (tensor(image) for image in images())
    flat = torch.full_like(a, 0.3)
    pairs = [torch.cat((x, flat)) for x in (fused, a, b)]
    assert metric_losses.pooled_scd(*pairs).item() == pytest.approx(
        metric_losses.pooled_scd(fused, a, b).item(), abs=1e-4
    )
    assert metric_losses.pooled_spread(pairs[0]).item() == pytest.approx(
        metric_losses.pooled_spread(fused).item() / 2**0.5, rel=1e-4
    )


@pytest.mark.parametrize(
    ("ascent", "score"),
    [
        (metric_losses.edge_ascent, lambda f, a, b: metric_losses.soft_qabf(f, a, b) * strength(a, b)),
        (scd_ascent, lambda f, a, b: metric_losses.pooled_scd(f, a, b) * f.shape[-1] * f.shape[-2]),
    ],
)
def test_ascents_are_slopes(
    ascent: Callable[[Tensor, Tensor, Tensor], Tensor], score: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> None:
    fused, a, b = (tensor(image).double() for image in images(height=12, width=14))
    with torch.no_grad():  # as while fusing
        uphill = ascent(fused, a, b)
    assert not uphill.requires_grad
    for row, column in ((0, 0), (5, 7), (11, 13)):
        step = torch.zeros_like(fused)
        step[0, 0, row, column] = 1e-6
        expected = (score(fused + step, a, b) - score(fused - step, a, b)).item() / 2e-6
        assert uphill[0, 0, row, column].item() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    # every image by itself
    both = ascent(*(torch.cat((x, x.flip(-1))) for x in (fused, a, b)))
    torch.testing.assert_close(both[:1], uphill)
    torch.testing.assert_close(both[1:], uphill.flip(-1))


def strength(a: Tensor, b: Tensor) -> Tensor:
    """Σ √(s² + ε²) of both, by NumPy's Sobel sums."""
    total = 0.0
    for image in (a, b):
        p = np.pad(image[0, 0].numpy(), 1, mode="edge")
        x = sum(w * (p[i : i + image.shape[-2], 2:] - p[i : i + image.shape[-2], :-2]) for i, w in enumerate((1, 2, 1)))
        y = sum(w * (p[2:, i : i + image.shape[-1]] - p[:-2, i : i + image.shape[-1]]) for i, w in enumerate((1, 2, 1)))
        total += float(np.sqrt(x**2 + y**2 + 1e-6).sum())
    return torch.tensor(total)


def test_flat_images_have_finite_slopes() -> None:
    flat = torch.full((1, 1, 9, 9), 0.5)
    for x in (metric_losses.edge_ascent(flat, flat, flat), scd_ascent(flat, flat, flat)):
        assert torch.isfinite(x).all()
    wanted = torch.tensor(2.0)
    assert metric_losses.shortfall(torch.tensor(1.5), wanted).item() == 0.25
    assert metric_losses.shortfall(torch.tensor(2.5), wanted).item() == 0
