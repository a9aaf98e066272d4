"""How far models of the CPU track come in the same time, one after the other on one thread of a quiet machine.

    python benchmarks/perf/equal_time.py DATA [--seconds 120] [--models fusionvae,fusionvae-plus,fusionvae-patch]

DATA is FusionMNIST as ``fusionbench generate`` makes it. Each model is trained with its preset ``cpu``, whose schedule
is compressed into the time, and scored with K = 20 on the first 300 test images. Prints images seen, NLL for every
number of views and their mean, and the difference of the mean to the first model, image by image, with its 95 %
interval over images. Differences between trainings of other seeds come on top.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from fusionbench import open_dataset, train
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.results.bootstrap import mean_interval
from fusionbench.results.schema import load_per_image

IMAGES, DRAWS = 300, 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--models", default="fusionvae,fusionvae-plus,fusionvae-patch")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset, first = open_dataset(given.data), None
    machine = f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    print(f"{given.seconds:g} s each, seed {given.seed}, {machine}")
    print(f"{'model':16} {'images':>8} {'parameters':>10}  NLL nats at N = 0, 1, 2, 3      mean  mean to the first")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.models.split(","):
            place = Path(folder) / name
            budget = f"{given.seconds:g}s"
            run = train(name, dataset, out=place, preset="cpu", device="cpu", budget=budget, seed=given.seed)
            result = evaluate(run, dataset, out=folder, protocol=Protocol(draws=DRAWS), limit=IMAGES, device="cpu")
            values = load_per_image(result.folder(folder))["nll@mean"]
            nats = [result.scores[f"nll@{count}"].mean for count in range(dataset.spec.views + 1)]
            text = ""
            if first is None:
                first = values
            else:
                interval = mean_interval(values - first)
                assert interval is not None  # of many images
                text = f"{(values - first).mean():+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})"
            images = run.info.steps * run.info.training.batch
            shown = " ".join(f"{value:7.2f}" for value in nats if value is not None)
            print(f"{name:16} {images:8,} {run.info.parameters:10,}  {shown} {values.mean():9.2f}  {text}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
