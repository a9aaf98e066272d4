"""Which definition gives a published number: every dialect, usual slip and treatment on the same images.

found = explain("ssim", "1.03", rows)       # rows: from fusionbench.evaluation.image_files.pair_files
found[0].dialect, found[0].value, found[0].agrees
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.images import DecodedImage, luma, read_image
from fusionbench.core.types import Metric
from fusionbench.evaluation.image_files import Triple, fit_rows, read_row
from fusionbench.metrics import get_metric
from fusionbench.metrics.dialects import DIALECTS, STANDARD
from fusionbench.metrics.undefined import too_small

# Names under which papers print another quantity.
CONFUSED: Mapping[str, tuple[str, ...]] = {
    "vif": ("viff",),
    "viff": ("vif",),
    "mi": ("nmi",),
    "nmi": ("mi",),
    "ssim": ("ms_ssim",),
    "ms_ssim": ("ssim",),
}
# Definitions that no public evaluator of ours has, but other libraries and slips with a range do.
_BOX = {"window": "uniform", "size": 7, "sample": True}
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "ssim": {
        "7×7 box": _BOX,
        "7×7 box with range 1 on images of 0..255": {**_BOX, "data_range": 1.0},
        "Gaussian with border replicated": {"border": "replicate"},
        "Gaussian with range 2 on images of 0..255": {"data_range": 2.0},
        "Gaussian with range 1 on images of 0..255": {"data_range": 1.0},
    }
}
# Metrics that are a sum or a mean over the two sources, so that papers differ by a factor of two.
OVER_SOURCES = ("mi", "nmi", "vif", "ssim", "ms_ssim", "cc", "scd", "psnr", "mse")


@dataclass(frozen=True)
class Candidate:
    """One way to a number.

    Attributes:
        metric, dialect: which definition.
        slip: what else was done to value or images ("" for nothing): halved, doubled, nats, JPEG, …
        value: mean over the images.
        difference: value minus the number asked about.
        agrees: whether it rounds to the number in the digits it was given with.
        note: what the dialect does differently.
    """

    metric: str
    dialect: str
    slip: str
    value: float
    difference: float
    agrees: bool
    note: str = ""


def explain(
    metric: str, number: str | float, rows: Sequence[Triple], *, task: Any = None, ranges: Ranges | None = None
) -> list[Candidate]:
    """Every candidate for ``number`` as the mean of ``metric`` over ``rows``, nearest first.

    ``number`` as text keeps its digits: "0.54" agrees with 0.5352. Of candidates with one value the plainest is kept.

    ``ranges``: which values of the files are black and white (docs/images.md).

    Raises:
        UsageError: unknown metric, one that does not score fused images, or something that is no number.
        DataError: an image that cannot be read.
    """
    asked, half = _parse(number)
    records, ranges = _records(metric), fit_rows(ranges or Ranges(), rows)
    sums: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        read = read_row(row, ranges)
        decoded = [read[side] for side in ("fused", "a", "b")]
        for treatment, prepare in TREATMENTS.items():
            stacks = prepare(decoded)
            if stacks is None:
                continue
            for place, (record, _) in enumerate(records):
                if too_small(record, *stacks[0].shape[1:]):
                    continue  # a definition that needs larger images cannot be meant
                images = stacks[:1] if record.needs == "fused" else stacks
                sums.setdefault((place, treatment), []).append(float(np.mean(record.function(*images))))
        if task is not None:
            task.advance()
    if rows and not any(len(values) == len(rows) for values in sums.values()):
        # no definition can score all of the images: say what the metric itself asks for
        raise DataError(f"{metric} {_too_small(records[0][0], rows, ranges)}")
    found = []
    for (place, treatment), values in sums.items():
        if len(values) == len(rows):  # a treatment that fits only some of the images explains nothing
            record, variant = records[place]
            done = ", ".join(filter(None, (variant, treatment)))
            found += _slips(record, done, float(np.mean(values)), asked, half)
    return _distinct(sorted(found, key=_rank))


def _too_small(record: Metric, rows: Sequence[Triple], ranges: Ranges) -> str:
    sizes = ((row.id, *read_image(row.fused, ranges.fused).pixels.shape[:2]) for row in rows)
    found = ((name, h, w, why) for name, h, w in sizes if (why := too_small(record, h, w)) is not None)
    name, height, width, why = next(found)
    return f"{why.reason}; {name} has {height}×{width}"


def _parse(number: str | float) -> tuple[float, float]:
    """The number and half a unit of its last digit."""
    text = number.strip() if isinstance(number, str) else repr(float(number))
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number; give the value as it is printed, for example 0.54") from None
    if not math.isfinite(value):
        raise UsageError(f"{text} cannot be explained; give a finite number")
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    return value, 0.5 * 10.0 ** (int(exponent or 0) - digits)


def _records(name: str) -> list[tuple[Metric, str]]:
    """The metric in every dialect that has it, and its namesakes; with a variant's name where it is no dialect."""
    first = get_metric(name)
    if first.needs not in ("pair", "fused"):
        raise UsageError(f"The metric {name!r} needs {first.needs}; explain takes metrics of fused images")
    records = []
    for one in (name, *CONFUSED.get(name, ())):
        plain = get_metric(one)
        records.append((plain, ""))
        records += [(get_metric(one, dialect.name), "") for dialect in DIALECTS.values() if one in dialect.metrics]
        for label, parameters in VARIANTS.get(one, {}).items():
            records.append((replace(plain, function=partial(plain.function, **parameters)), label))
    return records


