"""What every registered model must do; a new model is under these tests the moment it is registered.

The checks themselves are in ``fusionbench.models.checks``, where users run them on classes of their own;
``tests/models/test_checks.py`` holds them to finding what is wrong.
"""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from fusionbench.models import MODELS, create_model
from fusionbench.models.checks import CHECKS, ModelCandidate, NotApplicable
from fusionbench.training.averaging import reestimate_statistics

MODEL_NAMES = MODELS.names()
LEARNING = [name for name in MODEL_NAMES if hasattr(MODELS.get(name), "loss")]


@lru_cache
def candidate(name: str) -> ModelCandidate:
    presets = MODELS.get(name).PRESETS
    preset = "tiny" if "tiny" in presets else next(iter(presets))
    return ModelCandidate(MODELS.get(name), lambda spec: create_model(name, spec, preset))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_registered_models(name: str, check: str) -> None:
    try:
        CHECKS[check](candidate(name))
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", LEARNING)
def test_statistics_are_measured_again_through_every_loss(name: str) -> None:
    """At the end of a training with ``reestimate``, where losses that differentiate by an image need to be able to."""
    model, batch = candidate(name).fresh()
    if hasattr(model, "plan"):
        model.plan(8, 0)
    groups = model.parameter_groups()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    for group in groups:
        reestimate_statistics(model, 1, lambda index, group=group: model.loss(batch, group, index))
    for key, value in model.named_parameters():
        assert value.grad is None and value.requires_grad and torch.equal(value, before[key]), key
