"""What every registered model must do; a new model is under these tests the moment it is registered.

The checks themselves are in ``fusionbench.models.checks``, where users run them on classes of their own;
``tests/models/test_checks.py`` holds them to finding what is wrong.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from fusionbench.models import MODELS, create_model
from fusionbench.models.checks import CHECKS, ModelCandidate, NotApplicable

MODEL_NAMES = MODELS.names()


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
