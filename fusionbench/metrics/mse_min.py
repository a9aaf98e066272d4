"""MSE_min: the error of the best of K draws from the prior path.

    MSE_min = min_k mean( (ŷ_k − y)² ),  ŷ_k the mean image decoded from z_k ~ p(z|X), over all H·W·C values in [0,1]

(FusionVAE, ECCV 2022, section 5.2.) It falls with K, so K is part of every result's identity. A model that gives one
image has K = 1: its plain mean squared error.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Metric, Tolerance


def mse_min(samples: Any, target: Any) -> np.ndarray:
    """samples (K,N,C,H,W) and target (N,C,H,W) in [0,1] -> (N,) float64; accepts torch tensors of any device too.

    Raises:
        UsageError: other shapes, no draw, integers, or an array beside a tensor.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mse_min import mse_min
        >>> target = np.full((1, 1, 2, 2), 0.5)
        >>> samples = np.stack([np.zeros_like(target), np.full_like(target, 0.4)])  # two draws of one image
        >>> mse_min(samples[:1], target).round(4).tolist(), mse_min(samples, target).round(4).tolist()
        ([0.25], [0.01])
    """
    result: np.ndarray = np.asarray(squared_errors(samples, target)).min(axis=0)
    return result


def squared_errors(samples: Any, target: Any) -> np.ndarray:
    """Mean squared error of every draw: samples (K,N,C,H,W), target (N,C,H,W) -> (K,N) float64.

    Raises:
        UsageError: as :func:`mse_min`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.mse_min import squared_errors
        >>> target = np.full((1, 1, 2, 2), 0.5)
        >>> samples = np.stack([np.zeros_like(target), np.full_like(target, 0.4)])
        >>> squared_errors(samples, target).round(4).tolist()  # a row per draw
        [[0.25], [0.01]]
    """
    _check(samples, target)
    if not isinstance(samples, np.ndarray):  # a tensor: reduce where it lies
        import torch

        rows = [(draw.double() - target.double()).square().flatten(1).mean(dim=1) for draw in samples]
        return torch.stack(rows).cpu().numpy()
    flat = len(target), math.prod(target.shape[1:])
    rows = [np.square(np.subtract(draw, target, dtype=np.float64)).reshape(flat).mean(axis=1) for draw in samples]
    return np.stack(rows)


def _check(samples: Any, target: Any) -> None:
    """Refuse what would broadcast to wrong numbers, or be on another scale; values may leave [0,1] a little."""
    for name, images in (("samples", samples), ("target", target)):
        if not (isinstance(images, np.ndarray) or hasattr(images, "double")):
            raise UsageError(f"mse_min: {name}: expected a NumPy array or a torch tensor, got {type(images).__name__}")
        if "float" not in (dtype := str(images.dtype)):  # also of ml_dtypes, such as bfloat16
            raise UsageError(f"mse_min: {name}: dtype {dtype} is not scored; divide by 255 to floats in [0,1]")
    if isinstance(samples, np.ndarray) != isinstance(target, np.ndarray):
        raise UsageError("mse_min: samples and target mix NumPy arrays and torch tensors; pass one kind")
    drawn, known = tuple(samples.shape), tuple(target.shape)
    if len(drawn) != 5 or not drawn[0] or drawn[1:] != known:
        raise UsageError(
            f"mse_min: expected samples (K,N,C,H,W) of at least one draw and a target (N,C,H,W) of the same images, "
            f"got shapes {drawn} and {known}"
        )
    if 0 in drawn[2:]:
        raise UsageError(f"mse_min: images of shape {drawn[2:]} have nothing to score")


METRIC = Metric(
    name="mse_min",
    version="1",
    title="mean squared error of the best of K draws",
    label="MSE_min",
    function=mse_min,
    needs="samples",
    better="lower",
    unit="1",
    range=(0.0, 1.0),
    tolerance=Tolerance(
        atol=1e-5, rtol=1e-3, reason="float32 decoders on other devices and batch sizes round differently"
    ),
    reference="Duffhauss et al.: FusionVAE, ECCV 2022, section 5.2",
    formula="min_k mean((ŷ_k − y)²), K draws from p(z|X)",
    exploits="Falls with K and rewards spread-out draws; never compare different K. Without views a sharp model needs "
    "many draws to beat the mean image.",
    choices=(
        "Mean images, not samples of the output distribution: lower, and deterministic.",
        "All H·W·C values count, the padding too.",
    ),
    edge_cases="A deterministic model has one draw: K = 1.",
    oracle="a brute-force NumPy loop",
)
