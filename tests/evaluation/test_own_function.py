"""A function as a method: what it is given, what it may give, and how its mistakes are told."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
import torch

from fusionbench.core.errors import MeasurementError, UsageError
from fusionbench.core.images import luma
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.evaluation.own_function import as_model, name_of

SPEC = ImageSpec(channels=1, height=6, width=5, views=2)
PAIR = np.random.default_rng(0).integers(0, 256, (2, 6, 5), np.uint8)


def fused(function: object) -> np.ndarray:
    views = torch.from_numpy(PAIR)[None, :, None].float() / 255
    image = as_model(function, SPEC).fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
    assert image.shape == (1, 1, 6, 5) and image.dtype == torch.float32
    return (image[0, 0].double() * 255).round().to(torch.uint8).numpy()


def test_it_gets_the_bytes_of_the_pair_and_may_change_them() -> None:
    before = PAIR.copy()

    def method(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        assert a.dtype == b.dtype == np.uint8
        np.testing.assert_array_equal(np.stack([a, b]), before)
        a[:] = 0  # its own copy
        return b

    np.testing.assert_array_equal(fused(method), PAIR[1])
    np.testing.assert_array_equal(PAIR, before)


@pytest.mark.parametrize(
    "form",
    [
        lambda image: image,
        lambda image: image / 255,
        lambda image: (image / 255).astype(np.float32)[..., None],
        lambda image: image.astype(np.uint16) * 257,
        lambda image: torch.from_numpy(image),
        lambda image: torch.from_numpy(image / 255)[None, None].requires_grad_(),
        lambda image: np.stack([image] * 3, axis=-1),
    ],
)
def test_it_may_give_an_image_in_any_form(form: object) -> None:
    np.testing.assert_array_equal(fused(lambda a, b: form(a)), PAIR[0])  # type: ignore[operator]


def test_of_colour_the_luminance_counts() -> None:
    colour = np.random.default_rng(1).integers(0, 256, (6, 5, 3), np.uint8)
    difference = fused(lambda a, b: colour).astype(int) - luma(colour)
    assert abs(difference).max() <= 1, "rounded once here, from floats; exactly there"


@pytest.mark.parametrize(
    ("function", "error", "told"),
    [
        (lambda a, b: a[:3], UsageError, r"gives \(3, 5\) pixels of a pair of \(6, 5\)"),
        (lambda a, b: a * 2.0, UsageError, r"floating point is in \[0,1\]$"),
        (lambda a, b: None, UsageError, "a NoneType"),
        (lambda a, b: a / np.zeros_like(a, float), UsageError, "not finite"),
        (lambda a, b: {}["key"], MeasurementError, "function fails: KeyError: 'key'"),
        (lambda a: a, MeasurementError, "fails: TypeError"),
        (lambda a, b: sys.exit(0), MeasurementError, "fails: SystemExit: 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
def test_its_mistakes_are_one_line(function: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told) as found:
        fused(function)
    assert "\n" not in str(found.value)


def test_names() -> None:
    def My_Method(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a

    assert name_of(partial(My_Method)) == "My_Method" and name_of(lambda: 0) == "function"
    model = as_model(My_Method, SPEC)
    assert (type(model).__name__, model.title) == ("my-method", "My_Method")
    assert type(as_model(My_Method, SPEC, "../../x y")).__name__ == "x-y", "names of folders, never paths"
    assert type(as_model(My_Method, SPEC, "…")).__name__ == "function"
