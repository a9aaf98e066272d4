"""Gradients of metrics: the operations that keep them, and what tensors that require grad get back.

Oracles: the same operations of NumPy, slopes worked out by hand, the values of detached images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.metrics import _gradients as g
from fusionbench.metrics import get_metric
from fusionbench.metrics.engine import SourcePair, available, score_images
from tests.metrics.scenes import stacks

SHAPE = (48, 56)


def tensors(count: int = 2, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """``fused`` with values between grey levels, ``a``, ``b``: (count,H,W)."""
    fused, a, b = (torch.from_numpy(stack) for stack in stacks(count, SHAPE))
    noise = torch.rand(fused.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return ((fused + noise - 0.5).clamp(0, 255).to(dtype), a.to(dtype), b.to(dtype))


@pytest.mark.parametrize(
    ("operation", "plain"),
    [(g.added, np.add), (g.subtracted, np.subtract), (g.multiplied, np.multiply), (g.divided, np.divide)],
)
def test_memory_is_reused_where_autograd_does_not_look(operation: Any, plain: Any) -> None:
    x, y = np.random.default_rng(0).uniform(1, 2, (2, 3, 4))
    expected = plain(x, y)
    for kind in (np.array, torch.tensor):
        mine = kind(x)
        assert operation(mine, kind(y)) is mine and np.array_equal(mine, expected)
    for recorded in ((True, False), (False, True)):
        left, right = (torch.tensor(v, requires_grad=r) for v, r in zip((x, y), recorded, strict=True))
        result = operation(left, right)
        assert result.requires_grad and np.array_equal(result.detach(), expected) and np.array_equal(left.detach(), x)
    assert operation(2.0, 4.0) == plain(2.0, 4.0)


def test_differences_and_masks_in_the_memory_that_is_free() -> None:
    x, y = np.array([5.0, 7.0]), np.array([2.0, 3.0])
    for kind in (np.array, torch.tensor):
        mine, other = kind(x), kind(y)
        assert g.subtracted_from(mine, other) is other and other.tolist() == [3.0, 4.0] and mine.tolist() == [5.0, 7.0]
        assert g.filled(other, other > 3, 0.5) is other and other.tolist() == [3.0, 0.5]
    leaf = torch.tensor(y, requires_grad=True)
    assert g.subtracted_from(torch.tensor(x), leaf).tolist() == [3.0, 4.0] and leaf.tolist() == [2.0, 3.0]
    (slope,) = torch.autograd.grad(g.filled(2 * leaf, leaf > 2, 9.0).sum(), leaf)
    assert slope.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("function", "inputs", "values", "slopes"),
    [
        (g.root, [0.0, 4.0], [0.0, 2.0], [0.0, 0.25]),
        (lambda x: g.positive_power(x, 0.5), [-1.0, 0.0, 4.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.25]),
        (lambda x: g.arctan_of_quotient(x, torch.ones_like(x)), [1.0], [math.pi / 4], [0.5]),
        (lambda x: g.arctan_of_quotient(-torch.ones_like(x), x), [0.0, 1.0], [-math.pi / 2, -math.pi / 4], [0.0, 0.5]),
    ],
)
def test_slopes_are_0_where_there_are_none(
    function: Any, inputs: list[float], values: list[float], slopes: list[float]
) -> None:
    x = torch.tensor(inputs, dtype=torch.float64, requires_grad=True)
    y = function(x)
    assert y.tolist() == pytest.approx(values, abs=1e-15)
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == pytest.approx(slopes, abs=1e-15)
    assert function(x.detach()).tolist() == pytest.approx(values, abs=1e-15)
    assert math.isnan(g.root(torch.tensor([-1.0], requires_grad=True)).item()), "a negative variance stays visible"


def test_a_step_without_slope_is_refused_for_tensors_that_require_one() -> None:
    leaf = torch.zeros(2, requires_grad=True)
    with pytest.raises(g.NoGradientError, match="has no gradient: it counts"):
        g.refuse_gradient("it counts", np.zeros(2), leaf)
    for harmless in (np.zeros(2), leaf.detach(), 3.0):
        g.refuse_gradient("it counts", harmless)
    assert g.wants_gradient(np.zeros(2), leaf) and not g.wants_gradient(leaf.detach())
    with torch.no_grad():
        assert not g.wants_gradient(leaf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_is_scored_in_float64_and_gets_gradients_of_its_own_kind(dtype: torch.dtype) -> None:
    fused, a, b = tensors(dtype=dtype)
    leaf = fused.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = get_metric("ssim")(leaf, a, b.to(torch.uint8))
    values.sum().backward()
    assert values.dtype == torch.float64 and leaf.grad is not None and leaf.grad.dtype == dtype
    assert values.detach().numpy() == pytest.approx(get_metric("ssim")(fused, a, b).numpy(), rel=1e-9)
    exact = fused.double().requires_grad_()
    (expected,) = torch.autograd.grad(get_metric("ssim")(exact, a.double(), b.double()).sum(), exact)
    torch.testing.assert_close(leaf.grad, expected.to(dtype))


def test_nothing_is_left_on_the_tensors_and_no_grad_is_the_plain_path() -> None:
    fused, a, b = tensors()
    leaf = fused.requires_grad_()
    metric = get_metric("vif")
    first, second = (torch.autograd.grad(metric(leaf, a, b).sum(), leaf)[0] for _ in range(2))
    assert torch.equal(first, second) and not leaf._backward_hooks
    assert torch.equal(leaf.detach(), tensors()[0])
    with torch.no_grad():
        assert metric(leaf, a, b).tolist() == metric(*tensors()).tolist()
    empty = metric(leaf[:0], a[:0], b[:0])
    assert empty.shape == (0,) and empty.requires_grad


def test_an_image_without_a_value_moves_nothing() -> None:
    """Its value is NaN; its gradient is 0, not NaN, so that the mean of the others can be trained on."""
    fused, a, b = tensors(3)
    a[1] = 7.0
    leaf = fused.clone().requires_grad_()
    values = get_metric("scd")(leaf, a, b)
    assert values.isnan().tolist() == [False, True, False]
    (found,) = torch.autograd.grad(values.nansum(), leaf)
    assert not found[1].any()
    alone = fused[2:].clone().requires_grad_()
    (expected,) = torch.autograd.grad(get_metric("scd")(alone, a[2:], b[2:]).sum(), alone)
    torch.testing.assert_close(found[2:], expected)


def test_a_dark_network_output_is_taken_for_what_it_is_beside_sources_on_0_to_255() -> None:
    _, a, b = tensors()
    dark = (a / 300).requires_grad_()
    assert get_metric("ssim")(dark, a, b).requires_grad
    assert SourcePair(a, b, ["ssim"]).score(dark)["ssim"].requires_grad
    for images in ((dark, a / 255, b), (dark.detach(), a, b)):
        with pytest.raises(DataError, match=r"look like 0..1"):
            get_metric("ssim")(*images)
    with pytest.raises(DataError, match=r"outside 0..255"):
        get_metric("ssim")(dark + 255, a, b)
    with pytest.raises(UsageError, match=r"take the only channel: images\[:, 0\]"):
        get_metric("ssim")(*(x[:, None] for x in (dark, a, b)))


def test_many_metrics_at_once_have_the_gradients_of_each_alone() -> None:
    fused, a, b = tensors()
    names = [name for name in available() if get_metric(name).differentiable and name not in ("ms_ssim", "qp", "fmi")]
    pair = SourcePair(a.to(torch.uint8), b.to(torch.uint8), names)
    leaf = fused.clone().requires_grad_()
    for found in (pair.score(leaf), pair.score(leaf), score_images(leaf, a, b, names)):
        assert list(found) == names
        for name, values in found.items():
            metric, own = get_metric(name), fused.clone().requires_grad_()
            expected = metric(own) if metric.needs == "fused" else metric(own, a, b)
            assert values.tolist() == expected.tolist(), name
            slopes = [torch.autograd.grad(v.sum(), x)[0] for v, x in ((values, leaf), (expected, own))]
            torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)
    assert pair.score(fused)["ssim"].tolist() == get_metric("ssim")(fused, a, b).tolist(), "the plain path is there yet"


def test_cached_sources_hold_no_graph_and_sources_that_require_grad_are_not_cached() -> None:
    fused, a, b = tensors(1)
    pair = SourcePair(a, b, ["ssim", "vif", "qabf", "scd", "qy", "nabf"])
    pair.score(fused.clone().requires_grad_())
    found: list[torch.Tensor] = []

    def collect(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.append(value)
        for item in value if isinstance(value, (list, tuple)) else ():
            collect(item)
        for item in getattr(value, "_cache", {}).values():
            collect(item)

    collect(pair._recorded)
    assert len(found) > 10 and not any(value.requires_grad for value in found)
    learnt = SourcePair(a.clone().requires_grad_(), b, ["ssim"])
    for _ in range(2):  # a cached graph would be gone the second time
        learnt.score(fused)["ssim"].sum().backward()
    assert learnt._recorded is None and learnt.a.grad.abs().sum() > 0


def test_what_has_no_gradient_is_named_with_what_has() -> None:
    fused, a, b = tensors(1)
    leaf = fused.requires_grad_()
    for name in ("en", "mi", "nmi"):
        for score in (SourcePair(a, b, [name]).score, lambda x, name=name: score_images(x, a, b, [name])):
            with pytest.raises(UsageError, match=f'^{name} has no gradient: .*histogram="soft"'):
                score(leaf)
    with pytest.raises(UsageError, match=r"^sd has no gradient: .*rounds to whole grey levels"):
        get_metric("sd", "linfeng-2022")(leaf)


def test_climbing_a_metric_raises_it() -> None:
    """What a user does with it: five steps, and the NumPy value of the result is higher."""
    _, a, b = tensors(1, torch.float32)
    metric, image = get_metric("ssim"), ((a + b) / 2 / 255).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (1 - metric(255 * image.clamp(0, 1), a, b)).mean().backward()
        optimizer.step()
    reached = metric(255 * image.detach().clamp(0, 1).numpy(), a.numpy(), b.numpy())
    assert reached > metric(((a + b) / 2).numpy(), a.numpy(), b.numpy()) + 0.01
