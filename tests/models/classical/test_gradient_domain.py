"""Gradient-domain fusion: against a dense linear system, SciPy's filters and NumPy's order statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, sobel

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.classical.gradient_domain import (
    GradientDomain,
    bent,
    blurred,
    centred_between_quantiles,
    kept_dark,
    sobel_slopes,
    steeper_share,
)
from tests.models.classical.test_poisson import differences
from tests.models.classical.test_pyramids import fuse, pair

SPEC = ImageSpec(1, 8, 8, 2)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((2, 1, 1, *shape)))


def by_a_dense_system(a: np.ndarray, b: np.ndarray, consent: float, base: str = "sum") -> np.ndarray:
    """The whole rule but the blur's radius with NumPy and SciPy: gain 1.3, λ 0.02, β 1.1, p 3, h 0.6, r 0.25."""
    slopes = [[sobel(x, axis, mode="nearest") / 8 for axis in (1, 0)] for x in (a, b)]
    sizes = [gaussian_filter(np.hypot(*x), 0.8, mode="nearest", radius=3) for x in slopes]
    w = sizes[0] ** 3 / (sizes[0] ** 3 + sizes[1] ** 3)
    against = np.maximum(0, -(slopes[0][0] * slopes[1][0] + slopes[0][1] * slopes[1][1]))
    c = 1 / (1 + consent * gaussian_filter(against, 0.8, mode="nearest", radius=3) / (sizes[0] * sizes[1] + 1e-4))
    steps = differences(*a.shape)
    owners = [x[:, :-1].ravel() for x in (w, c)], [x[:-1].ravel() for x in (w, c)]
    w, c = (np.concatenate((x, y)) for x, y in zip(*owners, strict=True))
    target = 1.3 * (w * (steps @ a.ravel()) + (1 - w) * (steps @ b.ravel()))
    low = 1.1 * (a - a.mean() + b - b.mean()).ravel()
    if base == "visible":
        low = (0.75 * b + 0.25 * b.mean() + 0.6 * np.maximum(0, a - b)).ravel()
    target = c * target + (1 - c) * (steps @ low)
    system = 0.02 * np.eye(a.size) + (steps.T @ steps).toarray()
    return np.linalg.solve(system, steps.T @ target + 0.02 * low).reshape(a.shape)


@pytest.mark.parametrize("consent", [0.0, 2.0])
@pytest.mark.parametrize("shape", [(13, 16), (2, 9)])
def test_whole_rule_against_a_dense_system(shape: tuple[int, int], consent: float) -> None:
    a, b = images(*shape)[:, 0, 0].numpy()
    expected = by_a_dense_system(a, b, consent)
    model = create_model("gradient-domain", SPEC, gain=1.3, low_weight=0.02, low_gain=1.1, power=3, consent=consent)
    found = model.integrated(*images(*shape))[0, 0].numpy()
    assert found == pytest.approx(expected, abs=1e-12)
    ordered, place = np.sort(expected.ravel()), int(0.02 * (expected.size - 1))
    shifted = expected + 0.5 - (ordered[place] + ordered[-1 - place]) / 2
    k = model.knee
    over, under = np.maximum(0, shifted - 1 + k), np.maximum(0, k - shifted)
    curve = np.clip(shifted, k, 1 - k) + k * (1 - np.exp(-over / k)) - k * (1 - np.exp(-under / k))
    assert model.combine(*images(*shape))[0, 0].numpy() == pytest.approx(curve, abs=1e-12)


@pytest.mark.parametrize("consent", [0.0, 8.0])
def test_the_visible_base_against_a_dense_system(consent: float) -> None:
    a, b = images(11, 14)[:, 0, 0].numpy()
    expected = by_a_dense_system(a, b, consent, "visible")
    settings = {"gain": 1.3, "low_weight": 0.02, "power": 3, "consent": consent, "base": "visible"}
    model = create_model("gradient-domain", SPEC, **settings)
    assert model.integrated(*images(11, 14))[0, 0].numpy() == pytest.approx(expected, abs=1e-12)
    assert torch.equal(model.combine(*images(11, 14)), bent(model.integrated(*images(11, 14)), model.knee))


