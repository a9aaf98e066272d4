"""How far the likelihoods of a table lie above those of annealed importance sampling, on a trained run.

    python benchmarks/perf/annealed.py RUN DATA [--images 20] [--steps 50] [--chains 4]

Prints, for no and for all views, the mean NLL by K = 100 and K = 1000 importance weights, as tables have it, and by
annealing (``fusionbench.models.vae.annealed``), which takes minutes for 20 images of FusionMNIST.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from fusionbench import open_dataset
from fusionbench.metrics.nll import nll
from fusionbench.models.vae.annealed import annealed_log_weights
from fusionbench.models.vae.base import Family
from fusionbench.training.run import read_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    for name, default in (("images", 20), ("steps", 50), ("chains", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset, run = open_dataset(given.data), read_run(given.run)
    model = run.load_model(dataset.spec)
    assert isinstance(model, Family)
    whole = dataset.stream("test", device="cpu", live=False).batch(np.arange(given.images), epoch=0)
    print(f"{model.title}, {run.info.steps:,} steps, first {given.images} test images; nats per image")
    for inputs in (0, dataset.spec.views):
        batch, begun = whole.with_inputs(inputs), time.process_time()
        plain = {k: nll(model.log_weights(batch, k, 0).numpy()).mean() for k in (100, 1000)}
        weights = annealed_log_weights(model, batch, steps=given.steps, chains=given.chains).numpy()
        seconds = time.process_time() - begun
        print(
            f"N = {inputs}: K = 100 {plain[100]:.2f}, K = 1000 {plain[1000]:.2f}, annealed {nll(weights).mean():.2f} "
            f"({given.steps} steps, {given.chains} chains that differ by {weights.std(axis=0).mean():.2f}; "
            f"{seconds:.0f} s)",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
