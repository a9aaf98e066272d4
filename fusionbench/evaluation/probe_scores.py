"""Scores of the downstream probe: what a model makes of every frame, read and compared with the label maps by scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import CannotMeasure, DataError
from fusionbench.core.progress import progress
from fusionbench.evaluation.partial_scores import partial_scores
from fusionbench.evaluation.probe_features import Levels, RandomLayer, filter_features
from fusionbench.evaluation.probe_head import Folds, precision_and_overlap, score_frames
from fusionbench.metrics.undefined import NotAvailable
from fusionbench.results.schema import Score, summarise

if TYPE_CHECKING:
    from fusionbench.core.interfaces import Fuses
    from fusionbench.evaluation.kept_rows import KeptRows
    from fusionbench.evaluation.labelled_set import LabelledSet

STEP = 2  # every second pixel of every second row is scored
MOST_CHANNELS = 2  # of what a model gives
Channels = list[list[np.ndarray]]  # of every channel the frames: images uint8 (h, w), or features int16 (pixels, 19)


def fused_images(model: Fuses, data: LabelledSet) -> Channels:
    """What a model makes of every frame, channel by channel, rounded as it is scored elsewhere.

    Raises:
        CannotMeasure: it gives another size, or more than two channels.
    """
    import torch

    from fusionbench.evaluation.pairs import to_batch, to_luma

    device = next((value.device for value in model.state_dict().values()), torch.device("cpu"))
    kept: KeptRows[list[np.ndarray]] = partial_scores().rows("fused", data.stems, list[np.ndarray])
    with progress(f"fuse with {model.title}", len(data), "pairs", len(kept.rows)) as bar:
        for frame in range(len(kept.rows), len(data)):
            kept.stop_in_time(f"{model.title} on {data.identity.name}")
            pair = data.pair(frame)
            with torch.no_grad():
                fused = model.fuse(to_batch(pair, frame, device))
            if tuple(fused.shape[2:]) != pair.shape[1:] or not 1 <= fused.shape[1] <= MOST_CHANNELS:
                raise CannotMeasure(f"{model.title}: gives {tuple(fused.shape)} for a pair of {pair.shape[1:]} pixels")
            kept.add([[to_luma(fused[:, place : place + 1], stretch=False) for place in range(fused.shape[1])]])
            bar.advance()
    return [list(images) for images in zip(*kept.rows, strict=True)]


def chroma_images(data: LabelledSet) -> Channels | None:
    """Cb and Cr of every frame, grey where a visible image has none; None where no visible image has colour."""
    found = [data.chroma(frame) for frame in range(len(data))]
    if all(one is None for one in found):
        return None
    grey = [np.full(data.pair(i).shape, 128, np.uint8) if one is None else one for i, one in enumerate(found)]
    return [[one[place] for one in grey] for place in (0, 1)]


def features_of(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Filter features of one channel of every frame."""
    levels = Levels.of(images)
    return [filter_features(image, levels, STEP) for image in images]


def chroma_features(data: LabelledSet) -> Channels | None:
    """Features of :func:`chroma_images`; kept for the next row that is probed on the same frames."""
    key = (data.identity.id, tuple(data.frames))
    if key not in _kept:
        _kept.clear()
        images = chroma_images(data)
        _kept[key] = None if images is None else [features_of(channel) for channel in images]
    return _kept[key]


_kept: dict[tuple[str, tuple[int, ...]], Channels | None] = {}


def by_closed_form(features: Channels, data: LabelledSet, classes: Sequence[str], folds: Folds) -> list[np.ndarray]:
    """Scores (pixels, classes) of every frame by the closed-form head on filter features."""
    frames = [np.concatenate(channels, axis=1) for channels in zip(*features, strict=True)]
    layer = RandomLayer.of(frames)
    truth = [data.truth(frame, classes, STEP) for frame in range(len(data))]
    return score_frames(lambda frame: layer.hidden(frames[frame]), truth, folds)


def by_unet(
    images: Channels, data: LabelledSet, classes: Sequence[str], folds: Folds, *, steps: int, seed: int
) -> list[np.ndarray]:
    """Scores (pixels, classes) of every frame by a small U-Net that saw whole images."""
    from fusionbench.evaluation.measuring_device import measuring_device
    from fusionbench.evaluation.probe_unet import unet_scores

    truth = [data.truth(frame, classes, 1).reshape(*image.shape, len(classes)) for frame, image in enumerate(images[0])]
    found = unet_scores(images, truth, folds, steps=steps, seed=seed, device=measuring_device())
    return [one[::STEP, ::STEP].reshape(-1, len(classes)) for one in found]