def _slips(record: Metric, treatment: str, value: float, asked: float, half: float) -> list[Candidate]:
    ways = [("", value)]
    if record.name in OVER_SOURCES:
        ways += [("halved (mean for sum)", value / 2), ("doubled (sum for mean)", value * 2)]
    if record.unit in ("bits", "nats"):
        other = "nats" if record.unit == "bits" else "bits"
        ways.append((f"in {other}", value * (math.log(2) if other == "nats" else 1 / math.log(2))))
    if record.name == "sd":
        ways.append(("variance", value**2))
    dialect = DIALECTS.get(record.dialect.partition("/")[0])
    note = dialect.metrics[record.name].note if dialect else ""
    return [
        Candidate(
            record.name,
            record.dialect,
            ", ".join(part for part in (slip, treatment) if part),
            found,
            found - asked,
            abs(found - asked) <= half * (1 + 1e-9),
            note,
        )
        for slip, found in ways
        if math.isfinite(found)
    ]


def _rank(candidate: Candidate) -> tuple[object, ...]:
    """Nearest first; among those that agree in the digits given, the plainest first."""
    steps = bool(candidate.slip) + candidate.slip.count(",")
    if candidate.agrees:
        return (0, steps, candidate.dialect != STANDARD, abs(candidate.difference))
    return (1, abs(candidate.difference), steps, candidate.dialect != STANDARD)


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates of different values: what differs by less than 1e-9 relative is the same definition."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not any(math.isclose(candidate.value, other.value, rel_tol=1e-9, abs_tol=1e-12) for other in kept):
            kept.append(candidate)
    return kept


Treatment = Callable[[Sequence[DecodedImage]], "list[np.ndarray] | None"]


def _as_it_is(images: Sequence[DecodedImage]) -> list[np.ndarray]:
    return [image.grey()[None] for image in images]


def _stretched(images: Sequence[DecodedImage]) -> list[np.ndarray] | None:
    """Every image stretched to 0..255; None when they fill the range already."""
    greys = [image.grey() for image in images]
    if all(grey.min() == 0 and grey.max() == 255 for grey in greys):
        return None
    return [_fill(grey)[None] for grey in greys]


def _fill(grey: np.ndarray) -> np.ndarray:
    low, high = int(grey.min()), int(grey.max())
    if low == high:
        return grey
    return np.rint((grey.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)


def _jpeg(images: Sequence[DecodedImage]) -> list[np.ndarray]:
    """The fused image as JPEG of quality 75 would return it."""
    import cv2

    fused, *sources = _as_it_is(images)
    coded = cv2.imencode(".jpg", fused[0], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return [np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))[None], *sources]


def _by_colour(images: Sequence[DecodedImage], make: Callable[[DecodedImage], np.ndarray]) -> list[np.ndarray] | None:
    """``make`` of every image as a stack; None when nothing is in colour."""
    in_colour = any(p.pixels.ndim == 3 and not np.array_equal(luma(p.pixels), p.pixels[..., 0]) for p in images)
    return [make(image) for image in images] if in_colour else None


def _truncated(image: DecodedImage) -> np.ndarray:
    """Luma whose fraction is cut off instead of rounded, (1, h, w)."""
    if image.pixels.ndim == 2:
        return image.pixels[None]
    result: np.ndarray = np.floor(image.pixels @ np.array([0.299, 0.587, 0.114]) + 1e-9).astype(np.uint8)[None]
    return result


def _video(image: DecodedImage) -> np.ndarray:
    """Luma of colour on 16..235, as MATLAB's rgb2ycbcr gives it, (1, h, w)."""
    if image.pixels.ndim == 2:
        return image.pixels[None]
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return np.rint(image.pixels @ weights + 16).astype(np.uint8)[None]


def _channels(image: DecodedImage) -> np.ndarray:
    """Channels one by one, (3, h, w); their scores are averaged."""
    pixels = image.pixels if image.pixels.ndim == 3 else np.repeat(image.pixels[..., None], 3, axis=-1)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _channel_mean(image: DecodedImage) -> np.ndarray:
    """Colour made grey by the plain mean of its channels, (1, h, w)."""
    if image.pixels.ndim == 2:
        return image.pixels[None]
    result: np.ndarray = np.rint(image.pixels.mean(-1)).astype(np.uint8)[None]
    return result


TREATMENTS: Mapping[str, Treatment] = {
    "": _as_it_is,
    "images stretched to 0..255": _stretched,
    "fused image through JPEG": _jpeg,
    "grey by the channels' mean": partial(_by_colour, make=_channel_mean),
    "channel by channel (RGB for luma)": partial(_by_colour, make=_channels),
    "luma truncated, not rounded": partial(_by_colour, make=_truncated),
    "luma on 16..235": partial(_by_colour, make=_video),
}
