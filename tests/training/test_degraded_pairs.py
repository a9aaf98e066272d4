"""Training on pairs that are degraded live: other ones in every epoch, and the same again after a kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fusionbench.core.errors import UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.training.loop import train
from tests.data.pair_datasets import images
from tests.helpers.pair_folders import PATCHES, recipe

__all__ = ["images"]  # fixture

LIVE = (
    '[degrade]\nfamilies = ["shift/1", "gaussian-noise/1", "haze/1"]\nseverity = [1, 5]\nchance = 0.8\nwhen = "live"\n'
)


def test_a_killed_run_on_live_degradations_goes_on_to_the_bit(images: Path, tmp_path: Path) -> None:
    clean = open_dataset(build_dataset(recipe(PATCHES), images, tmp_path / "clean", jobs=1))
    degraded = open_dataset(build_dataset(recipe(PATCHES + LIVE), images, tmp_path / "degraded", jobs=1))
    asked: dict[str, Any] = {
        "device": "cpu",
        "params": {"widths": (4, 4, 4), "steps": 2},
        "training": {"batch": 4, "epochs": 3.0},
    }
    whole = train("gradient-domain-net", degraded, out=tmp_path / "whole", **asked)
    other = train("gradient-domain-net", clean, out=tmp_path / "other", **asked)

    def stop(step: int) -> None:
        if step == whole.info.steps // 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train("gradient-domain-net", degraded, out=tmp_path / "halves", on_step=stop, **asked)
    halves = train("gradient-domain-net", degraded, out=tmp_path / "halves", **asked)
    assert whole.info.steps == halves.info.steps == other.info.steps > 5
    expected, found = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    of_clean = load_file(tmp_path / "other" / "weights.safetensors")
    assert not all(torch.equal(of_clean[key], value) for key, value in expected.items())
    assert other.info.dataset_id == clean.id == degraded.id != whole.info.dataset_id == degraded.training_id
    with pytest.raises(UsageError):  # a run on clean pairs does not go on with degraded ones
        train("gradient-domain-net", degraded, out=tmp_path / "other", **asked)
