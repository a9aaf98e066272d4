"""Whether draws of a table of noise that is used several times over move an importance-weighted likelihood.

    python benchmarks/perf/noise_table.py

A score of one FusionCelebA image with K = 100 takes 23 million normals, 5.6 times the size of the table that draws come
from (``fusionbench.models.vae.draws``). Log-weights of a known normal distribution (standard deviation 4 nats) are made
from the table and from a generator that never repeats, for latents of FusionCelebA's shapes: as a sum over the latents
with smooth weights, which the mean of the table moves most, and with rough ones, as a trained decoder's are.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import torch

from fusionbench.models.vae.draws import noise_key, normal

GROUPS = [(20, 8, 8)] * 2 + [(20, 16, 16)] * 5 + [(20, 32, 32)] * 10
DRAWS, IMAGES, SPREAD = 100, 60, 4.0
Noise = Callable[[int, int], torch.Tensor]  # image, group -> (K, *shape)


def weights_of(kind: str) -> list[torch.Tensor]:
    """What every latent contributes to a log-weight, of sum of squares SPREAD²."""
    generator = torch.Generator().manual_seed(1)
    fields = []
    for shape in GROUPS:
        y, x = torch.meshgrid(torch.arange(shape[1]) / shape[1], torch.arange(shape[2]) / shape[2], indexing="ij")
        smooth = torch.sin(3 * y + 2 * x).expand(shape)
        fields.append(smooth if kind == "smooth" else torch.randn(shape, generator=generator))
    size = math.sqrt(sum(float(field.double().square().sum()) for field in fields))
    return [field * (SPREAD / size) for field in fields]


def log_weights(noise: Noise, fields: list[torch.Tensor]) -> np.ndarray:
    """(images, draws) log-weights in nats."""
    rows = []
    for image in range(IMAGES):
        parts = [(noise(image, g) * field).flatten(1).sum(1, dtype=torch.float64) for g, field in enumerate(fields)]
        rows.append(torch.stack(parts).sum(0).numpy())
    return np.stack(rows)


def main() -> int:
    torch.set_num_threads(1)
    key, draws, fresh = noise_key(0, "posterior"), torch.arange(DRAWS), torch.Generator().manual_seed(7)
    sources: dict[str, Noise] = {
        "table": lambda i, g: normal(torch.full((DRAWS,), i), draws, GROUPS[g], noise_key(key, g)),
        "fresh": lambda i, g: torch.randn((DRAWS, *GROUPS[g]), generator=fresh),
    }
    values = sum(math.prod(shape) for shape in GROUPS)
    print(
        f"{values:,} latents, {DRAWS} draws, {IMAGES} images; log-weights of mean 0 and standard deviation {SPREAD:g}"
    )
    print(f"{'weights':8} {'noise':6} {'mean':>15} {'deviation':>10} {'log of the mean weight':>23}")
    for kind in ("smooth", "rough"):
        fields = weights_of(kind)
        for name, noise in sources.items():
            found = log_weights(noise, fields)
            bound = np.log(np.exp(found).mean(axis=1))
            means = [f"{v.mean():.3f} ± {v.std(ddof=1) / math.sqrt(len(v)):.3f}" for v in (found.mean(axis=1), bound)]
            print(f"{kind:8} {name:6} {means[0]:>15} {found.std():10.3f} {means[1]:>23}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
