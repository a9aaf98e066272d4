"""How scores depend on the number of draws: NLL and MSE_min of the first 1, 2, 4, … K draws of one evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.interfaces import DatasetLike, can_sample, has_likelihood
from fusionbench.core.io import write_bytes
from fusionbench.core.progress import progress
from fusionbench.metrics.mse_min import squared_errors
from fusionbench.metrics.nll import nll
from fusionbench.training.run import read_run
from fusionbench.training.runtime import find_device

COLUMNS = ("inputs", "draws", "nll", "mse_min")


def draw_curves(
    run: str | Path,
    dataset: DatasetLike,
    *,
    draws: int,
    seed: int = 0,
    split: str = "test",
    device: str = "auto",
    limit: int | None = None,
    batch: int = 32,
) -> list[tuple[int, int, float, float]]:
    """Rows (N, k, NLL in nats, MSE_min) for every N and k = 1, 2, 4, … ``draws``, means over images.

    The first k draws of an image are those that an evaluation with K = k would make.

    Raises:
        UsageError: a model without latents, whose scores do not depend on K.
    """
    import torch

    model = read_run(run).load_model(dataset.spec, find_device(device))
    if not can_sample(model) or not has_likelihood(model):
        raise UsageError(f"{model.title} has nothing to draw: its scores do not depend on the number of draws")
    counts = steps_to(draws)
    ids = np.arange(dataset.size(split) if limit is None else min(limit, dataset.size(split)))
    stream = dataset.stream(split, device=find_device(device), live=False)
    likelihoods: dict[tuple[int, int], list[np.ndarray]] = {}
    errors: dict[tuple[int, int], list[np.ndarray]] = {}
    with progress(f"curves of {model.title}", len(ids) * (dataset.spec.views + 1), "images") as bar, torch.no_grad():
        for begin in range(0, len(ids), batch):
            full = stream.batch(ids[begin : begin + batch], epoch=0)
            for inputs in range(dataset.spec.views + 1):
                given = full.with_inputs(inputs)
                weights = model.log_weights(given, draws, seed).cpu().numpy()
                squared = squared_errors(model.sample(given, draws, seed), given.target)
                for count in counts:
                    likelihoods.setdefault((inputs, count), []).append(nll(weights[:count]))
                    errors.setdefault((inputs, count), []).append(squared[:count].min(axis=0))
                bar.advance(len(given))
    return [
        (*key, float(np.concatenate(likelihoods[key]).mean()), float(np.concatenate(errors[key]).mean()))
        for key in sorted(likelihoods)
    ]


def steps_to(draws: int) -> list[int]:
    """1, 2, 4, … and ``draws`` itself."""
    return sorted({*(1 << power for power in range(draws.bit_length()) if 1 << power <= draws), draws})


def save_curves(rows: Sequence[tuple[int, int, float, float]], path: Path) -> None:
    """Write the rows as CSV, atomically."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([COLUMNS, *rows])
    write_bytes(path, buffer.getvalue().encode())
