"""Readers are trained on the device of the call, whatever the method that they read lies on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fusionbench as fb
from fusionbench.evaluation import detection, probe_unet
from fusionbench.evaluation.measuring_device import measuring_device, measuring_on
from fusionbench.evaluation.protocols import PROTOCOLS


class StopHereError(Exception):
    """The device is known."""


def stop_at_device(*_: Any, device: Any, **__: Any) -> None:
    raise StopHereError(str(device))


def test_the_innermost_device_counts_and_is_forgotten() -> None:
    with measuring_on("cuda:0"):
        with pytest.raises(StopHereError), measuring_on("cuda:1"):
            assert measuring_device() == "cuda:1"
            raise StopHereError
        assert measuring_device() == "cuda:0"
    assert measuring_device() == "cpu"


@pytest.mark.parametrize("name", ["probe/1", "detection/1"])
def test_the_reader_of_a_rule_without_parameters_is_trained_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_unet, "unet_scores", stop_at_device)
    monkeypatch.setattr(detection, "train_detector", stop_at_device)
    monkeypatch.setattr(detection, "need_torchvision", lambda: None)
    protocol = PROTOCOLS.get(name)
    options = protocol.options(**({"unet": 3} if name == "probe/1" else {"steps": 3, "parts": (6, 0, 4)}))
    data = protocol.open("probe-demo", options)
    model = fb.create_model("average", protocol.spec(data))
    with pytest.raises(StopHereError, match="cuda:3"), measuring_on("cuda:3"):
        protocol.measure(model, data, options)


def test_evaluate_measures_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: Any) -> None:
        assert isinstance(measuring_device(), torch.device)
        raise StopHereError(str(measuring_device()))

    monkeypatch.setattr(type(PROTOCOLS.get("probe/1")), "measure", measure)
    with pytest.raises(StopHereError, match="cpu"), measuring_on("cuda:3"):
        fb.evaluate(np.maximum, "probe-demo", protocol="probe", out=None, device="cpu")
