"""Trainings inside a protocol that are stopped: the same bits as one that never was."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.evaluation import detection, kept_training
from fusionbench.evaluation.partial_scores import FOLDER, PartialScores, keep_partial
from fusionbench.evaluation.probe_head import Folds
from fusionbench.evaluation.probe_unet import unet_scores
from fusionbench.sources.boxes import Boxes


class Stub(nn.Module):
    """A detector's calls and losses, with statistics and randomness as real ones have."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.norm, self.out = nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        features = self.out(self.norm(torch.stack(images))) * torch.rand(())
        wanted = torch.stack([target["boxes"].sum() for target in targets])
        return {"one": (features.mean((1, 2, 3)) - wanted / 100).square().mean(), "two": features.square().mean()}


def train(steps: int = 5) -> dict[str, Tensor]:
    images = np.random.default_rng(1).integers(0, 256, (4, 12, 16, 3), np.uint8)
    boxes = [Boxes(np.array([[1.0, 2, 5 + place, 9]]), np.array([0])) for place in range(4)]
    network = detection.train_detector(
        lambda place: images[place], boxes, 1, detector="mobilenet", steps=steps, batch=2, rate=0.05, seed=3
    )
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "need_torchvision", lambda: SimpleNamespace(**{detection.NAMES["mobilenet"]: Stub}))


def in_parts(work, place: Path):  # type: ignore[no-untyped-def]
    """What ``work`` gives when every call has no time, and the number of calls."""
    for call in range(1, 50):
        try:
            with time_limit(time.time() - 1), keep_partial(PartialScores(place, "key")):
                return work(), call
        except UnfinishedError as error:
            assert f"stopped at step {call} of" in str(error) or "U-Net" in str(error)
    raise AssertionError("it never ends")


def test_a_detector_that_is_stopped_at_every_step_is_the_same(tmp_path: Path) -> None:
    whole = train()
    found, calls = in_parts(train, tmp_path)
    assert calls == 5
    assert all(torch.equal(value, found[name]) for name, value in whole.items())
    again, calls = in_parts(train, tmp_path)  # a finished one is read again
    assert calls == 1 and all(torch.equal(value, again[name]) for name, value in whole.items())


def test_a_killed_one_goes_on_at_its_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_training, "SECONDS", 0.0)
    seen: list[int] = []
    forward = Stub.forward

    def dies(self: Stub, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return forward(self, images, targets)

    monkeypatch.setattr(Stub, "forward", dies)
    with keep_partial(PartialScores(tmp_path, "key")):
        with pytest.raises(KeyboardInterrupt):
            train()
        found = train()
    assert len(seen) == 6  # steps 0, 1, 2, the one that died, 3 and 4
    monkeypatch.setattr(Stub, "forward", forward)
    assert all(torch.equal(value, found[name]) for name, value in train().items())


@pytest.mark.parametrize("lost", ["optimizers", "schedule", "images", "step"])
def test_a_damaged_state_is_none(lost: str, tmp_path: Path) -> None:
    whole = train()
    with keep_partial(PartialScores(tmp_path, "key")):
        with time_limit(time.time() - 1), pytest.raises(UnfinishedError, match="stopped at step 1 of 5"):
            train()
        [state] = (tmp_path / FOLDER).rglob("state.json")
        body = json.loads(state.read_text())
        state.write_text(json.dumps({key: value for key, value in body.items() if key != lost}))
        with time_limit(time.time() - 1), pytest.raises(UnfinishedError, match="stopped at step 1 of 5"):
            train()
        [state] = (tmp_path / FOLDER).rglob("state.json")
        state.write_text(json.dumps({**json.loads(state.read_text()), lost: "damaged"}))
        found = train()
    assert all(torch.equal(value, found[name]) for name, value in whole.items())


def test_the_probes_networks_go_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [[rng.integers(0, 256, size, np.uint8) for size in ((12, 16), (14, 12), (12, 12), (16, 16))]]
    truth = [(image > 200)[..., None] for image in images[0]]
    folds = Folds.by_scene(["a", "b", "c", "d"], ["a", "b", "c", "d"], 2)

    def scores() -> list[np.ndarray]:
        return unet_scores(images, truth, folds, steps=3, seed=1)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    found, calls = in_parts(scores, tmp_path)
    assert torch.equal(torch.get_rng_state(), before) and calls > 3
    assert all(np.array_equal(a, b) for a, b in zip(found, scores(), strict=True))
