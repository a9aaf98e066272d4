"""How fast log-weights are: images encoded once and K decoder passes, beside K passes of the whole network.

    python benchmarks/perf/evaluate.py [--presets fusionmnist,tiny] [--images 16] [--draws 20] [--compile]

Both are measured in one run on the same model and give the same numbers; the ratio is the gain. *Floor*: as in
``train.py``, the larger of FLOPs and bytes over the machine's measured speed, for one encoding and K decoder passes.
*Unfolded*: ours with the decoder's batch norms on their own instead of in the convolutions. *MB*: the most memory that
this process has held so far. With ``--compile`` also draws per second with compiled blocks, their ratio to ours, and
the seconds of the first call, which are no part of it.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from train import SPECS, batch_of, best, machine  # the script beside this one

from fusionbench.core.types import Batch
from fusionbench.models import create_model
from fusionbench.models.vae.cells import DecoderCell
from fusionbench.training.runtime import compile_blocks


def naive(model: Any, batch: Batch, draws: int) -> None:
    """One pass of the whole network for every draw."""
    for draw in range(draws):
        model.log_weights(batch, 1, seed=draw)


@contextlib.contextmanager
def unfolded() -> Iterator[None]:
    """Decoder cells keep their batch norms."""
    fold = DecoderCell.fold
    DecoderCell.fold = lambda self: None  # type: ignore[assignment,method-assign,return-value]
    try:
        yield
    finally:
        DecoderCell.fold = fold  # type: ignore[method-assign]


def held(device: torch.device) -> float:
    """Most memory held so far, in MB: of the device, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def work(model: Any, batch: Batch, draws: int) -> tuple[float, float]:
    """FLOPs and bytes of one draw and of another one give those of ``draws``: what is done once is counted once.

    Bytes are a write and a read of the outputs of all convolutions.
    """

    def count(n: int) -> tuple[float, float]:
        elements = flops = 0

        def add(layer: nn.Conv2d, inputs: Any, output: Any) -> None:
            nonlocal elements, flops
            elements += output.numel()
            flops += 2 * output.numel() * layer.weight[0].numel()  # a product and a sum for every weight of a filter

        hooks = [layer.register_forward_hook(add) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
        model.log_weights(batch, n, 0)
        for hook in hooks:
            hook.remove()
        return float(flops), 2.0 * 4 * elements

    one, two = count(1), count(2)
    flops, moved = (a + (draws - 1) * (b - a) for a, b in zip(one, two, strict=True))
    return flops, moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--presets", default="fusionmnist,tiny")
    parser.add_argument("--models", default="fusionvae,cvae")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    speeds = machine(device)
    print(
        f"{device}, torch {torch.__version__}, {arguments.threads} thread(s): "
        f"{speeds[0] / 1e9:.0f} GFLOP/s, {speeds[1] / 1e9:.1f} GB/s; {arguments.images} images, K = {arguments.draws}"
    )
    print(
        f"{'model':<16}{'preset':<14}{'N':>2}{'draws/s':>10}{'naive/s':>10}{'ratio':>8}{'unfolded/s':>12}"
        f"{'ours/floor':>12}{'MB':>7}" + (f"{'compiled/s':>12}{'ratio':>8}{'first s':>9}" if arguments.compile else "")
    )
    for preset in arguments.presets.split(","):
        for name in arguments.models.split(","):
            for inputs in (0, 3):
                print(f"{name:<16}{preset:<14}{row(name, preset, inputs, arguments, device, speeds)}", flush=True)


def row(name: str, preset: str, inputs: int, arguments: Any, device: torch.device, speeds: tuple[float, float]) -> str:
    """One line of the table after the names."""
    model = create_model(name, SPECS[preset], preset).to(device, memory_format=torch.channels_last).eval()
    batch = batch_of(SPECS[preset], arguments.images, device).with_inputs(inputs)
    total = arguments.images * arguments.draws

    def ours() -> None:
        model.log_weights(batch, arguments.draws, 0)

    once, most = best(ours, arguments.repeats, device), held(device)
    often = best(lambda: naive(model, batch, arguments.draws), arguments.repeats, device)
    with unfolded():
        plain = best(ours, arguments.repeats, device)
        needed = work(model, batch, arguments.draws)
    floor = max(a / b for a, b in zip(needed, speeds, strict=True))
    line = f"{inputs:>2}{total / once:>10.0f}{total / often:>10.0f}{often / once:>8.2f}{total / plain:>12.0f}"
    line += f"{once / floor:>12.1f}{most:>7.0f}"
    if arguments.compile and compile_blocks(model, device):
        begun = time.perf_counter()
        ours()
        waited = time.perf_counter() - begun
        fast = best(ours, arguments.repeats, device)
        line += f"{total / fast:>12.0f}{once / fast:>8.2f}{waited:>9.0f}"
    return line


if __name__ == "__main__":
    main()
