"""Small operations that keep autograd's graph where there is one, and work in place where there is none.

Formulas overwrite large arrays in place, because allocating is half of their cost. Autograd needs what is overwritten,
so the same formula allocates where a tensor requires grad; values are equal to the bit. Roots, powers and angles have
a gradient of 0 where the definition has none (a flat place), not NaN, so that one flat pixel does not spoil a training
step.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fusionbench.core.errors import UsageError

Array = Any  # as in _images.py


class NoGradientError(UsageError):
    """A formula met a step that has no gradient, on images that require one; the message lacks the metric's name."""


def recorded(*values: Any) -> bool:
    """Whether autograd records one of these arrays, tensors or numbers."""
    # every operation of a formula asks, and a generator takes twice as long
    for value in values:  # noqa: SIM110
        if getattr(value, "requires_grad", False):
            return True
    return False


def wants_gradient(*stacks: Any) -> bool:
    """Whether a metric of these stacks is to have a gradient: one requires it, and autograd is on."""
    if not recorded(*stacks):
        return False
    import torch

    return torch.is_grad_enabled()


def refuse_gradient(why: str, *arrays: Array) -> None:
    """Refuse a step without gradient on tensors of which one requires it, which would come back as silence or zeros.

    Raises:
        NoGradientError: ``why``, and what to do instead.
    """
    if recorded(*arrays):
        raise NoGradientError(f"has no gradient: {why}")


def _in_place(inplace: Callable[[Any, Any], Any], plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(x: Array, y: Array) -> Array:
        return inplace(x, y) if isinstance(x, np.ndarray) or not recorded(x, y) else plain(x, y)

    return apply


added = _in_place(operator.iadd, operator.add)  # x + y, in the memory of x where autograd records neither
subtracted = _in_place(operator.isub, operator.sub)
multiplied = _in_place(operator.imul, operator.mul)
divided = _in_place(operator.itruediv, operator.truediv)


def subtracted_from(x: Array, y: Array) -> Array:
    """``x - y``, in the memory of ``y`` where autograd records neither."""
    if recorded(x, y):
        return x - y
    if isinstance(y, np.ndarray):
        return np.subtract(x, y, out=y)
    import torch

    return torch.sub(x, y, out=y)


def filled(x: Array, where: Array, value: float) -> Array:
    """``x`` with ``value`` where the mask holds, in place where autograd does not record it."""
    if recorded(x):
        return x.masked_fill(where, value)
    x[where] = value
    return x


def root(x: Array) -> Array:
    """√x, with gradient 0 at 0."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.sqrt(x)
    if not recorded(x):
        return x.sqrt()
    zero = x == 0
    return x.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def positive_power(x: Array, exponent: float) -> Array:
    """max(x, 0) to a power between 0 and 1, with gradient 0 at 0 and below."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.clip(x, 0, None) ** exponent
    if not recorded(x):
        return x.clip(0, None) ** exponent
    none = x <= 0
    return (x.masked_fill(none, 1.0) ** exponent).masked_fill(none, 0.0)


def arctan_of_quotient(y: Array, x: Array) -> Array:
    """arctan(y/x) of recorded tensors, ±90° where x is 0 (NaN where y is, too), with gradient 0 there."""
    upright = x == 0
    angle = (y / x.masked_fill(upright, 1.0)).arctan()
    return angle.where(~upright, y.detach() / y.detach().abs() * (math.pi / 2))


def zero_gradient_without_value(values: Array, pixels: list[Array]) -> None:
    """Make the gradient of images whose value is not finite 0, so that ``values.nanmean()`` trains on the others."""
    defined = values.detach().isfinite()[:, None, None]

    def of_defined(gradient: Array | None) -> Array | None:
        return None if gradient is None else gradient.where(defined, 0.0)

    for tensor in pixels:
        if tensor.requires_grad:
            tensor.register_hook(of_defined)
