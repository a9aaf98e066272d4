"""The memory of a fusion is counted: against sizes known by hand, the same every time, and once per model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fusionbench.core.types import Batch
from fusionbench.models.fusing_memory import MARGIN, FusingMemory, device_of, fusing_memory, pairs_as_batch, peak_bytes
from fusionbench.models.pairs.dae_fuse import DAEFuse
from tests.helpers.pairs import smallest


class Maps(torch.nn.Module):
    """Ten maps a pixel in float32, then their mean."""

    title = "maps"

    def __init__(self, tokens: bool = False) -> None:
        super().__init__()
        self.layer, self.tokens, self.calls = torch.nn.Conv2d(1, 10, 1), tokens, 0

    def fuse(self, batch: Batch) -> Tensor:
        self.calls += 1
        maps = self.layer(batch.views[:, 0])
        if self.tokens:
            flat = torch.nn.functional.avg_pool2d(batch.views[:, 0], 8).flatten(1)
            return maps.mean(1, keepdim=True) + (flat[:, :, None] * flat[:, None]).mean()
        return maps.mean(1, keepdim=True)


def test_bytes_of_known_tensors() -> None:
    assert peak_bytes(Maps(), 64) == 64 * 64 * 4 * 11, "ten maps and their mean; neither the pair nor the weights"


def test_per_pixel_with_a_margin_and_once_a_model() -> None:
    model = Maps()
    found = fusing_memory(model)
    assert found.growth == 0 and 44 * MARGIN <= found.per_pixel < 44 * MARGIN + 32
    assert fusing_memory(model) is found and model.calls == 2
    assert fusing_memory(Maps()) == found
    assert found.of(100, 200) == 20_000 * found.per_pixel


def test_attention_between_pixels_grows_with_the_square() -> None:
    """Patches of 8×8: (H·W/64)² products of 4 bytes."""
    found = fusing_memory(Maps(tokens=True))
    assert found.growth > 0
    area = 1024 * 1024
    assert found.of(1024, 1024) == pytest.approx(MARGIN * (4 * (area / 64) ** 2 + 44 * area), rel=0.15)


def test_what_a_model_declares_is_used() -> None:
    model = Maps()
    model.bytes_per_pixel = 77  # type: ignore[assignment]
    assert fusing_memory(model) == FusingMemory(77, 0.0, 0) and model.calls == 0


def test_a_network_in_training_is_left_as_it_was() -> None:
    model = smallest(DAEFuse).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert fusing_memory(model).per_pixel > 100
    assert model.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_batches_and_devices() -> None:
    batch = pairs_as_batch(torch.rand(3, 2, 1, 4, 5))
    assert batch.target is None and bool(batch.present.all()) and batch.ids.tolist() == [0, 1, 2]
    assert device_of(Maps()) == torch.device("cpu") and device_of(Maps().to("meta")) == torch.device("meta")