def folds_of(data: LabelledSet, count: int) -> Folds:
    """The folds of the frames.

    Raises:
        DataError: a single scene, or a fold that has nothing to train on.
    """
    if len(data.scene_names) < 2:
        raise DataError(
            f"{data.pairs.name}: one scene by the names of its frames; the probe tests on scenes it did not train on"
        )
    folds = Folds.by_scene(data.stems, data.scenes, count)
    if not all(folds.trains):
        raise DataError(
            f"{data.pairs.name}: all frames are near tested ones by their names; take fewer folds, or more frames"
        )
    return folds


def fill(
    scores: dict[str, Score],
    table: dict[str, Sequence[Any]],
    data: LabelledSet,
    classes: Sequence[str],
    folds: Folds,
    runs: Sequence[list[np.ndarray]],
    tail: str,
) -> None:
    """Add the scores of one kind of image, and their columns scene by scene; of several runs their mean.

    Args:
        runs: of every training seed, the scores (pixels, classes) of every frame.
        tail: of keys: "" or "_colour".
    """
    truth = [data.truth(frame, classes, STEP) for frame in range(len(data))]
    scenes = [np.flatnonzero([scene == name for scene in data.scenes]) for name in data.scene_names]
    tested = [np.flatnonzero(folds.of == fold) for fold in range(len(folds.trains))]
    by_scene = np.array([_measured(found, truth, scenes) for found in runs])  # (runs, 2, classes, scenes)
    by_fold = np.array([_measured(found, truth, tested) for found in runs])
    for place, metric in enumerate(("ap", "iou")):
        of_runs = np.stack([_mean_of_classes(run[place]) for run in by_scene])
        _add(scores, table, data, f"{metric}{tail}", "class", of_runs, None)
        for k, name in enumerate(classes):
            key = f"{metric}{tail}@{name}"
            _add(scores, table, data, key, name, by_scene[:, place, k], by_fold[:, place, k].mean(0))


def fill_without_colour(
    scores: dict[str, Score], table: dict[str, Sequence[Any]], data: LabelledSet, classes: Sequence[str]
) -> None:
    """Colour columns of a set whose visible images are grey: no values, and why."""
    nothing = np.full(len(data.scene_names), np.nan)
    why = {NotAvailable("the visible images are grey", "sources"): data.scene_names}
    for metric in ("ap_colour", "iou_colour"):
        for key in (metric, *(f"{metric}@{name}" for name in classes)):
            scores[key] = summarise(nothing, "higher", "1", why)
            table[key] = nothing.tolist()


def _measured(found: list[np.ndarray], truth: list[np.ndarray], groups: Sequence[np.ndarray]) -> np.ndarray:
    """Average precision and overlap (2, classes, groups) of groups of frames; NaN where a class is not there."""
    values = np.full((2, truth[0].shape[1], len(groups)), np.nan)
    for column in range(truth[0].shape[1]):
        for place, members in enumerate(groups):
            shown = np.concatenate([truth[i][:, column] for i in members])
            ranked = np.concatenate([found[i][:, column] for i in members])
            values[:, column, place] = precision_and_overlap(ranked, shown)
    return values


def _mean_of_classes(values: np.ndarray) -> np.ndarray:
    """(scenes,): the mean over the classes that a scene shows, of (classes, scenes)."""
    there = np.isfinite(values)
    counts = there.sum(0)
    total: np.ndarray = np.where(there, values, 0.0).sum(0)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _add(
    scores: dict[str, Score],
    table: dict[str, Sequence[Any]],
    data: LabelledSet,
    key: str,
    name: str,
    of_runs: np.ndarray,
    of_folds: np.ndarray | None,
) -> None:
    """One score of values (runs, scenes) and their column, the mean of the runs."""
    values = of_runs.mean(0)
    lacking = [scene for scene, value in zip(data.scene_names, values, strict=True) if not np.isfinite(value)]
    why = {NotAvailable(f"no {name} is labelled in this scene", "sources"): lacking} if lacking else None
    extra: dict[str, Any] = {}
    if of_folds is not None:
        extra["folds"] = [None if np.isnan(value) else float(value) for value in of_folds]
    if len(of_runs) > 1:
        extra["seeds"] = [float(np.nanmean(run)) if np.isfinite(run).any() else None for run in of_runs]
    scores[key] = summarise(values, "higher", "1", why, **extra)
    table[key] = values.tolist()