def test_natural_keeps_the_light_of_a_day_and_shows_what_is_hot() -> None:
    """A bright sky that infrared has black stays bright, as it does not with the sum; a hot spot is brighter."""
    sky, hot = np.s_[:20], np.s_[30:34, 30:34]
    infrared, visible = torch.full((2, 1, 1, 40, 48), 0.4)
    infrared[..., sky, :], visible[..., sky, :] = 0.0, 0.9
    infrared[(..., *hot)] = 1.0
    natural, summed = (
        create_model("gradient-domain", SPEC, preset).combine(infrared, visible)[0, 0]
        for preset in ("natural", "balanced")
    )
    ground = natural[36:, :20]
    assert float(natural[:10].mean()) > float(ground.mean()) + 0.2
    assert float(summed[:10].mean()) < float(summed[36:, :20].mean()) + 0.2
    assert float(natural[hot].mean()) > float(ground.mean()) + 0.2
    same = create_model("gradient-domain", SPEC, "natural", gain=1.0, headroom=0.0).combine(visible, visible)
    torch.testing.assert_close(same, visible, atol=1e-5, rtol=0)  # what both show is the fused image


def test_filters_against_scipy() -> None:
    x = images(9, 11)[0]
    found = sobel_slopes(x)[0].numpy()
    for channel, axis in zip(found, (1, 0), strict=True):
        assert channel == pytest.approx(sobel(x[0, 0].numpy(), axis, mode="nearest") / 8, abs=1e-15)
    assert blurred(x)[0, 0].numpy() == pytest.approx(
        gaussian_filter(x[0, 0].numpy(), 0.8, mode="nearest", radius=3), abs=1e-14
    )


def test_share_of_the_steeper_source() -> None:
    a, b = torch.tensor([0.0, 0.0, 1.0, 2.0, 1e-30]).double(), torch.tensor([0.0, 1.0, 1.0, 1.0, 3e-30]).double()
    assert steeper_share(a, b, 4).tolist() == pytest.approx([0.5, 0, 0.5, 16 / 17, 1 / 82])


def test_soft_clip_is_straight_inside_smooth_at_its_ends_and_never_leaves_the_range() -> None:
    x = torch.linspace(-3, 4, 70001, dtype=torch.float64)
    y = bent(x, 0.05)
    inside = (x > 0.05) & (x < 0.95)
    assert torch.equal(y[inside], x[inside]) and float(y.min()) >= 0 and float(y.max()) <= 1
    slope = y.diff() / x.diff()
    assert float(slope.min()) >= 0 and float(slope.diff().abs().max()) < 0.003  # no corner: a step is 1/10000
    assert torch.equal(bent(x, 0.0), x.clamp(0, 1))


def test_centring_leaves_out_two_percent_on_either_side() -> None:
    x = torch.cat((torch.linspace(0, 1, 101, dtype=torch.float64) * 0.4, torch.tensor([]))).view(1, 1, 1, 101)
    x[..., 0], x[..., -1] = -50, 90  # outliers of 1 %
    found = centred_between_quantiles(x, torch.tensor([0.3]))
    assert found[0, 0, 0, 1:-1].numpy() == pytest.approx(x[0, 0, 0, 1:-1].numpy() + 0.3)
    assert centred_between_quantiles(torch.zeros(2, 1, 4, 4), torch.tensor([0.3, 0.7])).mean(
        (1, 2, 3)
    ).tolist() == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (37, 50)])
@pytest.mark.parametrize("preset", ["balanced", "metrics", "natural"])
def test_any_size_batch_and_precision(shape: tuple[int, int], preset: str) -> None:
    model = create_model("gradient-domain", SPEC, preset=preset)
    a, b = images(*shape)[:, 0], images(*shape, seed=1)[:, 0]
    a, b = torch.stack((a[0], b[1]))[:, :], torch.stack((a[1], b[0]))
    together = model.combine(a, b)
    alone = torch.cat([model.combine(*x) for x in zip(a.split(1), b.split(1), strict=True)])
    assert float(together.min()) >= 0 and float(together.max()) <= 1
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-12)
    single = model.combine(a.float(), b.float())
    assert single.dtype == torch.float32 and single.numpy() == pytest.approx(together.numpy(), abs=1e-4)


