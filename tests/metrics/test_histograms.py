"""Histograms and entropies against NumPy's counting, and mutual information against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import entr
from sklearn.metrics import mutual_info_score

from fusionbench.core.errors import UsageError
from fusionbench.metrics import _histograms, get_metric
from fusionbench.metrics._histograms import (
    entropy,
    histogram,
    image_entropy,
    joint_histogram,
    levels,
    mutual_information,
    soft_histogram,
    soft_mutual_information,
)
from fusionbench.metrics._images import Image, to_images
from tests.metrics import scenes

FUSED, A, B = scenes.scene(0)


def image(pixels: np.ndarray) -> Image:
    return Image(None, grey=pixels) if pixels.dtype == np.uint8 else Image(pixels)


def batch(*pixels: np.ndarray) -> Image:
    return Image(torch.from_numpy(np.stack(pixels)).double())


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_levels_round_halves_to_even_or_cut_off(rounding: str) -> None:
    values = np.array([[0.0, 0.49, 0.5, 1.5, 2.5, 254.5, 254.51, 255.0]])
    expected = {"nearest": [0, 0, 0, 2, 2, 254, 255, 255], "floor": [0, 0, 0, 1, 2, 254, 254, 255]}[rounding]
    assert levels(image(values), rounding).tolist() == [expected]  # type: ignore[arg-type]
    assert levels(batch(values), rounding).tolist() == [[expected]]  # type: ignore[arg-type]


def test_counts() -> None:
    expected = np.bincount(FUSED.ravel(), minlength=256)
    assert histogram(image(FUSED)).tolist() == expected.tolist()
    found = histogram(batch(FUSED, A))
    assert found.tolist() == [expected.tolist(), np.bincount(A.ravel(), minlength=256).tolist()]


@pytest.mark.parametrize("top", [255, 254, 100, 0])
def test_joint_counts_with_the_brightest_levels_merged(top: int) -> None:
    expected = np.zeros((256, 256))
    np.add.at(expected, (np.minimum(A, top).ravel(), np.minimum(B, top).ravel()), 1)
    assert np.array_equal(joint_histogram(image(A), image(B), top), expected.ravel())
    assert np.array_equal(joint_histogram(batch(A), batch(B), top)[0].numpy(), expected.ravel())


def test_large_images_are_counted_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV counts in float32, so that no band may have 2^24 pixels; here a band is a few rows."""
    assert _histograms._EXACT <= 1 << 24
    whole = joint_histogram(image(A), image(B))
    for size in (1, A.shape[1], 7 * A.shape[1] + 3):
        monkeypatch.setattr(_histograms, "_EXACT", size)
        assert np.array_equal(joint_histogram(image(A), image(B)), whole)


def test_entropy_against_scipy() -> None:
    counts = np.array([1.0, 0.0, 3.0, 12.0, 2.0])
    assert entropy(counts) == pytest.approx(stats.entropy(counts), rel=1e-14)
    assert entropy(torch.from_numpy(counts)[None]).item() == pytest.approx(stats.entropy(counts), rel=1e-14)
    assert image_entropy(image(A)) == pytest.approx(stats.entropy(np.bincount(A.ravel())), rel=1e-13)


def test_one_level_has_no_entropy_at_all() -> None:
    for count in (1.0, 3.0, 1e7 + 1):
        assert entropy(np.array([0.0, count])) == 0
        assert entropy(torch.tensor([[0.0, count], [count, count]])).tolist() == pytest.approx([0.0, np.log(2)])


def test_mutual_information_against_scikit_learn() -> None:
    for x, y in ((A, B), (A, FUSED), (A, A)):
        expected = mutual_info_score(x.ravel(), y.ravel())
        assert mutual_information(image(x), image(y)) == pytest.approx(expected, rel=1e-12)
        assert mutual_information(batch(x), batch(y)).item() == pytest.approx(expected, rel=1e-12)
    assert mutual_information(image(A), image(np.full_like(A, 9))) == pytest.approx(0, abs=1e-12)


def soft_by_loop(fused: np.ndarray, source: np.ndarray | None, width: float) -> np.ndarray:
    """Shares of every pixel in all 256 levels, written out: (256,), or (256,256) with the counted source."""
    table = np.zeros((256, 256))
    for value, other in zip(fused.ravel(), fused.ravel() * 0 if source is None else source.ravel(), strict=True):
        share = np.exp(-(((value - np.arange(256)) / width) ** 2) / 2)
        table[:, int(other)] += share / share.sum()
    return table[:, 0] if source is None else table


