"""The figure of a masked set: inputs, target, the mean of each model's draws, and some of the draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.interfaces import DatasetLike
from fusionbench.core.vector_figures import LINE, POINTS, SOFT, WIDTHS, FigurePage, Kind, Typeface, typesetting
from fusionbench.evaluation.masked import sample_grid
from fusionbench.training.run import read_run

MAX_DRAWS, MAX_SAMPLES = 1000, 40
_GROUP_GAP = 3.0  # gaps between images that stand between groups of columns


@dataclass(frozen=True)
class SampleOptions:
    """What is shown and how.

    Attributes:
        ids: indices of samples in the split.
        inputs: numbers of inputs, a line each; none means 0 to all for one sample, and one input for several.
        draws: of each model that draws, after the mean of the first ``mean_of``; 0 of them shows no mean.
    """

    ids: Sequence[int] = (0,)
    inputs: Sequence[int] = ()
    draws: int = 3
    mean_of: int = 100
    seed: int = 0
    split: str = "test"
    width: float = WIDTHS["double"]
    points: float = 8.0
    typeface: Typeface = "serif"
    dpi: float = 300.0
    gap: float = 0.03

    def __post_init__(self) -> None:
        if not (1 <= self.draws <= 20 and 0 <= self.mean_of <= MAX_DRAWS):
            raise UsageError(f"--draws {self.draws}, --mean-of {self.mean_of}: give 1 to 20, and 0 to {MAX_DRAWS}")


@dataclass(frozen=True)
class _Group:
    """Columns below one head, and their own heads; ``images``: (samples, numbers of inputs, columns, h, w[, 3])."""

    title: str
    heads: list[str]
    images: np.ndarray


def draw_sample_figure(
    runs: Sequence[str], dataset: DatasetLike, kind: Kind, options: SampleOptions | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The figure as a file, and what it shows, JSON-ready.

    Args:
        runs: folders of runs, each ``FOLDER`` or ``TITLE=FOLDER``.

    Raises:
        UsageError: a sample or a number of inputs that the data set does not have, or no targets.
        DataError: no finished run there.
    """
    options = options or SampleOptions()
    if not getattr(dataset, "has_targets", True):
        raise UsageError(f"{dataset.name} has no targets; `fusionbench paper figure` shows registered pairs")
    views, size = dataset.spec.views, dataset.size(options.split)
    if not 1 <= len(options.ids) <= MAX_SAMPLES:
        raise UsageError(f"--ids names {len(options.ids)} samples; a figure shows 1 to {MAX_SAMPLES}")
    for index in options.ids:
        if not 0 <= index < size:
            raise UsageError(f"--ids {index}: {dataset.name} has samples 0 to {size - 1} in {options.split}")
    counts = list(options.inputs) or ([1] if len(options.ids) > 1 else list(range(views + 1)))
    for count in counts:
        if not 0 <= count <= views:
            raise UsageError(f"--inputs {count}: {dataset.name} has 0 to {views} inputs")
    groups: list[_Group] = []
    named = [_named(text) for text in runs]
    for title, folder in named:
        drawn = max(options.draws, options.mean_of)
        grid = sample_grid(folder, dataset, list(options.ids), split=options.split, draws=drawn, seed=options.seed)
        if not groups:
            groups += _given(grid, counts)
        made = grid["draws"][:, counts]
        heads = [""]
        if made.shape[2] > 1:
            shown = made[:, :, : options.draws]
            heads = [f"draw {number + 1}" for number in range(options.draws)]
            if options.mean_of:
                mean = made[:, :, : options.mean_of].mean(axis=2, keepdims=True).round().astype(np.uint8)
                shown, heads = np.concatenate([mean, shown], axis=2), ["mean", *heads]
            made = shown
        groups.append(_Group(title, heads, made))
    with typesetting(options.typeface, options.points):
        content, height = _draw(groups, counts, kind, options)
    record = {
        "width": round(options.width, 4),
        "height": round(height, 4),
        "dataset": dataset.name,
        "split": options.split,
        "ids": list(options.ids),
        "inputs": counts,
        "models": [{"title": title, "run": str(folder)} for title, folder in named],
        "draws": options.draws,
        "mean_of": options.mean_of,
        "seed": options.seed,
    }
    return content, record


def _named(text: str) -> tuple[str, Path]:
    title, equals, folder = text.partition("=")
    if not equals or Path(text).exists():
        from fusionbench.models import MODELS

        return MODELS.get(read_run(text).info.model).title, Path(text)
    if not title or not folder:
        raise UsageError(f"{text!r}: give RUN, or TITLE=RUN")
    return title, Path(folder)


def _given(grid: dict[str, np.ndarray], counts: Sequence[int]) -> list[_Group]:
    """The columns of inputs and of the target: the same images on every line; those not given are drawn as frames."""
    views, targets = grid["views"], grid["targets"]
    repeated = [np.repeat(images[:, None], len(counts), axis=1) for images in (views, targets[:, None])]
    heads = [str(number + 1) for number in range(views.shape[1])]
    return [_Group("Inputs", heads, repeated[0]), _Group("Target", [""], repeated[1])]


def _draw(groups: Sequence[_Group], counts: Sequence[int], kind: Kind, options: SampleOptions) -> tuple[bytes, float]:
    gap, line = options.gap, options.points * 1.25 / POINTS
    left = line * 3 if len(counts) > 1 else 0.0
    columns = sum(len(group.heads) for group in groups)
    gaps = (columns - len(groups)) + _GROUP_GAP * (len(groups) - 1)
    width = (options.width - left - gaps * gap) / columns
    shape = groups[0].images.shape[3:5]
    height = width * shape[0] / shape[1]
    second = any(any(group.heads) for group in groups)
    top = line * (2 if second else 1)
    samples = len(options.ids)
    block = len(counts) * (height + gap) + (gap * _GROUP_GAP if len(counts) > 1 else 0.0)
    page = FigurePage(options.width, top + samples * block - gap, options.dpi)
    x = left
    for group in groups:
        wide = len(group.heads) * (width + gap) - gap
        page.text(x + wide / 2, 0.75 * line, group.title, options.points, room=wide + gap * 2)
        for column, head in enumerate(group.heads):
            at = x + column * (width + gap)
            page.text(at + width / 2, 1.75 * line, head, options.points - 1.5, room=width, colour=SOFT)
            for sample in range(samples):
                for place, count in enumerate(counts):
                    y = top + sample * block + place * (height + gap)
                    if group is groups[0] and column >= count:
                        page.border(at, y, width, height, LINE, 0.5)
                        continue
                    page.image(at, y, width, height, group.images[sample, place, column])
        x += wide + _GROUP_GAP * gap
    if len(counts) > 1:
        for sample in range(samples):
            for place, count in enumerate(counts):
                y = top + sample * block + place * (height + gap) + height / 2
                page.text(0.0, y, f"N = {count}", options.points - 1, across="left", along="center")
    return page.save(kind), page.height
