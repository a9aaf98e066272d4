"""``fusionbench.score``: the metrics of fused images, wherever the images are: in memory, in files, in folders.

scores = score(fused, a, b)                 # arrays, Pillow images, tensors, files; lists of them; folders
scores["vif"], scores.to_pandas()

The fused image comes first, as in every metric: ``metric(fused, a, b)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusionbench.core.errors import DataError, UsageError, some
from fusionbench.core.image_arrays import array_of, eight_bits, values_of
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import DecodedImage, images_in, read_image, read_values
from fusionbench.core.io import utf8, utf8_names
from fusionbench.core.progress import brief, say
from fusionbench.core.types import Metric
from fusionbench.data.alignment import AlignmentCheck, sample_of
from fusionbench.evaluation.image_files import (
    Scored,
    collect,
    find_scoring_device,
    note_lines,
    require_one_size,
    score_decoded,
    score_each,
    score_files,
    thread_count,
)
from fusionbench.evaluation.image_rows import SOURCE_SIDES, missing_text
from fusionbench.evaluation.scores import Scores
from fusionbench.metrics.dialects import STANDARD
from fusionbench.metrics.inputs import choose_for

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

ImageLike: TypeAlias = "np.ndarray | Tensor | Image | str | Path"
Images: TypeAlias = "ImageLike | Sequence[ImageLike] | Mapping[str, ImageLike]"


def score(
    fused: Images,
    a: Images | None = None,
    b: Images | None = None,
    metrics: str | Sequence[str | Metric] | None = None,
    dialect: str = STANDARD,
    *,
    target: Images | None = None,
    more: Sequence[Images] = (),
    jobs: int | None = None,
    strict: bool = False,
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
    range_fused: Range | str | None = None,
    device: str = "cpu",
) -> Scores:
    """Score fused images against their sources, against a known target, or both; **the fused image comes first**.

    All images are scored as the 8-bit images that they are, or would be saved as: the same pixels have the same scores
    in memory, in files and on the command line.

    Args:
        fused, a, b: the fused image and its two sources. Each is an image, or several images:

            * an array, uint8, uint16 or floating point in [0,1]: (H,W) or (H,W,3), or a stack (N,H,W) or (N,H,W,3);
            * a tensor of the same values: (H,W), (C,H,W) or (N,C,H,W) with C = 1 or 3;
            * a Pillow image, or the path of an image file;
            * a list of such images, in one order for all sides;
            * a folder, or a mapping of names to images: these are paired by name (the stem of a file).
        metrics: names (``"vif"``, ``["vif", "qabf"]``) or records; ``"all"`` takes all that the dialect has, None the
            eight of the field's tables as far as the images allow, and with a target those against it.
        dialect: whose definitions, see docs/metrics.md.
        target: the known truth, for metrics against it; then a and b may be left out.
        more: the third source and further ones, up to six in all.
        jobs: images at a time; None takes the processors at hand.
        strict: refuse instead of leaving out what has no partner.
        range_a, range_b, range_fused: which values are black and white, as text or a range (docs/images.md).
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``.

    Raises:
        UsageError: images of another kind or number, an unknown metric, dialect, range or device.
        DataError: images that cannot be read, or sizes that differ (nothing is resized).
        CannotMeasure: out of memory.

    Example:
        >>> import numpy as np
        >>> import fusionbench as fb
        >>> a = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
        >>> b = a.T.copy()
        >>> scores = fb.score(a // 2 + b // 2, a, b, ["en", "scd", "ssim"])
        >>> scores
        Scores(EN 7.220, SCD 1.414, SSIM 0.8115, n=1)
        >>> round(scores["scd"], 3), scores.values["scd"].shape
        (1.414, (1,))
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    if (a is None) != (b is None) or (a is None and (target is None or len(more))):
        raise UsageError("score(fused, a, b) needs the fused image and its sources, or score(fused, target=...)")
    if len(more) > len(SOURCE_SIDES) - 2:
        raise UsageError(f"{2 + len(more)} sources: at most {len(SOURCE_SIDES)} are scored together")
    given = {"fused": fused, **dict(zip(SOURCE_SIDES, (a, b, *more), strict=False)), "target": target}
    sides: dict[str, Any] = {side: images for side, images in given.items() if images is not None}
    ranges = Ranges.parse(range_a, range_b, range_fused)
    with brief():
        if all(isinstance(images, str | Path) for images in sides.values()):
            settings: dict[str, Any] = {
                "jobs": jobs,
                "strict": strict,
                "device": device,
                "target": target,
                "more": more,
            }
            settings |= {"range_a": ranges.a, "range_b": ranges.b, "range_fused": ranges.fused}
            found = score_files(a, b, fused, metrics, dialect, **settings)  # type: ignore[arg-type]
        else:
            found = _score_rows(sides, metrics, dialect, jobs, strict, ranges, device)
    if found.looks_fused is not None:
        told = f"what was given as {found.looks_fused} looks more like a fused image than the first one"
        found.warnings.insert(0, f"{told}: the order is fused, a, b")
    for line in found.warnings:
        say(f"note: {line}")
    return found


@dataclass(frozen=True)
class _Row:
    """Images that belong together, by side, as they were given."""

    id: str
    images: Mapping[str, Any]

    def read(self, ranges: Ranges) -> dict[str, DecodedImage]:
        images = {side: _decoded(image, self._name(side), side, ranges) for side, image in self.images.items()}
        require_one_size(self.id, images)
        return images

    def _name(self, side: str) -> str:
        return f"{side} {self.id}"


def _score_rows(
    sides: Mapping[str, Any],
    metrics: Sequence[str | Metric] | None,
    dialect: str,
    jobs: int | None,
    strict: bool,
    ranges: Ranges,
    device: str,
) -> Scores:
    """Scores of images that are not all named by files or folders."""
    where = find_scoring_device(device, jobs, None)
    sources = [side for side in SOURCE_SIDES if side in sides]
    chosen = choose_for(metrics, dialect, len(sources), "target" in sides)
    rows, missing = _paired(sides)
    if missing and strict:
        raise DataError(f"{missing_text(missing)}; add them, or leave strict out")
    ranges = _fitted(ranges, rows)
    check = AlignmentCheck() if len(sources) == 2 else None
    sample = {rows[place].id for place in sample_of(len(rows))}

    def one(row: _Row) -> Scored:
        images = row.read(ranges)
        if check is not None and row.id in sample:
            check.add(images["a"].grey(), images["b"].grey())
        scored = score_decoded(row.id, images, chosen, where)
        for side, image in images.items():
            if image.note and isinstance(row.images[side], str | Path):
                scored.notes[str(row.images[side])] = image.note
        return scored

    scored, notes = score_each(rows, thread_count(jobs, len(rows)), one, lambda row: row.read(ranges))
    found = collect([row.id for row in rows], scored, chosen, dialect, sources, sources, "target" in sides)
    found.warnings += note_lines(notes) + ([missing_text(missing)] if missing else [])
    found.warnings += check.lines if check is not None else []
    found.missing, found.ranges = missing, ranges.texts()
    return found


def _paired(sides: Mapping[str, Any]) -> tuple[list[_Row], dict[str, list[str]]]:
    """Rows of images, and what has no partner: name -> sides that lack it.

    Raises:
        UsageError: sides of different numbers of images, or some by name and others in an order.
        DataError: folders without images, or no name that all sides have.
    """
    opened = {side: _opened(images, side) for side, images in sides.items()}
    named = {side: images for side, images in opened.items() if isinstance(images, Mapping)}
    if len(named) == len(opened):
        names = sorted(set().union(*named.values()))
        missing = {
            name: lacking for name in names if (lacking := [side for side, its in named.items() if name not in its])
        }
        whole = [name for name in names if name not in missing]
        if not whole:
            examples = ", ".join(f"{side}: {next(iter(its), 'nothing')}" for side, its in named.items())
            raise DataError(f"No name is on all sides ({utf8(examples)}); name them alike")
        return [_Row(utf8(name), {side: its[name] for side, its in named.items()}) for name in whole], missing
    if named:
        rest = some([side for side in opened if side not in named])
        raise UsageError(
            f"{some([*named])}: a folder or mapping, whose images have names, and {rest}: images without names; give "
            "all as folders or mappings of names to images, or all as lists in one order"
        )
    counts = {side: len(images) for side, images in opened.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{side} {count}" for side, count in counts.items())
        raise UsageError(f"different numbers of images: {listed}; give one image of each side for every row")
    if not counts["fused"]:
        raise UsageError("no images to score")
    lists: dict[str, list[Any]] = {side: list(images) for side, images in opened.items()}
    ids = [str(number) for number in range(counts["fused"])]
    if all(isinstance(image, str | Path) for image in lists["fused"]):
        stems = [utf8(Path(image).stem) for image in lists["fused"]]
        ids = stems if len(set(stems)) == len(stems) else ids
    return [_Row(name, {side: lists[side][row] for side in lists}) for row, name in enumerate(ids)], {}


def _opened(images: Any, side: str) -> Mapping[str, Any] | Sequence[Any]:
    """The images of a side: by name, or in an order."""
    if isinstance(images, str | Path):
        if not Path(images).exists():
            raise DataError(f"{images}: no such file or folder")
        return utf8_names(images_in(images)) if Path(images).is_dir() else [images]
    if isinstance(images, Mapping):
        return {str(name): image for name, image in images.items()}
    if isinstance(images, list | tuple | Iterator):
        return list(images)
    array = _array(images, side)
    if not isinstance(array, np.ndarray):
        return [array]
    if array.ndim == 4 or (array.ndim == 3 and array.shape[2] > 4):
        return [*array]
    return [array]


def _array(image: Any, side: str) -> Any:
    """A tensor as an array with the channels last; everything else as it is."""
    if isinstance(image, np.ndarray) or not (hasattr(image, "detach") and hasattr(image, "cpu")):
        return image
    if image.ndim in (3, 4) and image.shape[-3] not in (1, 3):
        raise UsageError(f"{side}: a tensor of shape {tuple(image.shape)}; give (H,W), (C,H,W) or (N,C,H,W), C 1 or 3")
    image = image.detach()
    if image.ndim in (3, 4):
        image = image.movedim(-3, -1)
    if image.dtype.is_floating_point:
        image = image.float()  # bfloat16, which NumPy does not have
    found: np.ndarray = image.cpu().numpy()
    return found


def _decoded(image: Any, name: str, side: str, ranges: Ranges) -> DecodedImage:
    wanted, option = getattr(ranges, side, None), f"range_{side}" if hasattr(ranges, side) else ""
    if isinstance(image, str | Path):
        return read_image(image, wanted, option=option)
    return DecodedImage(eight_bits(_array(image, name), name, wanted, option), "array")


def _fitted(ranges: Ranges, rows: Sequence[_Row]) -> Ranges:
    """The ranges that the images of each side share, as :func:`fusionbench.core.images.fit_ranges` finds them."""

    def values(side: str) -> Any:
        for row in rows:
            image = row.images[side]
            if isinstance(image, str | Path):
                yield str(image), read_values(image)
            else:
                yield f"{side} {row.id}", values_of(array_of(_array(image, side), side))

    found = {
        side: wanted.fit(lambda side=side: values(side))  # type: ignore[misc]
        for side, wanted in ranges.given.items()
        if rows and side in rows[0].images
    }
    return replace(ranges, **found)
