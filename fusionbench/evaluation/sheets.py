"""Sheets of one model: what it makes of 0..V inputs, and what is left of a target that it is given.

The second is as Figures 7 to 9 of the FusionVAE paper (arXiv 2209.11277): the target itself is the input, so that the
sheet shows what the latents can carry, whereas a sample sheet shows what the views tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.figures import reconstruction_sheet, sample_sheet
from fusionbench.core.interfaces import DatasetLike, can_fuse, can_reconstruct
from fusionbench.core.io import write_bytes
from fusionbench.core.types import Batch
from fusionbench.evaluation.masked import _to_uint8, sample_grid
from fusionbench.evaluation.subject import Scorable, loaded
from fusionbench.results.schema import Result, save

SAMPLES, RECONSTRUCTIONS = "samples.png", "reconstructions.png"
SHOWN, RECONSTRUCTED = 4, 8  # samples on either sheet


def reconstruction_grid(
    model: Scorable, dataset: DatasetLike, ids: Sequence[int], *, split: str = "test"
) -> dict[str, np.ndarray]:
    """Targets and their reconstructions: uint8 ``targets`` (n,H,W[,C]) and ``made`` (n,M,H,W[,C]).

    A model with latents decodes the mean of its posterior given the target, with the first 0..V views beside it:
    M = V+1, or M = 1 where the views change nothing, as for q(z|y) with a decoder that sees no views. A model without
    latents gets the target as its only view. ``model`` is a model object, a run or its folder.

    Raises:
        UsageError: a data set without targets, or a model that makes no images.
    """
    model, _ = loaded(model, dataset.spec)
    device = next((value.device for value in model.state_dict().values()), torch.device("cpu"))
    batch = dataset.stream(split, device=device, live=False).batch(np.asarray(ids), epoch=0)
    if batch.target is None:
        raise UsageError(f"{dataset.name} has no targets, so there is nothing to reconstruct")
    with torch.no_grad():
        if can_reconstruct(model):
            counts = range(dataset.spec.views + 1)
            images = [_to_uint8(model.reconstruct(batch.with_inputs(count))) for count in counts]
            if all(np.array_equal(image, images[0]) for image in images):
                images = images[:1]
        elif can_fuse(model):
            images = [_to_uint8(model.fuse(_target_as_view(batch)))]
        else:
            raise UsageError(f"{model.title} makes no images, so there is nothing to show")
    return {"targets": _to_uint8(batch.target), "made": np.stack(images, axis=1)}


def _target_as_view(batch: Batch) -> Batch:
    assert batch.target is not None
    views = batch.views.clone()
    views[:, 0] = batch.target
    return replace(batch, views=views).with_inputs(1)


def spread(size: int, count: int) -> list[int]:
    """``count`` indices spread evenly over ``size`` samples, all of them when there are fewer."""
    count = min(count, size)
    return [number * size // count for number in range(count)]


def save_sheets(model: Scorable, dataset: DatasetLike, result: Result, out: str | Path) -> list[Path]:
    """Draw both sheets of the model of a result into its folder below ``out`` and name them in ``result.json``.

    They show samples of those that were scored and are no part of a result's identity. Returns their paths.

    Raises:
        UsageError: as :func:`reconstruction_grid`.
    """
    folder, identity = result.folder(out), result.identity
    split, scored = identity.dataset.split, identity.dataset.n
    about = f"{dataset.name} {dataset.version} · {split} split · result {result.id[:12]}"
    title = result.title or identity.model.name

    shown = spread(scored, SHOWN)
    grid = sample_grid(model, dataset, shown, split=split, seed=identity.protocol.seed)
    many = grid["draws"].shape[2] > 1
    samples = sample_sheet(
        grid["views"],
        grid["targets"],
        {title: grid["draws"]},
        title=f"What {title} makes of N views",
        caption=f"{about} · {'draws from the prior given the views' if many else 'one image, no draws'}",
        labels=[f"sample {index}" for index in shown],
    )
    shown = spread(scored, RECONSTRUCTED)
    again = reconstruction_grid(model, dataset, shown, split=split)
    reconstructions = reconstruction_sheet(
        again["targets"],
        {title: again["made"]},
        title=f"What {title} keeps of a target",
        caption=f"{about} · the target is given",
        labels=[str(index) for index in shown],
    )
    write_bytes(folder / SAMPLES, samples)
    write_bytes(folder / RECONSTRUCTIONS, reconstructions)
    result.pictures = {
        f"What {title} makes of 0 to {dataset.spec.views} inputs": SAMPLES,
        f"What {title} keeps of a target that it is given": RECONSTRUCTIONS,
    }
    save(result, out)
    return [folder / SAMPLES, folder / RECONSTRUCTIONS]


def has_sheets(result: Result, out: str | Path) -> bool:
    """Whether both sheets of a result lie in its folder."""
    wanted = {SAMPLES, RECONSTRUCTIONS}
    return wanted <= set(result.pictures.values()) and all((result.folder(out) / name).is_file() for name in wanted)
