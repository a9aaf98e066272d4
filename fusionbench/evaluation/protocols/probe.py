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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.interfaces import can_fuse
from fusionbench.evaluation.protocols.base import Options as BaseOptions
from fusionbench.evaluation.protocols.base import SimpleProtocol
from fusionbench.evaluation.protocols.flags import Flag
from fusionbench.results.schema import ProtocolIdentity, Score

if TYPE_CHECKING:
    from fusionbench.core.interfaces import Model
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.labelled_set import LabelledSet

ClassName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")]


class ProbeOptions(BaseOptions, kw_only=True, frozen=True):
    """``classes``: what is looked for; ``folds``: parts that scenes are dealt to; ``colour``: with colour, too.

    ``unet``: steps of training of a small U-Net, which then reads in place of the closed-form head; ``unet_seeds``: how
    many of it are trained for every fold, whose values are averaged.
    """

    classes: Annotated[tuple[ClassName, ...], msgspec.Meta(min_length=1, max_length=32)] = ("person", "car")
    folds: Annotated[int, msgspec.Meta(ge=2, le=100)] = 4
    colour: bool = True
    unet: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    unet_seeds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1

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
        "unet": Flag("Read with a small U-Net that is trained for so many steps a fold; 0: the closed-form head."),
        "unet_seeds": Flag("U-Nets that are trained for every fold; their values are averaged."),
    }
    lacks = "probes one fused image a pair"
    references = ("stack",)
    scores_functions = True
    counted = "scenes"
    fewest = 2

    def identity(self, options: ProbeOptions, data: LabelledSet) -> ProtocolIdentity:
        """The options, with classes as a list, as JSON has it; of the U-Net's those that are not their defaults."""
        rules = super().identity(options, data)
        rules.params["classes"] = list(options.classes)
        for option in ("unet", "unet_seeds"):
            if rules.params[option] == self.own_options[option]:
                del rules.params[option]
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

    def apart_by(self, params: Mapping[str, Any]) -> str:
        """Values of U-Nets are another table, whose address is not to be that of the closed form's."""
        return "U-Nets" if params.get("unet") else self.apart

    def metrics(self, model: Model) -> dict[str, str]:
        return {"ap": "1", "iou": "1", "ap_colour": "1", "iou_colour": "1"}

    def reference(self, name: str, data: LabelledSet) -> Model:
        """``stack``: both sources as two channels."""
        from fusionbench.evaluation.probe_references import BothSources

        return BothSources(self.spec(data))

    def measure(
        self, model: Model, data: LabelledSet, options: ProbeOptions
    ) -> tuple[dict[str, Score], dict[str, Sequence[Any]]]:
        from fusionbench.evaluation import probe_scores as read

        if not can_fuse(model):
            raise UsageError(f"{model.title} has no fuse: the protocol {self.key} probes one fused image a pair")
        images, folds = read.fused_images(model, data), read.folds_of(data, options.folds)
        fused = images if options.unet else [read.features_of(channel) for channel in images]

        def runs(channels: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
            if not options.unet:
                return [read.by_closed_form(channels, data, options.classes, folds)]
            steps = options.unet
            return [
                read.by_unet(channels, data, options.classes, folds, steps=steps, seed=seed)
                for seed in range(options.unet_seeds)
            ]

        scores: dict[str, Score] = {}
        table: dict[str, Sequence[Any]] = {"id": data.scene_names}
        read.fill(scores, table, data, options.classes, folds, runs(fused), "")
        if options.colour:
            chroma = read.chroma_images(data) if options.unet else read.chroma_features(data)
            if chroma is None:
                read.fill_without_colour(scores, table, data, options.classes)
            else:
                read.fill(scores, table, data, options.classes, folds, runs(fused + chroma), "_colour")
        return scores, table


PROTOCOL = Probe()
