"""SAM and ERGAS against torchmetrics, Q and QNR against plain loops over the windows; bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import error_relative_global_dimensionless_synthesis, spectral_angle_mapper

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.metrics.multispectral import BAND_METRICS, d_lambda, d_s, ergas, qnr, sam, uiqi


def scenes(count: int = 2, bands: int = 4, side: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fused, target, pan): numbers of 11 bits, the fused bands a little off the target, pan their mean."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side]
    base = 900 + 500 * np.sin(x / 5) * np.cos(y / 7) + 90 * rng.normal(size=(count, 1, side, side))
    target = base * np.linspace(0.5, 1.3, bands).reshape(1, bands, 1, 1) + 40 * rng.normal(size=(count, bands, 1, 1))
    fused = target * 1.04 + 50 * rng.normal(size=target.shape)
    return np.clip(np.rint(fused), 1, 2047).astype(np.uint16), np.clip(target, 1, 2047), base[:, 0]


def plainly(x: np.ndarray, y: np.ndarray, window: int) -> float:
    """Q of every window by NumPy's own moments."""
    found = []
    for row, column in np.ndindex(x.shape[0] - window + 1, x.shape[1] - window + 1):
        a, b = (z[row : row + window, column : column + window].astype(float) for z in (x, y))
        cov = ((a - a.mean()) * (b - b.mean())).mean()
        found.append(4 * cov * a.mean() * b.mean() / ((a.var() + b.var()) * (a.mean() ** 2 + b.mean() ** 2)))
    return float(np.mean(found))


def test_sam_and_ergas_against_torchmetrics() -> None:
    fused, target, _ = scenes()
    f, t = (torch.from_numpy(stack.astype(np.float64)) for stack in (fused, target))
    angles = spectral_angle_mapper(f, t, reduction="none").mean((1, 2)) * 180 / np.pi
    assert sam(fused, target) == pytest.approx(angles.numpy(), rel=1e-9)
    # asked with a ratio of 1: older releases of torchmetrics multiply by it where the paper divides
    expected = error_relative_global_dimensionless_synthesis(f, t, ratio=1, reduction="none").numpy()
    for ratio in (1, 2, 4):
        assert ergas(fused, target, ratio=ratio) == pytest.approx(expected / ratio, rel=1e-12)
    assert sam(f, t) == pytest.approx(sam(fused, target), rel=1e-15), "tensors of the CPU are arrays, too"


@pytest.mark.parametrize("window", [8, 5])
def test_q_against_a_plain_loop(window: int) -> None:
    fused, target, _ = scenes(1, 2, 20)
    expected = np.mean([plainly(x, y, window) for x, y in zip(fused[0], target[0], strict=True)])
    assert uiqi(fused, target, window)[0] == pytest.approx(expected, rel=1e-9)


def test_qnr_against_plain_loops() -> None:
    fused, target, pan = scenes(1, 3, 24)
    bands = target.reshape(1, 3, 12, 2, 12, 2).mean((3, 5))
    low = pan.reshape(1, 12, 2, 12, 2).mean((2, 4))
    pairs = [(i, j) for i, j in itertools.product(range(3), repeat=2) if i != j]  # each in both orders, as published
    moved = [abs(plainly(fused[0, i], fused[0, j], 9) - plainly(bands[0, i], bands[0, j], 9)) for i, j in pairs]
    spectral = np.mean(moved)
    spatial = np.mean([abs(plainly(fused[0, i], pan[0], 9) - plainly(bands[0, i], low[0], 9)) for i in range(3)])
    assert d_lambda(fused, bands, 9)[0] == pytest.approx(spectral, rel=1e-8)
    assert d_s(fused, bands, pan, window=9)[0] == pytest.approx(spatial, rel=1e-8)
    assert d_s(fused, bands, pan, low * 0.5, window=9)[0] != pytest.approx(spatial, rel=1e-3)
    assert qnr(fused, bands, pan, window=9)[0] == pytest.approx((1 - spectral) * (1 - spatial), rel=1e-9)
    assert qnr(fused, bands, pan, window=9, alpha=2, beta=0)[0] == pytest.approx((1 - spectral) ** 2, rel=1e-9)
    squares = np.sqrt(np.mean(np.square(moved)))
    assert d_lambda(fused, bands, 9, power=2)[0] == pytest.approx(squares, rel=1e-8)


