"""KL and active units of a model whose posterior is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionbench.core.types import Batch
from fusionbench.evaluation.latent_usage import latent_usage
from fusionbench.models import create_model
from tests.helpers.learning import SPEC, MemoryDataset

IDS = np.arange(300)


class Known:
    """Posterior means of three units with deviations 1, 0.2 and 0.05 over images, and a group that has collapsed."""

    def log_weights(self, batch: Batch, n: int, seed: int) -> torch.Tensor:
        raise AssertionError("not needed")

    def posterior_of(self, batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
        wave = torch.where(batch.ids % 2 == 0, 1.0, -1.0)
        means = torch.stack([wave, 0.2 * wave, 0.05 * wave], dim=1).view(-1, 3, 1, 1)
        assert int(batch.present.sum()) == 2 * len(batch)
        return [(means, batch.ids.float()), (torch.zeros(len(batch), 2, 2, 2), torch.zeros(len(batch)))]


def test_active_units_have_means_that_depend_on_the_image() -> None:
    stream = MemoryDataset(train=4, test=300).stream("test", device="cpu", live=False)
    found = latent_usage(Known(), stream, IDS, inputs=2)  # type: ignore[arg-type]
    assert found["kl_groups"] == [pytest.approx(149.5), 0.0]
    assert (found["active_units"], found["units"]) == ([2, 0], [3, 8])  # 0.05² is below 0.01


def test_a_model_without_latents_has_nothing_to_say() -> None:
    stream = MemoryDataset(train=4, test=4).stream("test", device="cpu", live=False)
    assert latent_usage(create_model("fcn", SPEC, "tiny"), stream, IDS[:4], inputs=1) == {}


def test_one_image_has_no_variance() -> None:
    stream = MemoryDataset(train=4, test=4).stream("test", device="cpu", live=False)
    assert latent_usage(Known(), stream, IDS[:1], inputs=2) == {}  # type: ignore[arg-type]
    assert latent_usage(Known(), stream, IDS[:2], inputs=2)["active_units"] == [2, 0]  # type: ignore[arg-type]
