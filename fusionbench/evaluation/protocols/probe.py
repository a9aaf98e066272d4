"""``probe/1``: how much of what labels show a fixed, simple reader finds in fused images, without training noise.

    pair ──► model ──► fused image ──► fixed filters ──► random layer ──► ridge regression ──► a score for every pixel
                                                      four folds of scenes        └─ against the label maps

Per class: average precision over pixels (``ap@person``) and intersection over union at the best threshold
(``iou@person``), of each scene, whose pixels are taken together; ``ap`` and ``iou`` are the means over the classes that
a scene shows. A scene, and not a frame, is one value: neighbouring frames are no independent evidence. With ``colour``
the same again of Y, Cb and Cr, Cb and Cr of the visible image (``ap_colour``): what ``fusionbench fuse`` gives.

The reader is small and the same for all: a value says what can be read easily, not what the best detector finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from fusionbench.core.errors import CannotMeasure, DataError, UsageError
from fusionbench.core.interfaces import can_fuse
from fusionbench.core.progress import progress
from fusionbench.evaluation.protocols.base import Options as BaseOptions
from fusionbench.evaluation.protocols.base import SimpleProtocol
from fusionbench.evaluation.protocols.flags import Flag
from fusionbench.metrics.undefined import NotAvailable
from fusionbench.results.schema import ProtocolIdentity, Score, summarise

if TYPE_CHECKING:
    from fusionbench.core.interfaces import Model
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.labelled_set import LabelledSet
    from fusionbench.evaluation.probe_features import RandomLayer

STEP = 2  # every second pixel of every second row is looked at
Features = list[list[np.ndarray]]  # of every channel and frame
ClassName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")]


class ProbeOptions(BaseOptions, kw_only=True, frozen=True):
    """``classes``: what is looked for; ``folds``: parts that scenes are dealt to; ``colour``: with colour, too."""

    classes: Annotated[tuple[ClassName, ...], msgspec.Meta(min_length=1, max_length=32)] = ("person", "car")
    folds: Annotated[int, msgspec.Meta(ge=2, le=100)] = 4
    colour: bool = True

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes):
            raise UsageError("a class of the probe is named twice")


class Probe(SimpleProtocol):
    """The protocol ``probe/1``; ``open`` takes a source of labelled pairs, or a folder with ir, vi and labels."""

    name, version, title = "probe", "1", "downstream probe"
    about = (
        "A model fuses labelled pairs; a fixed reader is trained on the fused images and finds classes in other scenes."
    )
    columns = ("ap", "ap@*", "iou", "iou@*", "ap_colour", "ap_colour@*", "iou_colour", "iou_colour@*")
    titles = {  # noqa: RUF012 - a constant
        "ap": "pixel AP",
        "iou": "best IoU",
        "ap_colour": "pixel AP, in colour",
        "iou_colour": "best IoU, in colour",
    }
    Options = ProbeOptions
    takes = frozenset({"source_dir", "strict"})
    flags = {  # noqa: RUF012 - a constant
        "classes": Flag("Classes that are looked for.", ("--classes",), form="value", metavar='["person", "car"]'),
        "folds": Flag("Parts that scenes are dealt to; each is tested by what the others teach."),
        "colour": Flag(
            "Probe fused images in the colour of the visible image, too.", ("--colour/--no-colour",), "toggle"
        ),
    }
    lacks = "probes one fused image a pair"
    references = ("stack",)
    counted = "scenes"

    def identity(self, options: ProbeOptions, data: LabelledSet) -> ProtocolIdentity:
        """The options, with classes as a list, as JSON has it."""
        rules = super().identity(options, data)
        rules.params["classes"] = list(options.classes)
        return rules

    def open(
        self,
        data: str,
        options: ProbeOptions,
        *,
        split: str | None = None,
        source_dir: Path | None = None,
        strict: bool = False,
    ) -> LabelledSet:
        """As :func:`fusionbench.evaluation.labelled_set.open_labelled`; ``limit`` counts scenes."""
        from fusionbench.evaluation.labelled_set import open_labelled

        return open_labelled(data, split, source_dir, limit=options.limit, strict=strict)

    def spec(self, data: LabelledSet) -> ImageSpec:
        """The shape of the first pair: pairs may have any size."""
        from fusionbench.evaluation.pair_sheet import pair_spec

        return pair_spec(data.pairs)

    def metrics(self, model: Model) -> dict[str, str]:
        return {"ap": "1", "iou": "1", "ap_colour": "1", "iou_colour": "1"}

    def reference(self, name: str, data: LabelledSet) -> Model:
        """``stack``: both sources as two channels."""
        from fusionbench.evaluation.probe_references import Stack

        return Stack(self.spec(data))

    def measure(
        self, model: Model, data: LabelledSet, options: ProbeOptions
    ) -> tuple[dict[str, Score], dict[str, Sequence[Any]]]:
        if not can_fuse(model):
            raise UsageError(f"{model.title} has no fuse: the protocol {self.key} probes one fused image a pair")
        fused = _fused_features(model, data)
        scores: dict[str, Score] = {}
        table: dict[str, Sequence[Any]] = {"id": data.scene_names}
        _fill(scores, table, data, options, fused, "")
        if options.colour:
            chroma = _chroma_features(data)
            if chroma is None:
                _fill_without_colour(scores, table, data, options)
            else:
                _fill(scores, table, data, options, fused + chroma, "_colour")
        return scores, table


def _fused_features(model: Any, data: LabelledSet) -> Features:
    """Filter features of what a model makes of every frame, channel by channel."""
    import torch

    from fusionbench.evaluation.pairs import to_batch, to_luma

    device = next((value.device for value in model.state_dict().values()), torch.device("cpu"))
    channels: list[list[np.ndarray]] = []
    with progress(f"fuse with {model.title}", len(data), "pairs") as bar:
        for frame in range(len(data)):
            pair = data.pair(frame)
            with torch.no_grad():
                fused = model.fuse(to_batch(pair, frame, device))
            if tuple(fused.shape[2:]) != pair.shape[1:] or not 1 <= fused.shape[1] <= 2:
                raise CannotMeasure(f"{model.title}: gives {tuple(fused.shape)} for a pair of {pair.shape[1:]} pixels")
            channels = channels or [[] for _ in range(fused.shape[1])]
            for place, images in enumerate(channels):
                images.append(to_luma(fused[:, place : place + 1], stretch=False))
            bar.advance()
    return [_features(images) for images in channels]


def _features(images: list[np.ndarray]) -> list[np.ndarray]:
    from fusionbench.evaluation.probe_features import Levels, filter_features

    levels = Levels.of(images)
    return [filter_features(image, levels, STEP) for image in images]


def _chroma_features(data: LabelledSet) -> Features | None:
    """Features of Cb and Cr of every frame; None where no visible image has colour. Kept for the next row."""
    key = (data.identity.id, tuple(data.frames))
    if key not in _chroma:
        _chroma.clear()
        found = [data.chroma(frame) for frame in range(len(data))]
        if all(one is None for one in found):
            _chroma[key] = None
        else:
            sizes = [data.pair(frame).shape[1:] for frame in range(len(data))]
            grey = [
                np.full((2, *size), 128, np.uint8) if one is None else one
                for one, size in zip(found, sizes, strict=True)
            ]
            _chroma[key] = [_features([one[place] for one in grey]) for place in (0, 1)]
    return _chroma[key]


_chroma: dict[tuple[str, tuple[int, ...]], Features | None] = {}  # of the data that were probed last


def _fill(
    scores: dict[str, Score],
    table: dict[str, Sequence[Any]],
    data: LabelledSet,
    options: ProbeOptions,
    features: Features,
    tail: str,
) -> None:
    """The scores of one kind of image, and their columns scene by scene."""
    from fusionbench.evaluation.probe_head import Folds, precision_and_overlap, score_frames

    folds = Folds.by_scene(data.stems, data.scenes, options.folds)
    if not all(folds.trains):
        raise DataError(
            f"{data.pairs.name}: all frames are near tested ones by their names; take fewer folds, or more frames"
        )
    frames = [np.concatenate([channel[i] for channel in features], axis=1) for i in range(len(data))]
    truth = [data.truth(frame, options.classes, STEP) for frame in range(len(data))]
    found = score_frames(_layer_of(frames, data, tail), truth, folds)
    places = [np.flatnonzero([scene == name for scene in data.scenes]) for name in data.scene_names]
    values = np.full((2, len(options.classes), len(places)), np.nan)
    pooled = np.full((2, len(options.classes), len(folds.trains)), np.nan)
    for column in range(len(options.classes)):
        for kind, groups in (
            (values, places),
            (pooled, [np.flatnonzero(folds.of == k) for k in range(pooled.shape[2])]),
        ):
            for place, members in enumerate(groups):
                shown = np.concatenate([truth[i][:, column] for i in members])
                ranked = np.concatenate([found[i][:, column] for i in members])
                kind[:, column, place] = precision_and_overlap(ranked, shown)
    for place, metric in enumerate(("ap", "iou")):
        of_classes = values[place]
        shown_classes = np.isfinite(of_classes)
        counts = shown_classes.sum(0)
        mean = np.where(counts > 0, np.where(shown_classes, of_classes, 0.0).sum(0) / np.maximum(counts, 1), np.nan)
        columns = {f"{metric}{tail}": (mean, None)}
        columns |= {
            f"{metric}{tail}@{name}": (of_classes[k], pooled[place, k]) for k, name in enumerate(options.classes)
        }
        for key, (column_values, of_folds) in columns.items():
            name = key.partition("@")[2]
            why = NotAvailable(f"no {name or 'class'} is labelled in this scene", "sources")
            lacking = [scene for scene, v in zip(data.scene_names, column_values, strict=True) if not np.isfinite(v)]
            extra = {} if of_folds is None else {"folds": [None if np.isnan(v) else float(v) for v in of_folds]}
            scores[key] = summarise(column_values, "higher", "1", {why: lacking} if lacking else None, **extra)
            table[key] = column_values.tolist()


def _layer_of(frames: list[np.ndarray], data: LabelledSet, tail: str) -> Any:
    from fusionbench.evaluation.probe_features import RandomLayer

    layer: RandomLayer = RandomLayer.of(frames)
    return lambda frame: layer.hidden(frames[frame])


def _fill_without_colour(
    scores: dict[str, Score], table: dict[str, Sequence[Any]], data: LabelledSet, options: ProbeOptions
) -> None:
    """Colour columns of a set whose visible images are grey: no values, and why."""
    nothing = np.full(len(data.scene_names), np.nan)
    why = {NotAvailable("the visible images are grey", "sources"): data.scene_names}
    for metric in ("ap_colour", "iou_colour"):
        for key in (metric, *(f"{metric}@{name}" for name in options.classes)):
            scores[key] = summarise(nothing, "higher", "1", why)
            table[key] = nothing.tolist()


PROTOCOL = Probe()