def test_flat_images_have_the_mean_of_both() -> None:
    dark, bright = torch.full((1, 1, 12, 9), 0.1), torch.full((1, 1, 12, 9), 0.5)
    for dtype in (torch.float32, torch.float64):
        found = create_model("gradient-domain", SPEC).combine(dark.to(dtype), bright.to(dtype))
        assert found.numpy() == pytest.approx(np.full((1, 1, 12, 9), 0.3), abs=1e-5)


def test_structure_of_both_sources_is_kept() -> None:
    batch = pair()
    a, b = batch.views[0, :, 0].numpy()
    for preset in ("balanced", "metrics"):
        fused = create_model("gradient-domain", SPEC, preset=preset).fuse(batch)[0, 0].numpy()
        for region, source in ((np.s_[:, 4:18], a), (np.s_[:, 32:46], b)):
            assert np.corrcoef(fused[region].ravel(), source[region].ravel())[0, 1] > 0.95
            assert fused[region].std() > source[region].std()
    assert fuse("gradient-domain", batch).dtype == np.float32


def test_consent_takes_the_halo_of_an_edge_that_the_sources_contradict() -> None:
    """A roof before the sky: dark and bright in one source, the reverse, less steep, in the other."""
    a = torch.full((1, 1, 60, 40), 0.8, dtype=torch.float64)
    a[..., 30:, :] = 0.2
    b = torch.full_like(a, 0.4)
    b[..., 30:, :] = 0.75

    def bend(consent: float) -> float:
        """How far the flat sky is from flat, from the edge to ten pixels away, against the step at the edge."""
        column = create_model("gradient-domain", SPEC, consent=consent).integrated(a, b)[0, 0, :, 20]
        return float((column[18] - column[28]).abs())

    assert bend(0.0) > 0.05 and bend(4.0) < 0.5 * bend(0.0)


def test_natural_leaves_the_background_of_medical_images_black() -> None:
    """Exactly where both sources are; from the shadow on nothing changes, and below it nothing leaps."""
    a, b = images(24, 30)
    inside = torch.zeros(24, 30, dtype=torch.bool)
    inside[8:20, 10:24] = True
    a, b = a * inside, b * inside
    settings = dict(GradientDomain.PRESETS["natural"].model)
    natural, lifted = GradientDomain(SPEC, **settings), GradientDomain(SPEC, **{**settings, "shadow": 0.0})
    dark, grey = natural.combine(a, b), lifted.combine(a, b)
    assert 255 * grey[..., ~inside].mean() > 4 and dark[..., ~inside].max() == 0
    bright = torch.maximum(a, b) >= natural.shadow
    assert torch.equal(dark[bright], grey[bright])
    steps = torch.linspace(0, 0.06, 200)
    kept = kept_dark(torch.full_like(steps, 0.05), steps, 0.03)
    assert kept[0] == 0 and kept.diff().min() > -1e-7 and kept.diff().max() < 0.002
    assert torch.equal(kept_dark(steps / 2, steps, 0.03), steps / 2), "what is darker than the sources stays"


def test_bad_parameters() -> None:
    for values in ({"heat": -1.0}, {"headroom": 1.5}, {"heat": float("nan")}, {"shadow": -0.1}, {"shadow": 2.0}):
        with pytest.raises(UsageError, match="headroom and shadow between 0 and 1"):
            create_model("gradient-domain", SPEC, **values)
    with pytest.raises(UsageError, match="Unknown base of gradient-domain fusion"):
        create_model("gradient-domain", SPEC, base="visble")
    for values in ({"gain": 0.0}, {"low_weight": -1.0}, {"power": float("nan")}, {"low_gain": float("inf")}):
        with pytest.raises(UsageError, match="must be positive"):
            create_model("gradient-domain", SPEC, **values)
    for values in ({"consent": -1.0}, {"knee": 0.6}, {"knee": float("nan")}):
        with pytest.raises(UsageError, match=r"knee between 0 and 0\.5"):
            create_model("gradient-domain", SPEC, **values)
