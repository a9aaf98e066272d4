"""Oracles: torch.distributions for the Bernoulli; all 256 values together, and a float64 formula, for the mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models.vae.outputs import MIXTURES, Bernoulli, LogisticMixture, NVAELogisticMixture, create_output

GREY = ImageSpec(1, 2, 2, 3)
RGB = ImageSpec(3, 2, 2, 3)


def test_bernoulli_on_grey_targets() -> None:
    logits, target = 5 * torch.randn(3, 1, 6, 6), torch.rand(3, 1, 6, 6)
    expected = torch.distributions.Bernoulli(logits=logits.double(), validate_args=False).log_prob(target.double())
    value = Bernoulli(ImageSpec(1, 6, 6, 3)).log_prob(logits, target)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, expected.sum(dim=(1, 2, 3)), rtol=1e-6, atol=1e-5)
    cropped = Bernoulli(ImageSpec(1, 6, 6, 3, crop=(4, 2))).log_prob(logits, target)
    torch.testing.assert_close(cropped, expected[:, :, 1:5, 2:4].sum(dim=(1, 2, 3)), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 3.0, 8.0])
def test_the_probabilities_of_all_256_values_sum_to_one(scale: float) -> None:
    torch.manual_seed(int(10 * scale))
    parameters = scale * torch.randn(1, 40, 2, 2)
    values = (torch.arange(256) / 255).view(256, 1, 1, 1).expand(256, 1, 2, 2)
    output = LogisticMixture(GREY)
    # one pixel at a time: the probability of an image is the product over its pixels
    for row in range(2):
        for column in range(2):
            pixel = LogisticMixture(ImageSpec(1, 1, 1, 3))
            part = parameters[:, :, row : row + 1, column : column + 1].expand(256, -1, -1, -1)
            total = pixel.log_prob(part, values[:, :, row : row + 1, column : column + 1]).exp().sum()
            assert abs(float(total) - 1) < 2e-3  # very narrow bins use a density, the rest is exact
    assert output.log_prob(parameters, torch.rand(1, 1, 2, 2)).shape == (1,)


def test_colours_depend_on_the_colours_before_them_and_match_a_float64_formula() -> None:
    torch.manual_seed(0)
    parameters, target = torch.randn(2, 100, 2, 2), torch.randint(0, 256, (2, 3, 2, 2)) / 255
    p, y = parameters.double().numpy(), np.round(target.numpy().astype(np.float64) * 255)
    v = y / 127.5 - 1
    rest = p[:, MIXTURES:].reshape(2, 3, 3, MIXTURES, 2, 2)
    a = np.tanh(rest[:, :, 2])
    means = rest[:, :, 0].copy()
    means[:, 1] += a[:, 0] * v[:, None, 0]
    means[:, 2] += a[:, 1] * v[:, None, 0] + a[:, 2] * v[:, None, 1]
    inverse = np.exp(-np.maximum(rest[:, :, 1], -7))
    upper, lower = (inverse * (v[:, :, None] - means + edge) for edge in (1 / 255, -1 / 255))
    high = np.where(y[:, :, None] == 255, 1.0, expit(upper))
    low = np.where(y[:, :, None] == 0, 0.0, expit(lower))
    mixture = p[:, :MIXTURES] - logsumexp(p[:, :MIXTURES], axis=1, keepdims=True)
    expected = logsumexp(mixture + np.log(high - low).sum(axis=1), axis=1).sum(axis=(1, 2))
    np.testing.assert_allclose(LogisticMixture(RGB).log_prob(parameters, target).numpy(), expected, rtol=1e-4)


def test_half_precision_parameters_are_scored_in_float32() -> None:
    """A difference of two sigmoids that are close to one has no bits left in 16-bit floats."""
    torch.manual_seed(1)
    parameters, target = torch.randn(2, 100, 2, 2).bfloat16(), torch.rand(2, 3, 2, 2)
    output = LogisticMixture(RGB)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = output.log_prob(parameters, target)
    torch.testing.assert_close(value, output.log_prob(parameters.float(), target))


def test_the_authors_form_counts_255_twice() -> None:
    """Its 256 numbers sum to 1 + P(255), by the right form; all else is equal. One component, so a float64 formula."""
    spec, mean, scale = ImageSpec(1, 1, 1, 3), 0.97, np.exp(-4.0)
    parameters = torch.zeros(1, 40, 1, 1)
    parameters[:, MIXTURES : 2 * MIXTURES], parameters[:, 2 * MIXTURES : 3 * MIXTURES] = mean, -4.0
    values = [torch.full((1, 1, 1, 1), y / 255) for y in range(256)]
    right, theirs = (
        np.array([float(form(spec).log_prob(parameters, y).exp()) for y in values])
        for form in (LogisticMixture, NVAELogisticMixture)
    )
    last = 1 - expit((253.5 / 127.5 - 1 - mean) / scale), 1 - expit((254.5 / 127.5 - 1 - mean) / scale)
    np.testing.assert_allclose(theirs[254:], last, rtol=1e-4)
    np.testing.assert_array_equal(theirs[:254], right[:254])
    assert theirs.sum() == pytest.approx(1 + right[255], abs=1e-4) and right[255] > 0.1
    assert isinstance(create_output("logistic-mixture-nvae", spec), NVAELogisticMixture)


def test_only_255_is_the_right_edge() -> None:
    parameters = torch.zeros(1, 40, 1, 1)
    parameters[:, MIXTURES : 2 * MIXTURES], parameters[:, 2 * MIXTURES : 3 * MIXTURES] = 0.97, -4.0
    output = LogisticMixture(ImageSpec(1, 1, 1, 3))
    probability = [float(output.log_prob(parameters, torch.full((1, 1, 1, 1), y / 255)).exp()) for y in range(256)]
    assert abs(sum(probability) - 1) < 1e-4
    assert probability[255] > 2 * probability[254]  # the whole tail against one bin


def test_mean_images_are_in_range_and_the_best_guess_of_a_sharp_component() -> None:
    for name, spec in (("bernoulli", GREY), ("logistic-mixture", GREY), ("logistic-mixture", RGB)):
        output = create_output(name, spec)
        mean = output.mean(10 * torch.randn(3, output.channels, 2, 2))
        assert mean.shape == (3, spec.channels, 2, 2) and mean.min() >= 0 and mean.max() <= 1
    parameters = torch.zeros(1, 40, 2, 2)
    parameters[:, 0], parameters[:, MIXTURES] = 50.0, 0.5
    torch.testing.assert_close(LogisticMixture(GREY).mean(parameters), torch.full((1, 1, 2, 2), 0.75))
    with pytest.raises(UsageError, match="bernoulli"):
        create_output("bernouli", GREY)


def test_mean_images_are_zero_where_the_likelihood_does_not_look() -> None:
    spec = ImageSpec(1, 7, 8, 3, crop=(4, 5))
    for name in ("bernoulli", "logistic-mixture"):
        output = create_output(name, spec)
        mean = output.mean(torch.ones(1, output.channels, 7, 8))
        inside = torch.zeros(7, 8, dtype=torch.bool)
        inside[1:5, 1:6] = True
        assert torch.equal(mean[0, 0] > 0, inside)
        target = torch.rand(1, 1, 7, 8)
        moved = torch.where(inside, target, 1 - target)
        parameters = torch.randn(1, output.channels, 7, 8)
        assert torch.equal(output.log_prob(parameters, target), output.log_prob(parameters, moved))
