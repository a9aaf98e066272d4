"""``detection/1``: mAP@50 of a detector that is trained on a method's fused images, as fusion papers report it.

    training pairs ──► model ──► fused images ──► a torchvision detector, seed by seed ──┐
    test pairs ──────► model ──► fused images ───────────────────────────────────────────┴─► boxes ──► mAP@50

``map50`` is the mean over classes of the average precision over all test images, ``ap50@CLASS`` that of a class; the
value of an image is its part by the jackknife (:mod:`fusionbench.evaluation.detection_scores`), the mean over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import CannotMeasure, UsageError
from fusionbench.core.interfaces import can_fuse
from fusionbench.core.progress import progress
from fusionbench.evaluation.partial_scores import partial_scores
from fusionbench.evaluation.protocols.base import Options as BaseOptions
from fusionbench.evaluation.protocols.base import SimpleProtocol
from fusionbench.evaluation.protocols.flags import Flag
from fusionbench.results.schema import ProtocolIdentity, Score, summarise

if TYPE_CHECKING:
    from fusionbench.core.interfaces import Model
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.box_set import BoxSet
    from fusionbench.evaluation.kept_rows import KeptRows

Share = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class DetectionOptions(BaseOptions, kw_only=True, frozen=True):
    """``parts``: shares of scenes for training, validation and test, where a source has no such splits; ``colour``:
    detectors see the colour of the visible image; the others say how detectors are trained.
    """

    detector: Literal["mobilenet", "resnet50"] = "mobilenet"
    steps: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 2000
    batch: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 4
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    seeds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    parts: tuple[Share, Share, Share] = (8, 1, 1)
    colour: bool = True

    def __post_init__(self) -> None:
        if not self.parts[0] or not self.parts[2]:
            raise UsageError("parts: training and test need a share of the scenes, such as [8, 1, 1]")


class Detection(SimpleProtocol):
    """The protocol ``detection/1``; ``open`` takes a source of pairs with boxes, or with label maps."""

    name, version, title = "detection", "1", "detection in fused images"
    about = "A model fuses pairs with boxes; a detector is trained on its images and tested on those of other pairs."
    columns = ("map50", "ap50@*")
    titles = {"map50": "mAP@50", "ap50": "AP@50"}  # noqa: RUF012 - a constant
    Options = DetectionOptions
    takes = frozenset({"source_dir", "strict"})
    flags = {  # noqa: RUF012 - a constant
        "detector": Flag("Which Faster R-CNN of torchvision: mobilenet (small) or resnet50."),
        "steps": Flag("Steps of training of a detector."),
        "batch": Flag("Images of a step."),
        "rate": Flag("Learning rate of SGD after the warm-up."),
        "seeds": Flag("Detectors that are trained; their values are averaged."),
        "parts": Flag("Shares of scenes for training, validation, test.", form="value", metavar="[8, 1, 1]"),
        "colour": Flag("Detect in the colour of the visible image.", ("--colour/--no-colour",), "toggle"),
    }
    lacks = "detects in one fused image a pair"
    references = ("stack",)
    scores_functions = True

    def identity(self, options: DetectionOptions, data: BoxSet) -> ProtocolIdentity:
        """The options, with parts as a list, as JSON has it."""
        rules = super().identity(options, data)
        rules.params["parts"] = list(options.parts)
        return rules

    def open(
        self,
        data: str,
        options: DetectionOptions,
        *,
        split: str | None = None,
        source_dir: Path | None = None,
        strict: bool = False,
    ) -> BoxSet:
        """As :func:`fusionbench.evaluation.box_set.open_boxes`; ``limit`` counts tested pairs."""
        from fusionbench.evaluation.box_set import open_boxes

        return open_boxes(data, split, source_dir, parts=options.parts, limit=options.limit, strict=strict)

    def spec(self, data: BoxSet) -> ImageSpec:
        """The shape of the first pair: pairs may have any size."""
        from fusionbench.evaluation.pair_sheet import pair_spec

        return pair_spec(data.pairs)

    def metrics(self, model: Model) -> dict[str, str]:
        return {"map50": "1", "ap50": "1"}

    def reference(self, name: str, data: BoxSet) -> Model:
        """``stack``: infrared, visible and their mean as three channels."""
        from fusionbench.evaluation.probe_references import BothSources

        return BothSources(self.spec(data))

    def measure(
        self, model: Model, data: BoxSet, options: DetectionOptions
    ) -> tuple[dict[str, Score], dict[str, Sequence[Any]]]:
        from fusionbench.evaluation.detection import detect, need_torchvision, train_detector
        from fusionbench.evaluation.detection_scores import mean_precision
        from fusionbench.evaluation.measuring_device import measuring_device

        if not can_fuse(model):
            raise UsageError(f"{model.title} has no fuse: the protocol {self.key} detects in one fused image a pair")
        need_torchvision()
        training = _seen(model, data, data.trained, options.colour, "fused-training")
        testing = _seen(model, data, data.tested, options.colour, "fused-test")
        device = measuring_device()
        boxes, truth = [data.boxes(one) for one in data.trained], [data.boxes(one) for one in data.tested]
        kept: KeptRows[dict[str, list[float]]] = partial_scores().rows(
            "detectors", [str(seed) for seed in range(options.seeds)], dict[str, list[float]]
        )
        for seed in range(len(kept.rows), options.seeds):
            kept.stop_in_time(f"{model.title} on {data.pairs.name}")
            network = train_detector(
                training.__getitem__,
                boxes,
                len(data.classes),
                detector=options.detector,
                steps=options.steps,
                batch=options.batch,
                rate=options.rate,
                seed=seed,
                device=device,
            )
            found = []
            with progress("detect", len(testing), "images") as bar:
                for image in testing:
                    found.append(detect(network, image, device))
                    bar.advance()
            precision = mean_precision(found, truth, len(data.classes))
            kept.add([{key: values.tolist() for key, values in precision.items()}])
        runs = [{key: np.array(values) for key, values in run.items()} for run in kept.rows]
        scores: dict[str, Score] = {}
        table: dict[str, Sequence[Any]] = {"id": data.stems}
        for key in runs[0]:
            values = np.mean([run[key] for run in runs], axis=0)
            if not np.isfinite(values).all():
                continue  # no tested image shows the class
            metric, _, place = key.partition("@")
            named = f"{metric}@{data.classes[int(place)].lower()}" if place else metric
            extra: dict[str, Any] = {"seeds": [float(run[key].mean()) for run in runs]} if len(runs) > 1 else {}
            scores[named] = summarise(values, "higher", "1", **extra)
            table[named] = values.tolist()
        if not scores:
            raise CannotMeasure(f"{data.pairs.name}: the tested images have no box; take larger parts")
        return scores, table


def _seen(
    model: Any, data: BoxSet, places: Sequence[tuple[str, int]], colour: bool, what: str = "fused"
) -> list[np.ndarray]:
    """What a detector sees of every pair: uint8 (h, w, 3); kept as ``what`` while it goes on."""
    import torch

    from fusionbench.core.colour import colour_fused, to_levels
    from fusionbench.evaluation.pairs import to_batch, to_luma

    device = next((value.device for value in model.state_dict().values()), torch.device("cpu"))
    names = [f"{split}/{place}" for split, place in places]
    kept: KeptRows[np.ndarray] = partial_scores().rows(what, names, np.ndarray)
    with progress(f"fuse with {model.title}", len(places), "pairs", len(kept.rows)) as bar:
        for index, where in enumerate(places[len(kept.rows) :], len(kept.rows)):
            kept.stop_in_time(f"{model.title} on {data.pairs.name}")
            pair = data.pair(where)
            with torch.no_grad():
                fused = model.fuse(to_batch(pair, index, device))
            planes = [to_luma(fused[:, place : place + 1], stretch=False) for place in range(fused.shape[1])]
            visible = data.colour(where) if colour and len(planes) == 1 else None
            if visible is not None:
                shaded = [(plane / 255).astype(np.float32) for plane in (planes[0], pair[0], visible)]
                seen = to_levels(colour_fused(shaded[0], shaded[1], shaded[2]), 8)
            else:
                mean = (planes[0].astype(np.int64) + planes[-1]) // 2
                seen = np.stack((planes[0], planes[-1], mean.astype(np.uint8)), axis=2)
            kept.add([seen])
            bar.advance()
    return kept.rows


PROTOCOL = Detection()
