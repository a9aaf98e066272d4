"""The size of models from records. Oracle: the parameters of the model that is really built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import bounds, create_model
from fusionbench.models.bounds import ALWAYS_ALLOWED, check_fits_weights, check_model_size

MASKED, PAIRS = (ImageSpec(channels=1, height=16, width=16, views=views) for views in (3, 2))


@pytest.mark.parametrize(("name", "spec", "preset"), [("fcn", MASKED, "tiny"), ("mfeif", PAIRS, "tiny")])
def test_the_number_is_that_of_the_model(name: str, spec: ImageSpec, preset: str) -> None:
    from fusionbench.models import get_preset

    params = get_preset(name, preset).model
    before = torch.random.get_rng_state()
    count = check_model_size(name, spec, params)
    assert torch.equal(before, torch.random.get_rng_state()), "no random number is taken"
    assert count == sum(parameter.numel() for parameter in create_model(name, spec, **params).parameters())
    assert check_model_size(name, spec, params, count * 2) == count
    with pytest.raises(UsageError, match="more than 100 parameters"):
        check_model_size(name, spec, params, 100)


@pytest.mark.parametrize(
    ("name", "spec", "params", "text"),
    [
        ("fcn", MASKED, {"channels": 10**9}, "268,435,456 parameters"),
        ("fcn", MASKED, {"channels": 10**12}, "268,435,456 parameters"),
        ("fcn", MASKED, {"channels": 10**30}, "fcn"),
        ("mfeif", PAIRS, {"widths": [10**9] * 4}, "mfeif"),
        ("fcn", MASKED, {"channel": 1}, "Unknown parameter"),
    ],
)
def test_what_is_too_large_is_not_built(name: str, spec: ImageSpec, params: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_model_size(name, spec, params)


def test_layers_without_end_are_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_LAYERS", 500)
    with pytest.raises(UsageError, match="more than 500 layers"):
        check_model_size("fcn", MASKED, {"cells": 10**9})


def test_methods_without_parameters_have_none() -> None:
    assert check_model_size("laplacian-pyramid", PAIRS, {"levels": 3}) == 0


def test_a_model_may_be_as_large_as_its_file(tmp_path: Path) -> None:
    large = {"channels": 50}  # more than ALWAYS_ALLOWED
    count = check_model_size("fcn", MASKED, large)
    assert count > ALWAYS_ALLOWED
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"short")
    with pytest.raises(UsageError, match="parameters"):
        check_fits_weights("fcn", MASKED, large, weights)
    with open(weights, "wb") as stream:
        stream.truncate(4 * count)  # a sparse file: nothing is written
    check_fits_weights("fcn", MASKED, large, weights)


def test_a_run_folder_of_somebody_else_is_not_built_beyond_its_weights(tmp_path: Path) -> None:
    from fusionbench.training.run import Run, RunInfo
    from fusionbench.training.schedule import Training

    info = RunInfo(
        model="fcn",
        version="1",
        source="fusionbench",
        preset=None,
        params={"channels": 10**9},
        training=Training(),
        dataset_name="fusiondigits",
        dataset_version="1.0.0",
        dataset_id="0" * 64,
        seed=0,
        finished=True,
    )
    (tmp_path / "weights.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")
    with pytest.raises(DataError, match="is not built"):
        Run(tmp_path, info).load_model(MASKED)
