"""Contract of every registered metric of fused images: shapes, kinds, determinism, refusals, cards.

A new metric is under these tests from the moment it is registered.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.types import Metric
from fusionbench.metrics import _images, get_metric, list_metrics
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.metrics.engine import TABLE, SourcePair, available, score_images
from tests.metrics.scenes import scene, stacks

IMAGE_METRICS = [name for name in list_metrics() if get_metric(name).needs in ("pair", "fused", "target")]
EVERY = [("standard/1", name) for name in IMAGE_METRICS] + [
    (dialect.name, name) for dialect in DIALECTS.values() for name in dialect.metrics
]


def fitting(metric: Metric, count: int = 2) -> tuple[np.ndarray, ...]:
    """Stacks large enough for the metric, as many as it takes."""
    side = max(metric.min_side, 45)
    return stacks(count, (side, side + 6))[: {"fused": 1, "target": 2, "pair": 3}[metric.needs]]


@pytest.mark.parametrize("name", list_metrics())
def test_card_is_complete(name: str) -> None:
    metric = get_metric(name)
    assert metric.name == name and metric.title and metric.formula and metric.reference and metric.unit
    assert metric.better in ("higher", "lower") and metric.version and metric.exploits
    assert metric.range[0] < metric.range[1] and metric.tolerance.reason
    assert metric.tolerance.atol >= 0 and metric.tolerance.rtol >= 0
    if metric.needs in ("pair", "fused", "target"):
        assert metric.edge_cases and metric.oracle and metric.min_side >= 1 and metric.function.__doc__


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_batch_equals_single_calls_bit_for_bit(dialect: str, name: str) -> None:
    metric = get_metric(name, dialect)
    images = fitting(metric, 3)
    values = metric.function(*images)
    assert isinstance(values, np.ndarray) and values.shape == (3,) and values.dtype == np.float64
    low, high = metric.range
    assert np.isfinite(values).all() and (values >= low - 1e-12).all() and (values <= high + 1e-12).all()
    singles = [metric.function(*(stack[row : row + 1] for stack in images))[0] for row in range(3)]
    assert values.tolist() == singles
    assert metric.dialect == (dialect if dialect == "standard/1" else DIALECTS[dialect].id)


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_values_are_those_of_every_python(dialect: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.12 on ``sum`` of floats compensates what is lost; here a difference is large enough to be seen."""
    metric = get_metric(name, dialect)
    images = fitting(metric)

    def plain(values: Iterable[Any], /, start: Any = 0) -> Any:
        return functools.reduce(operator.add, values, start)

    def compensated(values: Iterable[Any], /, start: Any = 0) -> Any:
        terms = [start, *values]
        rounded = plain(terms[1:], start)
        return rounded + 1e9 * (math.fsum(terms) - rounded) if type(rounded) is float else rounded

    found = []
    for way in (plain, compensated):
        monkeypatch.setattr(builtins, "sum", way)
        found.append(metric.function(*images).tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_tensors_on_a_device_agree_with_numpy(dialect: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batched tensor path that CUDA takes, run here on the CPU: 1e-9 relative in float64."""
    metric = get_metric(name, dialect)
    images = fitting(metric, 2)
    expected = metric.function(*images)
    tensors = [torch.from_numpy(stack) for stack in images]
    on_cpu = metric.function(*tensors)
    assert on_cpu.dtype == torch.float64 and on_cpu.tolist() == expected.tolist()
    monkeypatch.setattr(_images, "on_device", lambda stack: not isinstance(stack, np.ndarray))
    batched = metric.function(*tensors)
    assert isinstance(batched, torch.Tensor) and batched.shape == (2,) and batched.dtype == torch.float64
    # on the 0..1 scale the last bits decide which gradients are equal, and both paths have the same
    assert batched.numpy() == pytest.approx(expected, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_records_travel_to_other_processes(dialect: str, name: str) -> None:
    metric = get_metric(name, dialect)
    images = fitting(metric, 1)
    assert pickle.loads(pickle.dumps(metric)).function(*images).tolist() == metric.function(*images).tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    metric = get_metric(name)
    images = fitting(metric, 2)
    found = metric.function(*(torch.from_numpy(stack).cuda() for stack in images))
    assert found.device.type == "cuda"
    assert found.cpu().numpy() == pytest.approx(metric.function(*images), rel=1e-9, abs=1e-11)


def recorded(metric: Metric, count: int = 1, seed: int = 0) -> list[torch.Tensor]:
    """Real-valued images that require grad, the smallest that the metric takes but no smaller than 12 pixels."""
    side, rng = max(metric.min_side, 12), np.random.default_rng(seed)
    images = stacks(count, (side, side + 3))[: {"fused": 1, "target": 2, "pair": 3}[metric.needs]]
    return [torch.from_numpy(np.clip(x + rng.uniform(-0.4, 0.4, x.shape), 2, 253)).requires_grad_() for x in images]


@pytest.mark.parametrize(
    ("dialect", "name"),
    [case for case in EVERY if case[0] == "standard/1" or DIALECTS[case[0]].metrics[case[1]].parameters],
)
def test_gradients_are_the_slopes_of_the_values_or_refused(dialect: str, name: str) -> None:
    """Oracle: central differences of the NumPy path, along one direction per image."""
    metric = get_metric(name, dialect)
    tensors = recorded(metric)
    if not metric.differentiable:
        # one that has a graph without saying so: set differentiable, after the checks below
        with pytest.raises(UsageError, match=f"^{name} has no gradient: .*detach") as caught:
            metric.function(*tensors)
        assert "\n" not in str(caught.value) and metric.gradient
        assert not metric.function(*(tensor.detach() for tensor in tensors)).requires_grad
        with torch.no_grad():
            assert not metric.function(*tensors).requires_grad
        return
    values = metric(*tensors)
    images = [tensor.detach().numpy() for tensor in tensors]
    assert values.detach().numpy() == pytest.approx(metric.function(*images), rel=1e-9, abs=1e-11)
    gradients = torch.autograd.grad(values.sum(), tensors)
    rng = np.random.default_rng(1)
    for place, gradient in enumerate(gradients):
        direction = rng.normal(size=images[0].shape)
        moved = [
            metric.function(*(image + step * direction * (i == place) for i, image in enumerate(images)))[0]
            for step in (1e-6, -1e-6)
        ]
        slope = (moved[0] - moved[1]) / 2e-6
        # kinks within the step cost digits; a wrong formula costs all of them
        assert float((gradient.numpy() * direction).sum()) == pytest.approx(slope, rel=2e-3, abs=1e-7), place


@pytest.mark.parametrize("name", [name for name in IMAGE_METRICS if get_metric(name).differentiable])
def test_gradcheck(name: str) -> None:
    metric = get_metric(name)
    fused, *sources = recorded(metric, 2, seed=4)
    sources = [source.detach() for source in sources]
    assert torch.autograd.gradcheck(lambda x: metric(x, *sources), fused, rtol=1e-3, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("name", [name for name in IMAGE_METRICS if get_metric(name).differentiable])
def test_gradients_are_finite_where_images_are_flat_equal_or_saturated(name: str) -> None:
    metric = get_metric(name)
    side = max(metric.min_side, 24)
    fused, a, b = (torch.from_numpy(stack.astype(np.float64)) for stack in stacks(1, (side, side + 3)))
    grey, black, white = (torch.full_like(a, level) for level in (90.0, 0.0, 255.0))
    cases = [(fused, a, b), (a, a, b), (a, a, a), (grey, a, b), (fused, grey, b), (fused, grey, grey), (white, a, b)]
    batch = [torch.cat(images) for images in zip(*cases, (black, black, black), strict=True)]
    leaves = [stack.requires_grad_() for stack in batch[: len(fitting(metric))]]
    for gradient in torch.autograd.grad(metric(*leaves).nansum(), leaves):
        assert torch.isfinite(gradient).all() and gradient[0].any()


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_kinds_of_input(name: str) -> None:
    metric = get_metric(name)
    images = fitting(metric, 2)
    expected = metric.function(*images).tolist()
    for dtype in (np.float32, np.float64):
        assert metric.function(*(stack.astype(dtype) for stack in images)).tolist() == expected
    strided = [np.ascontiguousarray(stack.transpose(0, 2, 1)).transpose(0, 2, 1) for stack in images]
    assert metric.function(*strided).tolist() == expected
    empty = metric.function(*(stack[:0] for stack in images))
    assert empty.shape == (0,) and empty.dtype == np.float64
    assert metric.function(*(torch.from_numpy(stack[:0]) for stack in images)).shape == (0,)


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_threads_do_not_move_a_value(name: str) -> None:
    import cv2

    metric = get_metric(name)
    images = [stack.astype(np.float64) + 0.25 * (stack > 99) for stack in fitting(metric, 1)]
    expected = metric.function(*images).tolist()
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(3)
        cv2.setNumThreads(3)
        assert metric.function(*images).tolist() == expected
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_smallest_side(name: str) -> None:
    metric = get_metric(name)
    side, count = metric.min_side, {"fused": 1, "target": 2, "pair": 3}[metric.needs]
    images = stacks(1, (max(side, 2), max(side, 2) + 3))[:count]
    assert metric.function(*images).shape == (1,)
    if side > 1:
        with pytest.raises(DataError, match=f"at least {side}×{side} pixels"):
            metric.function(*(stack[:, : side - 1] for stack in images))


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_bad_input_is_refused_in_one_line(name: str) -> None:
    metric = get_metric(name)
    images = fitting(metric, 2)
    rest = images[1:]
    broken = images[0].astype(np.float64)
    broken[1, 3, 4] = np.nan
    cases: list[tuple[object, type[FusionbenchError], str]] = [
        (broken, DataError, "fused image 1: has NaN"),
        (np.where(np.isnan(broken), np.inf, broken), DataError, "fused image 1: has NaN or infinity"),
        (np.where(np.isnan(broken), 256.0, broken), DataError, "outside 0..255"),
        (np.where(np.isnan(broken), -1.0, broken), DataError, "outside 0..255"),
        (images[0] / 255.0, DataError, "look like 0..1"),
        (images[0].astype(np.uint16), UsageError, "16-bit"),
        (images[0].astype(np.int64), UsageError, "int64"),
        (images[0][0], UsageError, "batch axis"),
        (images[0][..., None].repeat(3, -1), UsageError, "luma"),
        (images[0][:, :0], UsageError, "nothing to score"),
        ("fused.png", UsageError, "expected a NumPy array"),
    ]
    if rest:
        cases += [
            (images[0][:1], DataError, "must have one size"),
            (images[0][:, :-1], DataError, "must have one size"),
            (torch.from_numpy(images[0]), UsageError, "pass one kind"),
        ]
    for bad, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            metric.function(bad, *rest)
        assert "\n" not in str(caught.value)
    if not metric.many:
        with pytest.raises(UsageError, match="takes"):
            metric.function(*images, images[0])
    if rest:
        with pytest.raises(UsageError, match="takes"):
            metric.function(images[0])


@pytest.mark.parametrize("name", [n for n in IMAGE_METRICS if get_metric(n).many])
def test_any_number_of_sources(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = get_metric(name)
    fused, a, b = fitting(metric, 1)
    sources = [a, b, a // 2 + b // 2, 255 - b]
    values = metric.function(fused, *sources)
    assert values.shape == (1,) and np.isfinite(values).all()
    assert metric.function(fused, *sources[::-1]) == pytest.approx(values, rel=1e-12)
    monkeypatch.setattr(_images, "on_device", lambda stack: not isinstance(stack, np.ndarray))
    tensors = [torch.from_numpy(stack) for stack in (fused, *sources)]
    assert metric.function(*tensors).numpy() == pytest.approx(values, rel=1e-9)
    with pytest.raises(DataError, match=r"source 3 .*must have one size"):
        metric.function(fused, a, b, a[:, :-1])


@pytest.mark.parametrize("name", [n for n in IMAGE_METRICS if get_metric(n).needs == "pair"])
def test_swapping_the_sources(name: str) -> None:
    metric = get_metric(name)
    fused, a, b = fitting(metric, 1)
    if any(text.startswith("swapping the sources") for text in metric.invariances):
        assert metric.function(fused, b, a) == pytest.approx(metric.function(fused, a, b), rel=1e-12)


EXACT = {
    "any reordering of the pixels": lambda x: np.random.default_rng(5).permutation(x.ravel()).reshape(x.shape),
    "any one-to-one change of grey levels": lambda x: np.random.default_rng(6).permutation(256).astype(np.uint8)[x],
    "transposition": lambda x: np.ascontiguousarray(x.transpose(0, 2, 1)),
    "mirroring": lambda x: x[:, :, ::-1].copy(),
    "inversion 255 - F": lambda x: 255 - x,
    "inversion of all three images": lambda x: 255 - x,
    "inversion of both images": lambda x: 255 - x,
    "mirroring and transposing all three images": lambda x: np.ascontiguousarray(x[:, :, ::-1].transpose(0, 2, 1)),
    "mirroring and transposing both images": lambda x: np.ascontiguousarray(x[:, :, ::-1].transpose(0, 2, 1)),
    "adding a constant": lambda x: x // 2 + 40,  # compared with x // 2
    "adding a constant to any image": lambda x: x // 2 + 40,
    "one scale factor on all three images": lambda x: x // 2 * 2,  # compared with x // 2
}


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_stated_invariances(name: str) -> None:
    metric = get_metric(name)
    images = fitting(metric, 1)
    for text in metric.invariances:
        if text in EXACT:
            start = [x // 2 for x in images] if text.startswith(("adding", "one scale")) else list(images)
            changed = [EXACT[text](x) for x in images]
            assert metric.function(*changed) == pytest.approx(metric.function(*start), rel=1e-9), text


@pytest.mark.parametrize("name", IMAGE_METRICS)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_and_saturated_images_give_a_number_or_nan_not_an_error(name: str, level: int) -> None:
    metric = get_metric(name)
    images = fitting(metric, 1)
    flat = np.full_like(images[0], level)
    for place in range(len(images)):
        value = metric.function(*(flat if i == place else image for i, image in enumerate(images)))[0]
        assert math.isnan(value) or math.isinf(value) or metric.range[0] - 1e-9 <= value <= metric.range[1] + 1e-9
    value = metric.function(*([flat] * len(images)))[0]
    assert not math.isfinite(value) or metric.range[0] - 1e-9 <= value <= metric.range[1] + 1e-9


def test_many_metrics_at_once_equal_each_alone() -> None:
    fused, a, b = stacks(2, (176, 180))
    names = available()
    together = score_images(fused, a, b, names)
    pair = SourcePair(a, b, names)
    for _ in range(2):  # the second time every intermediate of the sources is there already
        kept = pair.score(fused)
        for name in names:
            metric = get_metric(name)
            alone = metric.function(*((fused,) if metric.needs == "fused" else (fused, a, b)))
            assert together[name].tolist() == alone.tolist() == kept[name].tolist(), name


def test_a_pair_scores_other_fused_images_afresh() -> None:
    fused, a, b = stacks(1, (64, 64))
    pair = SourcePair(a, b)
    other = scene(9, (64, 64))[0][None]
    pair.score(fused)
    assert {k: v.tolist() for k, v in pair.score(other).items()} == {
        k: v.tolist() for k, v in score_images(other, a, b).items()
    }


def test_engine_refuses_what_it_cannot_score() -> None:
    fused, a, b = stacks(1)
    with pytest.raises(UsageError, match="or 'vif'"):
        score_images(fused, a, b, ["vff"])
    with pytest.raises(UsageError, match="needs log_weights"):
        score_images(fused, a, b, ["nll"])
    with pytest.raises(UsageError, match="No metric"):
        score_images(fused, a, b, [])
    with pytest.raises(DataError, match="must have one size"):
        SourcePair(a, b).score(fused[:, :-1])
    broken = a.astype(float)
    broken[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="a image night-7: has NaN"):
        SourcePair(broken, b.astype(float), ids=["night-7"])
    assert list(score_images(fused, a, b)) == list(TABLE)
    assert all(value.shape == (0,) for value in score_images(fused[:0], a[:0], b[:0]).values())


def test_a_plain_function_can_be_a_metric() -> None:
    import dataclasses

    brightness = dataclasses.replace(
        get_metric("en"), name="brightness", function=lambda fused: fused.reshape(len(fused), -1).mean(1)
    )
    fused, a, b = stacks(2)
    assert score_images(fused, a, b, [brightness, "en"])["brightness"] == pytest.approx(fused.mean((1, 2)))
