"""Made-up infrared/visible pairs, the pair models at their smallest, and a plain adversarial training loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models.pairs.base import PairModel
from fusionbench.models.pairs.dae_fuse import DAEFuse
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.pairs.mfeif import MFEIF
from fusionbench.models.pairs.seafusion import SeAFusion

SPEC = ImageSpec(channels=1, height=32, width=32, views=2)
SMALLEST: dict[type[PairModel], dict] = {
    DAEFuse: {
        "width": 8,
        "heads": 2,
        "blocks": 1,
        "detail_blocks": 1,
        "vit_width": 16,
        "vit_blocks": 1,
        "vit_heads": 2,
        "vit_grid": 4,
        "critic_widths": [4, 8],
    },
    MFEIF: {"widths": [4, 6, 8, 10], "attention_widths": [4, 6, 8], "attention_maps": 10, "critic_widths": [4, 8]},
    IFCNN: {"width": 6},
    SeAFusion: {"widths": [3, 4, 5]},
}


def smallest(model: type[PairModel], **parameters: object) -> PairModel:
    """The model with seeded random weights, sized for a test of milliseconds."""
    torch.manual_seed(0)
    return model(SPEC, **{**SMALLEST[model], **parameters})  # type: ignore[arg-type]


def last_group(model: PairModel) -> str:
    """The group of parameters that makes the fused image: ``generator``, or ``main``."""
    return list(model.parameter_groups())[-1]


def pair_batch(count: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> Batch:
    """Pairs of one scene: a warm blob in view 0 that view 1 lacks, stripes in view 1 that view 0 lacks."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.linspace(0, 1, height).view(1, -1, 1), torch.linspace(0, 1, width).view(1, 1, -1)
    where_y, where_x, tilt, phase = torch.rand(4, count, 1, 1, generator=generator)
    blob = torch.exp(-((y - where_y) ** 2 + (x - where_x) ** 2) / 0.02)
    stripes = 0.5 + 0.5 * torch.sin(20 * (x * tilt + y * (1 - tilt)) + 6 * phase)
    shade = 0.3 * y * torch.ones_like(x)
    views = torch.stack(((0.2 + shade + 0.5 * blob), (0.1 + shade + 0.4 * stripes)), 1).unsqueeze(2)
    return Batch(None, views, torch.ones(count, 2, dtype=torch.bool), torch.arange(count))


class PairDataset:
    """Pairs in memory with the interface of ``fusionbench.data.dataset.Dataset``."""

    name, version, id, spec = "pairs-in-memory", "1.0.0", "pairs-in-memory", SPEC

    def size(self, split: str) -> int:
        return 8

    def stream(self, split: str, device: object = "cpu", live: bool = True) -> PairDataset:
        return self

    def batch(self, indices: Sequence[int], epoch: int = 0) -> Batch:
        chosen, whole = torch.as_tensor(indices), pair_batch(8)
        return Batch(None, whole.views[chosen], whole.present[chosen], chosen.long())


def learn(model: PairModel, batch: Batch, steps: int, lr: float) -> list[dict[str, float]]:
    """Train on one batch, as the training loop does; the logged terms of every step."""
    model.plan(steps, seed=0)
    groups = model.parameter_groups()
    optimizers = {name: torch.optim.Adam(parameters, lr) for name, parameters in groups.items()}
    history = []
    for step in range(steps):
        terms: dict[str, float] = {}
        for name, optimizer in optimizers.items():
            optimizer.zero_grad()
            loss = model.loss(batch, name, step)
            loss.total.backward()
            optimizer.step()
            terms |= {key: float(value) for key, value in loss.log.items()}
        history.append(terms)
    return history
