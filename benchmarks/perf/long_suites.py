"""Whether every row of the suites that take days starts: a few steps and a few images at full size, row by row.

    python benchmarks/perf/long_suites.py [--suites fusionceleba,fusiontless] [--batch 1] [--steps 2]

Each row is trained by the loop and scored under the protocol, in a process of its own, on images made from noise in the
size of the suite's recipe. Printed: parameters, seconds of loss and gradient per image at N = 2 without the penalty,
seconds of scoring per image, draw and N, the most memory, and the last loss, which has to be finite. *CPU days* and
*GPU hours* are **estimates** of the published training: its epochs and images times those seconds on this thread, and
the larger of FLOPs and bytes of a step (as in ``train.py``) over ``--gpu`` FLOP/s and bytes/s.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
from train import batch_of, work  # the script beside this one

from fusionbench.core.types import Batch
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.evaluation.suites import SuiteModel, load_suite
from fusionbench.models import MODELS, create_model, get_preset
from fusionbench.training.loop import train
from fusionbench.training.schedule import create_training

# images of the training split with all upstream files: CelebA's partition; T-LESS objects 19–24 without the held out
IMAGES = {"fusionceleba": 162_770, "fusiontless": 5_832}


class Noise:
    """A data set of smooth noise in a recipe's size; each view shows a half of its target."""

    version, splits = "1.0.0", ("train", "validation", "test")

    def __init__(self, name: str, count: int) -> None:
        self.name, self.id = name, f"noise-{name}-{count}"
        self.spec, self.count = load_recipe(name).image_spec, count

    def size(self, split: str) -> int:
        return self.count

    def stream(self, split: str, device: Any = "cpu", live: bool = True) -> Noise:
        return self

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        spec = self.spec
        targets = []
        for index in indices:
            coarse = np.random.default_rng(int(index)).random((1, spec.channels, 8, 8), np.float32)
            smooth = torch.nn.functional.interpolate(
                torch.from_numpy(coarse), (spec.height, spec.width), mode="bicubic"
            )
            targets.append(smooth.clamp(0, 1)[0])
        target = (torch.stack(targets) * 255).round() / 255
        views = target[:, None].repeat(1, spec.views, 1, 1, 1)
        views[:, 0, :, : spec.height // 2] = 0
        views[:, 1:, ..., spec.width // 2 :] = 0
        present = torch.ones(len(target), spec.views, dtype=torch.bool)
        return Batch(target, views, present, torch.as_tensor(np.asarray(indices), dtype=torch.int64))


def try_row(suite: str, row: SuiteModel, batch: int, steps: int, gpu: tuple[float, float]) -> dict[str, Any]:
    """Train and score one row; what is printed of it."""
    dataset: Any = Noise(load_suite(suite).dataset, max(batch, 2))
    planned = create_training({**get_preset(row.name, row.preset).training, **row.training})
    # the first steps of the warm-up, which a budget of three steps would skip
    gentle = {"batch": batch, "reestimate": min(planned.reestimate, 1), "lr": planned.lr / 100, "lr_min": 0.0}
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            row.name,
            dataset,
            out=folder,
            preset=row.preset,
            device="cpu",
            budget=f"{steps} steps",
            params=row.params,
            training={**row.training, **gentle},
        )
        with open(f"{folder}/log.csv") as log:
            losses = [float(line.split(",")[3]) for line in log if line.split(",")[2] == "loss"]
        begun, draws, scored = time.process_time(), 2, 1
        evaluate(run, dataset, protocol=Protocol(draws), device="cpu", out=None, limit=scored)
        scoring = (time.process_time() - begun) / (draws * scored * (dataset.spec.views + 1))
    seen = planned.epochs * IMAGES[load_suite(suite).dataset]
    model = create_model(row.name, dataset.spec, row.preset, **row.params).to(memory_format=torch.channels_last).train()
    images = batch_of(dataset.spec, batch, torch.device("cpu"))  # N = 2
    flops, moved = work(model, images)  # a forward pass, which also warms up
    begun = time.process_time()
    model.loss(images, "main", 1).total.backward()
    per_image = (time.process_time() - begun) / batch
    return {
        "parameters": run.info.parameters,
        "step": per_image,
        "score": scoring,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "loss": losses[-1],
        "days": per_image * seen / 86400,
        "hours": max(flops / gpu[0], moved / gpu[1]) / batch * seen / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", default="fusionceleba,fusiontless,fusionceleba-ablation")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--gpu", default="1e14,3e12", help="FLOP/s and bytes/s of the GPU of the estimate")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    gpu = tuple(float(value) for value in arguments.gpu.split(","))
    if arguments.row:  # the process of one row
        row = next(r for r in load_suite(arguments.suites).models if r.key == arguments.row)
        print(json.dumps(try_row(arguments.suites, row, arguments.batch, arguments.steps, gpu)))  # type: ignore[arg-type]
        return
    print(f"cpu, torch {torch.__version__}, 1 thread; batch {arguments.batch}; GPU of the estimate: {arguments.gpu}")
    print(
        f"{'suite':<23}{'row':<15}{'parameters':>11}{'s/image':>9}{'s/draw':>8}{'GB':>6}{'loss':>10}"
        f"{'CPU days':>10}{'GPU hours':>11}"
    )
    failed = False
    for suite in arguments.suites.split(","):
        for row in load_suite(suite).models:
            if not hasattr(MODELS.get(row.name), "loss"):
                continue
            own = ["--suites", suite, "--row", row.key, "--batch", str(arguments.batch), "--gpu", arguments.gpu]
            command = [sys.executable, __file__, *own, "--steps", str(arguments.steps)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                failed = True
                print(f"{suite:<23}{row.key:<15}{done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            r = json.loads(done.stdout.splitlines()[-1])
            failed |= not math.isfinite(r["loss"])
            print(
                f"{suite:<23}{row.key:<15}{r['parameters']:>11,}{r['step']:>9.2f}{r['score']:>8.2f}{r['memory']:>6.1f}"
                f"{r['loss']:>10.0f}{r['days']:>10.0f}{r['hours']:>11.1f}",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
