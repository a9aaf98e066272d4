"""Negative log-likelihood by importance sampling: nats per image from log-weights.

    NLL = −( logsumexp_k log w_k − ln K ),   log w_k = log p(y,z_k|X) − log q(z_k|y),  z_k ~ q

An upper bound in expectation that tightens with K (Burda et al., "Importance Weighted Autoencoders", ICLR 2016), so K
is part of every result's identity and scores with different K are never compared.
"""

from __future__ import annotations

import math

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.types import Metric, Tolerance

LN2 = math.log(2.0)


def nll(log_weights: np.ndarray) -> np.ndarray:
    """Log-weights (K,N) in nats -> NLL (N,) in nats, float64. Weights of −inf count as zero.

    Raises:
        UsageError: another shape, or no draw.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.nll import nll
        >>> nll(np.array([[-100.0], [-102.0]])).round(4).tolist()  # 100 - ln((1 + e^-2) / 2)
        [100.5662]
        >>> nll(np.full((50, 1), -100.0)).round(4).tolist()  # equal weights: K does not matter
        [100.0]
    """
    weights = _weights(log_weights)
    largest = weights.max(axis=0)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        result: np.ndarray = -(shift + np.log(np.exp(weights - shift).mean(axis=0)))
        return result


def negative_elbo(log_weights: np.ndarray) -> np.ndarray:
    """Log-weights (K,N) in nats -> −ELBO (N,) in nats: the mean of −log w, never below the NLL.

    Raises:
        UsageError: another shape, or no draw.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.nll import negative_elbo, nll
        >>> log_weights = np.array([[-100.0], [-102.0]])
        >>> negative_elbo(log_weights).tolist(), nll(log_weights).round(4).tolist()
        ([101.0], [100.5662])
    """
    result: np.ndarray = -_weights(log_weights).mean(axis=0)
    return result


def effective_samples(log_weights: np.ndarray) -> np.ndarray:
    """(Σw)²/Σw² of log-weights (K,N) -> (N,) between 1 and K: the effective number of draws.

    Raises:
        UsageError: another shape, or no draw.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.nll import effective_samples
        >>> effective_samples(np.zeros((4, 1))).round(4).tolist()
        [4.0]
        >>> effective_samples(np.array([[0.0], [-50.0], [-50.0]])).round(4).tolist()  # one draw has all the weight
        [1.0]
    """
    weights = _weights(log_weights)
    scaled = np.exp(weights - weights.max(axis=0))
    result: np.ndarray = scaled.sum(axis=0) ** 2 / np.square(scaled).sum(axis=0)
    return result


def _weights(log_weights: np.ndarray) -> np.ndarray:
    weights = np.asarray(log_weights, np.float64)
    if weights.ndim != 2 or not len(weights):
        raise UsageError(f"nll: expected log-weights (K,N) of at least one draw, got shape {weights.shape}")
    return weights


def bits_per_dimension(nats: np.ndarray, dims: int) -> np.ndarray:
    """Nats per image -> bits per value; ``dims`` is the number of values that the likelihood sums over.

    Example:
        >>> import math
        >>> from fusionbench.metrics.nll import bits_per_dimension
        >>> round(float(bits_per_dimension(784 * math.log(2), dims=28 * 28)), 4)
        1.0
    """
    return np.asarray(nats, np.float64) / (dims * LN2)


def entropy_floor(targets: np.ndarray) -> np.ndarray:
    """Targets (N,…) in [0,1] -> (N,) nats: Σ −y·ln y − (1−y)·ln(1−y), the lower bound of a Bernoulli output's NLL.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.nll import entropy_floor
        >>> entropy_floor(np.full((1, 2, 2), 0.5)).round(4).tolist()  # 4 ln 2
        [2.7726]
        >>> entropy_floor(np.array([[0.0, 1.0]])).round(4).tolist()  # black and white
        [0.0]
    """
    y = np.asarray(targets, np.float64).reshape(len(targets), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(y > 0, -y * np.log(y), 0.0) + np.where(y < 1, -(1 - y) * np.log1p(-y), 0.0)
    result: np.ndarray = terms.sum(axis=1)
    return result


METRIC = Metric(
    name="nll",
    version="1",
    title="negative log-likelihood",
    label="NLL",
    function=nll,
    needs="log_weights",
    better="lower",
    unit="nats",
    range=(-math.inf, math.inf),
    tolerance=Tolerance(
        atol=0.05,
        rtol=0.0,
        reason="float32 decoders on other devices and batch sizes move log-weights by about 1e-3 nats",
    ),
    reference="Burda, Grosse, Salakhutdinov: Importance Weighted Autoencoders, ICLR 2016",
    formula="−(logsumexp_k log w_k − ln K), K draws from q(z|y)",
    exploits="Not comparable between different K, crops or output distributions; with grey targets and a Bernoulli "
    "output it is a cross-entropy with a floor, not a likelihood of 8-bit data.",
    choices=("Log-weights are summed in float64.", "Draws are keyed by seed, image and draw number."),
    edge_cases="A deterministic model has equal weights: the value is exact and does not depend on K.",
    oracle="a linear-Gaussian model with known marginal likelihood; scipy.special.logsumexp",
)