def test_scale_does_not_matter_and_what_does() -> None:
    fused, target, pan = scenes(1)
    bands = target.reshape(1, 4, 12, 4, 12, 4).mean((3, 5))
    for function, stacks in ((sam, (fused, target)), (ergas, (fused, target)), (uiqi, (fused, target))):
        assert function(*(0.01 * s for s in stacks)) == pytest.approx(function(*stacks), rel=1e-9)
    assert qnr(0.01 * fused, 0.01 * bands, 0.01 * pan, window=8) == pytest.approx(
        qnr(fused, bands, pan, window=8), rel=1e-9
    )
    assert sam(fused * 1.0 * np.linspace(0.5, 2, 48), fused)[0] == pytest.approx(0, abs=1e-5)  # brightness is free
    assert ergas(target, target)[0] == 0 and uiqi(target, target)[0] == pytest.approx(1, abs=1e-12)


def test_flat_and_empty_images() -> None:
    flat, black = np.full((1, 2, 9, 9), 7.0), np.zeros((1, 2, 9, 9))
    assert uiqi(flat, flat).tolist() == uiqi(black, black).tolist() == [1.0]
    assert uiqi(flat, 3 * flat)[0] == pytest.approx(2 * 3 / (1 + 9))
    assert np.isnan(sam(black, flat)[0]) and np.isnan(ergas(flat, black)[0])
    half = flat.copy()
    half[..., :4] = 0
    assert sam(half, flat)[0] == pytest.approx(0, abs=1e-5), "pixels without a spectrum do not count"
    assert [f(flat[:0], flat[:0]).shape for f in (sam, ergas, uiqi, d_lambda)] == [(0,)] * 4


def test_bad_input_is_refused_in_one_line() -> None:
    fused, target, pan = scenes(1)
    bands = target[:, :, ::4, ::4]
    broken = target.copy()
    broken[0, 0, 0, 0] = np.nan
    cases: list[tuple[object, type[FusionbenchError], str]] = [
        (lambda: sam(fused[0], target[0]), UsageError, r"fused: expected numbers \(N,C,H,W\), got shape \(4, 48, 48\)"),
        (lambda: sam(fused, target[:, :3]), DataError, "nothing is resized"),
        (lambda: sam(broken, target), DataError, "fused image 0: has NaN"),
        (lambda: sam(fused, "target.tif"), UsageError, "target: expected numbers"),
        (lambda: uiqi(fused[..., :0], target[..., :0]), UsageError, "nothing to score"),
        (lambda: ergas(fused, target, ratio=0), UsageError, "positive ratio"),
        (lambda: uiqi(fused, target, window=49), DataError, "49×49 pixels .* do not fit into an image of 48×48"),
        (lambda: uiqi(fused, target, window=1), DataError, "two or more"),
        (lambda: d_lambda(fused, bands), DataError, "do not fit into an image of 12×12"),
        (lambda: d_lambda(fused[:, :1], bands[:, :1], 8), DataError, "needs two or more, got 1"),
        (lambda: d_lambda(fused, bands[:, :3], 8), DataError, "as many images and bands"),
        (lambda: d_s(fused, bands, pan[:, :-1], window=8), DataError, "pan has shape"),
        (lambda: d_s(fused, bands[..., :-1], pan, window=8), DataError, "no multiple of bands of 12×11; pass pan_low"),
        (lambda: d_s(fused, bands, pan, pan, window=8), DataError, "pan_low has shape"),
    ]
    for call, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            call()  # type: ignore[operator]
        assert "\n" not in str(caught.value)


def test_records_are_complete_and_their_ranges_hold() -> None:
    fused, target, pan = scenes(1)
    given = {"fused": fused, "target": target, "pan": pan, "bands": target.reshape(1, 4, 12, 4, 12, 4).mean((3, 5))}
    for name, metric in BAND_METRICS.items():
        assert metric.name == name and all((metric.title, metric.formula, metric.reference, metric.exploits))
        assert metric.oracle and metric.edge_cases and metric.better in ("higher", "lower") and metric.choices
        extra = {"window": 8} if name in ("d_lambda", "d_s", "qnr") else {}
        value = metric.function(*(given[need] for need in metric.needs), **extra)[0]
        assert metric.range[0] <= value <= metric.range[1], name
