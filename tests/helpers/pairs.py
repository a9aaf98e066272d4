"""Made-up infrared/visible pairs, the pair models at their smallest, and a plain adversarial training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models.pairs.base import PairModel
from fusionbench.models.pairs.cddfuse import CDDFuse
from fusionbench.models.pairs.dae_fuse import DAEFuse
from fusionbench.models.pairs.datfuse import DATFuse
from fusionbench.models.pairs.ddcgan import DDcGAN
from fusionbench.models.pairs.ddfm import DDFM
from fusionbench.models.pairs.densefuse import DenseFuse
from fusionbench.models.pairs.didfuse import DIDFuse
from fusionbench.models.pairs.fusiongan import FusionGAN
from fusionbench.models.pairs.gradient_domain_net import GradientDomainNet
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.pairs.mfeif import MFEIF
from fusionbench.models.pairs.rfn_nest import RFNNest
from fusionbench.models.pairs.seafusion import SeAFusion
from fusionbench.models.pairs.swinfusion import SwinFusion
from fusionbench.models.pairs.tardal import TarDAL
from fusionbench.models.pairs.u2fusion import U2Fusion

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
    CDDFuse: {"width": 4, "heads": 2, "blocks": 1, "couplings": 1},
    DDFM: {"widths": [4, 6], "steps": 3},
    DDcGAN: {"width": 4, "dense_layers": 2, "decoder_widths": [8, 6], "critic_widths": [4, 8]},
    DenseFuse: {"width": 4},
    GradientDomainNet: {"widths": [4, 5, 6], "steps": 2},
    FusionGAN: {"widths": [8, 6, 6, 4], "critic_widths": [4, 8]},
    MFEIF: {"widths": [4, 6, 8, 10], "attention_widths": [4, 6, 8], "attention_maps": 10, "critic_widths": [4, 8]},
    RFNNest: {"widths": [4, 6, 8, 10], "stem": 4},
    U2Fusion: {"width": 4, "dense_layers": 2, "decoder_widths": [8, 6]},
    DIDFuse: {"width": 6},
    DATFuse: {"width": 8, "reduction": 2},
    TarDAL: {"width": 5, "critic_widths": [4, 8]},
    IFCNN: {"width": 6},
    SeAFusion: {"widths": [3, 4, 5]},
    SwinFusion: {"width": 4, "heads": 2, "window": 4, "blocks": 1, "stages": 1, "stage_blocks": 2, "final_blocks": 1},
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


@torch.no_grad()
def depends_at(model: PairModel, distances: range, pixel: int, size: int) -> bool:
    """Whether pixel (``pixel``, ``pixel``) of the fused image depends on pixels of the square rings at ``distances``.

    Kernels are made weighted means, so that no ReLU, cancellation or saturation hides a dependence.
    """
    model = model.double().eval()
    for parameter in model.parameters():
        parameter.abs_()
        if parameter.ndim == 4:
            parameter.div_(parameter.sum((1, 2, 3), keepdim=True))
    views = torch.rand(1, 2, 1, size, size, generator=torch.Generator().manual_seed(1)).double()
    away = (torch.arange(size) - pixel).abs()
    away = torch.maximum(away.view(-1, 1), away)
    rings = (away >= distances.start) & (away < distances.stop)
    changed = torch.where(rings, views + 1, views)
    results = [model.combine(given[:, 0], given[:, 1])[0, 0, pixel, pixel] for given in (views, changed)]
    return not torch.equal(*results)


def reach(model: PairModel, size: int = 45) -> int:
    """How far from a changed pixel of either view output pixels change, in float64 and evaluation mode."""
    model, middle = model.double().eval(), size // 2
    generator = torch.Generator().manual_seed(1)
    a, b = torch.rand(2, 1, 1, size, size, dtype=torch.float64, generator=generator)
    farthest = 0
    with torch.no_grad():
        before = model.combine(a, b)
        for view in (a, b):
            view[..., middle, middle] = 1 - view[..., middle, middle]
            rows, columns = torch.nonzero((model.combine(a, b) != before)[0, 0], as_tuple=True)
            view[..., middle, middle] = 1 - view[..., middle, middle]
            farthest = max(farthest, int(torch.stack((rows - middle, columns - middle)).abs().max()))
    return farthest


def published_files(model: type[PairModel], folder: Path, *names: str) -> list[Mapping]:
    """What the published files of a network hold, whose digests are those that it names."""
    digests = tuple(sha256((folder / name).read_bytes()).hexdigest() for name in names)
    assert digests == model.PUBLISHED.sha256  # type: ignore[attr-defined]
    return [torch.load(folder / name, map_location="cpu", weights_only=True) for name in names]


def with_published_weights(model: type[PairModel], states: Sequence[Mapping]) -> PairModel:
    """A network with its published weights, in evaluation mode."""
    built = model(SPEC, **model.PUBLISHED.params)  # type: ignore[attr-defined]
    built.load_state_dict(model.from_published(states))  # type: ignore[attr-defined]
    return built.eval()


def tno_image(data: Path, kind: str, stem: str) -> np.ndarray:
    """A grey image (H,W) uint8 of ``tno/ir``, ``tno/vi`` or a folder of fused ones."""
    with Image.open(data / kind / f"{stem}.png") as image:
        return np.array(image.convert("L"))


def tno_pair(data: Path, stem: str) -> tuple[Tensor, Tensor]:
    """Infrared and visible image of a TNO pair, (1,1,H,W) float32 in [0,1] each."""
    images = (torch.from_numpy(tno_image(data, f"tno/{kind}", stem)) for kind in ("ir", "vi"))
    a, b = (image.float()[None, None] / 255 for image in images)
    return a, b