@pytest.mark.parametrize("width", [0.3, 1.5])
def test_soft_histograms_against_a_loop(width: float) -> None:
    rng = np.random.default_rng(0)
    fused, source = rng.uniform(0, 255, (7, 9)), rng.integers(0, 256, (7, 9)).astype(np.uint8)
    fused[0, :3] = 0, 255, 0.2
    assert soft_histogram(Image(fused), width) == pytest.approx(soft_by_loop(fused, None, width), abs=1e-12)
    expected = []
    for rows in (fused, fused[::-1]):
        p = soft_by_loop(rows, source, width) / fused.size
        expected.append(entr(p.sum(1)).sum() + entr(p.sum(0)).sum() - entr(p).sum())
    found = soft_mutual_information(Image(fused), Image(None, grey=source), width)
    assert found == pytest.approx(expected[0], rel=1e-11)
    batch = Image(torch.from_numpy(np.stack([fused, fused[::-1]]))), Image(torch.from_numpy(np.stack([source] * 2)))
    assert soft_mutual_information(*batch, width).tolist() == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("name", ["en", "mi", "nmi"])
def test_soft_variants_have_slopes_and_converge_to_the_counts(name: str) -> None:
    metric = get_metric(name)
    fused, a, b = scenes.stacks(1, (20, 24))
    between = np.clip(fused + np.random.default_rng(1).uniform(-0.45, 0.45, fused.shape), 0, 255)
    rest = () if name == "en" else (a, b)
    counted = metric(between, *rest)[0]
    off = [abs(metric(between, *rest, histogram="soft", width=w)[0] - counted) for w in (1.0, 0.5, 0.1, 0.01)]
    assert off[0] > off[1] > off[2] > off[3] and off[3] < 1e-12
    leaf, others = torch.from_numpy(between).requires_grad_(), [torch.from_numpy(x) for x in rest]
    value = metric(leaf, *others, histogram="soft")
    assert value.item() == pytest.approx(metric(between, *rest, histogram="soft")[0], rel=1e-12)
    soft = {"fast_mode": True, "rtol": 1e-4, "atol": 1e-7}
    assert torch.autograd.gradcheck(lambda x: metric(x, *others, histogram="soft"), leaf, **soft)
    flat = torch.full((1, 20, 24), 90.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(metric(flat, *others, histogram="soft").sum(), flat)
    assert torch.isfinite(slope).all()


def test_how_far_the_docs_say_a_width_of_half_a_level_is_off() -> None:
    fused, a, b = scenes.stacks(1)
    fused = np.clip(fused + np.random.default_rng(0).uniform(-0.45, 0.45, fused.shape), 0, 255)
    for name, rest, expected in (("en", (), 0.06), ("mi", (a, b), -1.4)):
        metric = get_metric(name)
        off = metric(fused, *rest, histogram="soft", width=0.5) - metric(fused, *rest)
        assert float(off[0]) == pytest.approx(expected, rel=0.1)


def test_soft_variants_refuse_what_they_cannot_do() -> None:
    fused, a, b = scenes.stacks(1, (20, 24))
    for width in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="needs a positive width"):
            get_metric("en")(fused, histogram="soft", width=width)
    with pytest.raises(UsageError, match='"counted" or "soft", not \'kernel\''):
        get_metric("mi")(fused, a, b, histogram="kernel")
    source = torch.from_numpy(a.astype(float)).requires_grad_()
    with pytest.raises(UsageError, match="mi has no gradient: it counts grey levels"):
        get_metric("mi")(torch.from_numpy(fused), source, torch.from_numpy(b), histogram="soft")


@pytest.mark.parametrize(("shape", "top"), [((1, 1), 255), ((41, 43), 255), ((41, 43), 254), ((130, 140), 255)])
def test_pairs_of_levels_that_are_sorted_or_counted(shape: tuple[int, int], top: int) -> None:
    """Entropies need the counts that are not 0: of small images by sorting, of large ones from all pairs."""
    rng = np.random.default_rng(shape[0])
    x, y = rng.integers(0, 256, (2, *shape)).astype(np.uint8) // 3 * 3
    codes = np.minimum(x, top).astype(int) * 256 + np.minimum(y, top)
    found = _histograms._joint_counts(*to_images(np.stack([x, y])), top)
    assert np.array_equal(found, np.unique(codes, return_counts=True)[1])
