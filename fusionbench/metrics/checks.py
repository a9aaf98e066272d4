"""The checks of the contract of metrics, for a record of your own: ``fusionbench check my_metric.py:METRIC``.

Each takes a :class:`fusionbench.core.types.Metric` and raises AssertionError with a reason; the tests hold the metrics
of fusionbench to these and more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusionbench.core.contract_report import ContractReport, NotApplicableError, run_checks, that
from fusionbench.core.types import Metric

_ARGUMENTS = {"fused": 1, "target": 2, "pair": 3}
_TEXTS = ("name", "version", "title", "unit", "reference", "formula", "exploits", "edge_cases")


def demo_images(count: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fused images and their two sources, float64 (count, side, side+6), whole numbers 0..255, always the same."""
    rng, shape = np.random.Generator(np.random.Philox(7)), (count, side, side + 6)
    y, x = np.mgrid[:side, : side + 6]
    a = 120 + 70 * np.sin(x / 5) + 30 * ((x // 9 + y // 7) % 2) + rng.normal(0, 9, shape)
    b = (
        90
        + 60 * np.cos((x + 2 * y) / 11)
        + 60 * (np.hypot(x - side / 2, y - side / 2) < side / 4)
        + rng.normal(0, 4, shape)
    )
    fused = 0.6 * a + 0.5 * b + rng.normal(0, 2, shape) - 10
    return tuple(np.clip(np.rint(image), 0, 255) for image in (fused, a, b))


def _images(metric: Metric, count: int) -> list[np.ndarray]:
    if metric.needs not in _ARGUMENTS:
        raise NotApplicableError(f"needs {metric.needs}")
    return list(demo_images(count, max(metric.min_side, 48))[: _ARGUMENTS[metric.needs]])


def card_is_complete(metric: Metric) -> None:
    """name, version, title, unit, reference, formula, exploits, edge cases are texts; range and tolerance make sense"""
    for name in _TEXTS:
        value = getattr(metric, name)
        that(isinstance(value, str) and value.strip(), f"{name} is missing")
    that(metric.better in ("higher", "lower"), f"better is {metric.better!r}, not 'higher' or 'lower'")
    that(metric.needs in ("pair", "fused", "target", "samples", "log_weights"), f"needs is {metric.needs!r}")
    low, high = metric.range
    that(low < high, f"range is {low:g}..{high:g}")  # not of NaN, either
    that(metric.tolerance.atol >= 0 and metric.tolerance.rtol >= 0, "tolerance is negative")
    that(metric.tolerance.reason.strip(), "tolerance has no reason")


def one_number_an_image(metric: Metric) -> None:
    """float64 (N,), finite and inside the range"""
    values = metric.function(*_images(metric, 3))
    that(isinstance(values, np.ndarray), f"gives {type(values).__name__}, not a NumPy array")
    that(values.shape == (3,), f"three images give shape {values.shape}, not (3,)")
    that(values.dtype == np.float64, f"gives {values.dtype}, not float64")
    that(np.isfinite(values).all(), "is not finite on ordinary images")
    low, high = metric.range
    that((values >= low - 1e-9).all() and (values <= high + 1e-9).all(), f"{values} leaves the range {low:g}..{high:g}")


def batch_equals_single_images(metric: Metric) -> None:
    """an image has the same value alone and among others"""
    images = _images(metric, 3)
    together = metric.function(*images)
    alone = np.concatenate([metric.function(*(stack[row : row + 1] for stack in images)) for row in range(3)])
    that(np.array_equal(together, alone), f"{together} together, {alone} alone")


def values_repeat(metric: Metric) -> None:
    """the value does not depend on chance"""
    images = _images(metric, 2)
    that(np.array_equal(metric.function(*images), metric.function(*images)), "differs the second time")


def bytes_and_numbers_agree(metric: Metric) -> None:
    """uint8 images have the values of the same images in float64"""
    images = _images(metric, 2)
    found = metric.function(*(stack.astype(np.uint8) for stack in images))
    that(np.allclose(found, metric.function(*images), rtol=1e-9, atol=1e-12), "uint8 and float64 images differ")


def images_are_left_alone(metric: Metric) -> None:
    """the images that are scored are not written to"""
    images = _images(metric, 2)
    for stack in images:
        stack.setflags(write=False)
    metric.function(*images)


def flat_images_have_a_value_or_a_reason(metric: Metric) -> None:
    """a flat image has a number, or the record says under which condition there is none"""
    images = _images(metric, 1)
    flat = np.full_like(images[0], 90.0)
    with np.errstate(all="ignore"):
        value = metric.function(flat, *images[1:])
    that(
        np.isfinite(value).all() or metric.undefined, f"a flat image gives {value[0]}; name the condition in undefined"
    )


CHECKS: dict[str, Callable[[Metric], None]] = {
    check.__name__: check
    for check in (
        card_is_complete,
        one_number_an_image,
        batch_equals_single_images,
        values_repeat,
        bytes_and_numbers_agree,
        images_are_left_alone,
        flat_images_have_a_value_or_a_reason,
    )
}


def check_metric(metric: Metric) -> ContractReport:
    """Run every check on a record.

    Example:
        >>> from fusionbench import get_metric
        >>> from fusionbench.metrics.checks import check_metric
        >>> check_metric(get_metric("en")).ok
        True
    """
    return run_checks(ContractReport(metric.name, None, kind="metric"), metric, CHECKS)
