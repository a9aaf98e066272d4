"""How fast a training step is: ours, a plain step of the same model, and the floor that the machine's own speed sets.

    python benchmarks/perf/train.py [--device cpu] [--presets fusionmnist,tiny] [--batch 64] [--threads 1] [--compile]

All three are measured in one run. *Plain*: contiguous tensors, the penalty at every step, float32. *Floor*: the larger
of FLOPs / (this machine's matrix products per second) and bytes / (this machine's copies per second), where FLOPs are
counted by torch (a step is three forward passes) and bytes are four passes over the outputs of all convolutions and
batch norms. With ``--compile`` also the step with compiled blocks, its ratio to ours, and the seconds that the first
steps took, which are no part of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import create_model, get_preset
from fusionbench.models.vae.base import PENALTY_EVERY
from fusionbench.training.runtime import compile_blocks

SPECS = {
    "fusionmnist": ImageSpec(1, 32, 32, 3, (28, 28)),
    "fusionceleba": ImageSpec(3, 64, 64, 3),
    "fusiontless": ImageSpec(1, 64, 64, 3),
    "small": ImageSpec(3, 64, 64, 3),
    "tiny": ImageSpec(1, 32, 32, 3, (28, 28)),
}


def best(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Shortest of ``repeats`` runs, in seconds, after one that does not count."""
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


def machine(device: torch.device) -> tuple[float, float]:
    """Measured FLOP/s of a square float32 product and bytes/s of a copy (read and written)."""
    size = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    flops = 2 * size**3 / best(lambda: a @ b, 5, device)
    source = torch.empty((64 << 20) if device.type == "cpu" else (1 << 30), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return flops, 2 * source.numel() / best(lambda: target.copy_(source), 5, device)


def batch_of(spec: ImageSpec, count: int, device: torch.device) -> Batch:
    target = torch.rand(count, spec.channels, spec.height, spec.width, device=device)
    views = torch.rand(count, spec.views, spec.channels, spec.height, spec.width, device=device)
    present = torch.ones(count, spec.views, dtype=torch.bool, device=device)
    return Batch(target, views, present, torch.arange(count, device=device)).with_inputs(2)


def steps_of(model: Any, batch: Batch, every: int) -> Callable[[], None]:
    """Four steps in a row: with ``every`` = 1 one of them has the penalty, with 4 all have."""
    optimizer = torch.optim.Adamax(model.parameters(), lr=1e-3, eps=1e-3)
    steps = iter(range(0, 10**9, every))

    def four_steps() -> None:
        for _ in range(PENALTY_EVERY):
            optimizer.zero_grad(set_to_none=True)
            model.loss(batch, "main", next(steps)).total.backward()
            optimizer.step()

    return four_steps


def work(model: nn.Module, batch: Batch) -> tuple[float, float]:
    """FLOPs and bytes of one training step."""
    elements = 0

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal elements
        elements += output.numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    with FlopCounterMode(display=False) as counter:
        model.loss(batch, "main", 1)  # forward alone
    for hook in hooks:
        hook.remove()
    return 3.0 * counter.get_total_flops(), 4.0 * 4 * elements


def compiled_steps(
    model: Any, batch: Batch, repeats: int, device: torch.device, static: bool = True
) -> tuple[float, float]:
    """Seconds of a step with compiled blocks, and of compiling; not a number where there is no compiler."""
    if not compile_blocks(model, device, static):
        return float("nan"), float("nan")
    run = steps_of(model, batch, 1)
    begun = time.perf_counter()
    run()
    waited = time.perf_counter() - begun
    return best(run, repeats, device) / PENALTY_EVERY, waited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--presets", default="fusionmnist,tiny")
    parser.add_argument("--models", default="fusionvae,fusionvae-plus,cvae,fcn")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    flops_per_second, bytes_per_second = machine(device)
    print(
        f"{device}, torch {torch.__version__}, {arguments.threads} thread(s): "
        f"{flops_per_second / 1e9:.0f} GFLOP/s, {bytes_per_second / 1e9:.1f} GB/s; batch {arguments.batch}, N = 2"
    )
    print(
        f"{'model':<16}{'preset':<14}{'step s':>9}{'images/s':>10}{'plain s':>9}{'floor s':>9}"
        f"{'plain/ours':>11}{'ours/floor':>11}"
        + (f"{'compiled s':>12}{'ours/compiled':>15}{'compiling s':>13}" if arguments.compile else "")
    )
    for preset in arguments.presets.split(","):
        for name in arguments.models.split(","):
            get_preset(name, preset)
            batch = batch_of(SPECS[preset], arguments.batch, device)
            plain = create_model(name, SPECS[preset], preset).to(device).train()
            ours = create_model(name, SPECS[preset], preset).to(device, memory_format=torch.channels_last).train()
            floor = max(*(a / b for a, b in zip(work(ours, batch), (flops_per_second, bytes_per_second), strict=True)))
            ours_s = best(steps_of(ours, batch, 1), arguments.repeats, device) / PENALTY_EVERY
            plain_s = best(steps_of(plain, batch, PENALTY_EVERY), arguments.repeats, device) / PENALTY_EVERY
            more = ""
            if arguments.compile:
                compiled_s, waited = compiled_steps(ours, batch, arguments.repeats, device)
                more = f"{compiled_s:>12.3f}{ours_s / compiled_s:>15.2f}{waited:>13.0f}"
            print(
                f"{name:<16}{preset:<14}{ours_s:>9.3f}{arguments.batch / ours_s:>10.0f}{plain_s:>9.3f}{floor:>9.4f}"
                f"{plain_s / ours_s:>11.2f}{ours_s / floor:>11.1f}{more}",
                flush=True,
            )


if __name__ == "__main__":
    main()
