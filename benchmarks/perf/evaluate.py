"""How fast log-weights are: images encoded once and K decoder passes, beside K passes of the whole network.

    python benchmarks/perf/evaluate.py [--device cpu|cuda] [--presets fusionmnist,tiny] [--images 16] [--draws 20]

Both are measured in one run on the same model and give the same numbers; the ratio is the gain.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from fusionbench.contracts import Batch, ImageSpec
from fusionbench.models import create_model

SPECS = {
    "fusionmnist": ImageSpec(1, 32, 32, 3, (28, 28)),
    "fusionceleba": ImageSpec(3, 64, 64, 3),
    "fusiontless": ImageSpec(1, 64, 64, 3),
    "tiny": ImageSpec(1, 32, 32, 3, (28, 28)),
}


def batch_of(spec: ImageSpec, count: int, device: torch.device) -> Batch:
    target = torch.rand(count, spec.channels, spec.height, spec.width, device=device)
    views = torch.rand(count, spec.views, spec.channels, spec.height, spec.width, device=device)
    present = torch.ones(count, spec.views, dtype=torch.bool, device=device)
    return Batch(target, views, present, torch.arange(count, device=device))


def best(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    # on one CPU thread the processor's time, which other jobs on the machine disturb less than the clock
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    times = []
    for index in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begun = clock()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if index:
            times.append(clock() - begun)
    return min(times)


def naive(model: Any, batch: Batch, draws: int) -> None:
    """One pass of the whole network for every draw."""
    for draw in range(draws):
        model.log_weights(batch, 1, seed=draw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--presets", default="fusionmnist,tiny")
    parser.add_argument("--models", default="fusionvae,cvae")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    print(
        f"{device}, torch {torch.__version__}, {arguments.threads} thread(s): "
        f"{arguments.images} images, K = {arguments.draws}"
    )
    print(f"{'model':<16}{'preset':<14}{'N':>2}{'draws/s':>10}{'naive/s':>10}{'ratio':>8}")
    for preset in arguments.presets.split(","):
        for name in arguments.models.split(","):
            model = create_model(name, SPECS[preset], preset).to(device, memory_format=torch.channels_last).eval()
            for inputs in (0, 3):
                batch = batch_of(SPECS[preset], arguments.images, device).with_inputs(inputs)
                total = arguments.images * arguments.draws
                once = best(lambda m=model, b=batch: m.log_weights(b, arguments.draws, 0), arguments.repeats, device)
                often = best(lambda m=model, b=batch: naive(m, b, arguments.draws), arguments.repeats, device)
                print(
                    f"{name:<16}{preset:<14}{inputs:>2}{total / once:>10.0f}{total / often:>10.0f}{often / once:>8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
