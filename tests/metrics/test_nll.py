"""Oracles: a linear-Gaussian model, whose marginal likelihood is known, and scipy's logsumexp."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from fusionbench.core.errors import UsageError
from fusionbench.metrics import get_metric
from fusionbench.metrics.nll import bits_per_dimension, effective_samples, entropy_floor, negative_elbo, nll
from fusionbench.models.vae import draws as _draws


def linear_gaussian(draws: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """p(z) = N(0, I), p(y|z) = N(Az, s²I), q = the true posterior widened: log-weights (draws, 400), true −log p(y)."""
    rng = np.random.default_rng(0)
    a, s = rng.normal(size=(4, 2)), 0.7
    y = rng.normal(size=(400, 2)) @ a.T + s * rng.normal(size=(400, 4))
    truth = -multivariate_normal(np.zeros(4), a @ a.T + s**2 * np.eye(4)).logpdf(y)
    precision = np.eye(2) + a.T @ a / s**2
    covariance = np.linalg.inv(precision)
    mean = y @ a @ covariance / s**2
    wide = multivariate_normal(np.zeros(2), width * covariance)
    factor = np.linalg.cholesky(width * covariance)
    weights = np.empty((draws, 400))
    for k in range(draws):
        noise = _draws.normal(torch.arange(400), torch.full((400,), k), (2,), key=1).double().numpy()
        z = mean + noise @ factor.T
        likelihood = -0.5 * (np.square(y - z @ a.T).sum(axis=1) / s**2) - 4 * np.log(s * np.sqrt(2 * np.pi))
        prior = multivariate_normal(np.zeros(2), np.eye(2)).logpdf(z)
        weights[k] = likelihood + prior - wide.logpdf(z - mean)
    return weights, truth


def test_exact_posterior_gives_the_marginal_likelihood_with_one_draw() -> None:
    weights, truth = linear_gaussian(3, width=1.0)
    np.testing.assert_allclose(nll(weights[:1]), truth, atol=1e-5)
    np.testing.assert_allclose(effective_samples(weights), 3, rtol=1e-6)


def test_estimate_tightens_with_the_number_of_draws() -> None:
    weights, truth = linear_gaussian(400, width=2.5)
    gaps = [float((nll(weights[:k]) - truth).mean()) for k in (1, 10, 400)]
    assert gaps[0] > gaps[1] > 0 and abs(gaps[2]) < 0.02, gaps
    assert (negative_elbo(weights) >= nll(weights)).all()
    assert 1 < effective_samples(weights).min() < 400


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.floats(-1e5, 1e5))
def test_against_scipy_at_any_magnitude(seed: int, shift: float) -> None:
    weights = shift + 30 * np.random.default_rng(seed).normal(size=(7, 5))
    np.testing.assert_allclose(nll(weights), np.log(7) - logsumexp(weights, axis=0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(nll(weights), nll(weights[::-1]), rtol=1e-12, atol=1e-9)


def test_impossible_draws_count_as_zero() -> None:
    weights = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    assert nll(weights)[0] == pytest.approx(np.log(2)) and nll(weights)[1] == np.inf


@pytest.mark.parametrize("shape", [(0, 2), (3,), (), (2, 3, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for function in (nll, negative_elbo, effective_samples):
        with pytest.raises(UsageError, match=r"^nll: expected log-weights \(K,N\) of at least one draw, got shape"):
            function(np.zeros(shape))
    assert nll(np.zeros((2, 0))).shape == (0,)


def test_bits_and_floor() -> None:
    assert bits_per_dimension(np.array([784 * np.log(2)]), 784)[0] == pytest.approx(1.0)
    targets = np.array([[0.0, 1.0, 0.5], [0.25, 0.25, 1.0]])
    expected = [np.log(2), 2 * -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))]
    np.testing.assert_allclose(entropy_floor(targets), expected)


def test_registered() -> None:
    metric = get_metric("nll")
    assert metric.function is nll and metric.needs == "log_weights" and metric.better == "lower"
