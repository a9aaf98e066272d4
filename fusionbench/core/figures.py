"""Contact sheets and sample sheets: arrays in, PNG bytes out.

The same arrays give the same bytes on one installation: nothing here looks at the clock,
the screen or the file system, except for the typeface that matplotlib ships.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.images import encode_png
from fusionbench.core.inline_images import reduced

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

PAPER, INK, SOFT, LINE = (255, 255, 255), (28, 32, 38), (110, 117, 126), (214, 218, 224)
MARGIN, GAP, BLOCK_GAP = 28, 6, 30  # pixels around the sheet, between images, between groups of images
TITLE, HEAD, SMALL = 22, 14, 12  # font sizes in pixels
SMALLEST = 72  # small images are enlarged until their longer side has at least this many pixels


@lru_cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    spec = importlib.util.find_spec("matplotlib")  # found, not imported: the font file is all that is needed
    assert spec is not None and spec.origin is not None, "matplotlib is a dependency of fusionbench"
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


class _Page:
    """A white page that collects text and images and becomes a PNG."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self.image: Image.Image = Image.new("RGB", (width, height), PAPER)
        self.draw: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int,
        *,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
        anchor: str = "la",
    ) -> None:
        self.draw.text((x, y), text, fill=colour, font=_font(size, bold), anchor=anchor)

    def paste(self, x: int, y: int, pixels: np.ndarray, scale: int) -> None:
        from PIL import Image

        height, width = pixels.shape[:2]
        tile = Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        self.image.paste(tile, (x, y))
        self.draw.rectangle((x - 1, y - 1, x + width * scale, y + height * scale), outline=LINE)

    def absent(self, x: int, y: int, width: int, height: int) -> None:
        """An empty frame with a dash: this input was not given."""
        self.draw.rectangle((x - 1, y - 1, x + width, y + height), outline=LINE)
        self.text(x + width / 2, y + height / 2, "–", HEAD, colour=LINE, anchor="mm")

    def png(self) -> bytes:
        return encode_png(np.asarray(self.image), small=True)


def contact_sheet(
    targets: np.ndarray,
    views: np.ndarray,
    *,
    title: str = "",
    caption: str = "",
    labels: Sequence[str] | None = None,
    groups: int | None = None,
) -> bytes:
    """Targets beside their views.

    targets: uint8 (n,H,W), (n,H,W,1) or (n,H,W,3); views: uint8 (n,V,H,W[,C]) with the same H, W and C. Returns PNG.
    ``labels`` stand before each row; ``groups`` sets how many columns of samples stand side by side (chosen when None).

    Raises:
        UsageError: shapes or dtypes that do not belong together, or no samples.
    """
    targets, views = _images(targets, "targets", 3), _images(views, "views", 4)
    if len(targets) != len(views) or targets.shape[1:] != views.shape[2:]:
        raise UsageError(f"contact sheet: targets {targets.shape} and views {views.shape} do not belong together")
    if labels is not None and len(labels) != len(targets):
        raise UsageError(f"contact sheet: {len(labels)} labels for {len(targets)} samples")
    count, number_of_views = views.shape[:2]
    scale, height, width = _scale(targets.shape[1:3])
    if groups is None:
        groups = max(1, min(count // 4, 3, 1400 // ((number_of_views + 1) * (width + GAP))))
    rows = -(-count // groups)
    label_width = round(max((_font(SMALL).getlength(label) for label in labels), default=0)) + 10 if labels else 0
    group_width = label_width + width + 2 * GAP + number_of_views * (width + GAP) - GAP
    top = MARGIN + (TITLE + 18 if title else 0) + HEAD + 12
    page_width = max(2 * MARGIN + groups * group_width + (groups - 1) * BLOCK_GAP, _room(title, caption))
    page = _Page(page_width, top + rows * (height + GAP) - GAP + MARGIN + (SMALL + 14 if caption else 0))
    if title:
        page.text(MARGIN, MARGIN - 4, title, TITLE, bold=True)
    for group in range(groups):
        left = MARGIN + group * (group_width + BLOCK_GAP) + label_width
        columns = [left] + [left + (width + GAP) * (view + 1) + GAP for view in range(number_of_views)]
        names = ["target"] + [f"view {view + 1}" for view in range(number_of_views)]
        for column, name in zip(columns, names, strict=True):
            bold, colour = name == "target", INK if name == "target" else SOFT
            page.text(column + width / 2, top - 10, name, HEAD, bold=bold, colour=colour, anchor="ms")
        for row in range(rows):
            sample = group * rows + row
            if sample >= count:
                break
            y = top + row * (height + GAP)
            if labels:
                page.text(left - 10, y + height / 2, labels[sample], SMALL, colour=SOFT, anchor="rm")
            for column, pixels in zip(columns, [targets[sample], *views[sample]], strict=True):
                page.paste(column, y, pixels, scale)
    if caption:
        page.text(MARGIN, page.image.height - MARGIN + 4, caption, SMALL, colour=SOFT, anchor="ls")
    return page.png()


def pair_sheet(
    lines: Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    *,
    title: str = "",
    side: int = 256,
    labels: Sequence[str] | None = None,
) -> bytes:
    """Pairs and the outputs of methods: one line per pair, one column per name. Returns PNG.

    lines: uint8 (h,w) images, of one size within a line; larger ones than ``side`` are shown at a whole fraction.
    ``labels`` stand before each line.

    Raises:
        UsageError: no lines, one without an image for every name, or not one label for each.
    """
    if not lines or any(len(line) != len(names) for line in lines):
        raise UsageError(f"pair sheet: every line needs {len(names)} images, and there must be one")
    if labels is not None and len(labels) != len(lines):
        raise UsageError(f"pair sheet: {len(labels)} labels for {len(lines)} lines")
    left = MARGIN + (round(max(_font(SMALL).getlength(label) for label in labels)) + 10 if labels else 0)
    small = [[reduced(image, side) for image in line] for line in lines]
    column = max(line[0].shape[1] for line in small) + GAP
    top = MARGIN + (TITLE + 18 if title else 0) + HEAD + 12
    height = top + sum(line[0].shape[0] + GAP for line in small) - GAP + MARGIN
    page = _Page(max(left + MARGIN + len(names) * column - GAP, _room(title, "")), height)
    if title:
        page.text(MARGIN, MARGIN - 4, title, TITLE, bold=True)
    for number, name in enumerate(names):
        page.text(left + number * column + (column - GAP) / 2, top - 10, name, HEAD, colour=SOFT, anchor="ms")
    for place, line in enumerate(small):
        if labels is not None:
            page.text(left - 10, top + line[0].shape[0] / 2, labels[place], SMALL, colour=SOFT, anchor="rm")
        for number, image in enumerate(line):
            page.paste(left + number * column, top, image, 1)
        top += line[0].shape[0] + GAP
    return page.png()


def tile_sheet(images: np.ndarray, labels: Sequence[str], *, title: str = "", caption: str = "") -> bytes:
    """Images with a label below each, row by row. images: uint8 (n,H,W) or (n,H,W,C). Returns PNG.

    Raises:
        UsageError: no images, or not one label for each.
    """
    images = _images(images, "tiles", 3)
    if len(labels) != len(images):
        raise UsageError(f"tile sheet: {len(labels)} labels for {len(images)} images")
    scale, height, width = _scale(images.shape[1:3])
    columns = max(1, min(len(images), 1600 // (width + GAP)))
    line, top = height + SMALL + 2 * GAP, MARGIN + (TITLE + 18 if title else 0)
    rows = -(-len(images) // columns)
    page_height = top + rows * line + MARGIN + (SMALL + 14 if caption else 0)
    page = _Page(max(2 * MARGIN + columns * (width + GAP) - GAP, _room(title, caption)), page_height)
    if title:
        page.text(MARGIN, MARGIN - 4, title, TITLE, bold=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        x, y = MARGIN + number % columns * (width + GAP), top + number // columns * line
        page.paste(x, y, image, scale)
        page.text(x + width / 2, y + height + 4, label, SMALL, colour=SOFT, anchor="ma")
    if caption:
        page.text(MARGIN, page.image.height - MARGIN + 4, caption, SMALL, colour=SOFT, anchor="ls")
    return page.png()


def labelled_sheet(
    lines: Sequence[Sequence[np.ndarray | None]],
    names: Sequence[str],
    labels: Sequence[tuple[str, str]],
    *,
    title: str = "",
    caption: str = "",
) -> bytes:
    """Lines of images of one size with a label before each, one column a name. Returns PNG.

    lines: uint8 (h,w) or (h,w,3), None where there is none; labels: of each line a name, and a second line below it.

    Raises:
        UsageError: no image, or a line without an image for every name.
    """
    images = [image for line in lines for image in line if image is not None]
    if not images or any(len(line) != len(names) for line in lines) or len(labels) != len(lines):
        raise UsageError(f"sheet: {len(lines)} lines with {len(labels)} labels, every line needs {len(names)} images")
    scale, height, width = _scale(images[0].shape[:2])
    before = round(max(max(_font(HEAD).getlength(a), _font(SMALL).getlength(b)) for a, b in labels)) + 14
    top = MARGIN + (TITLE + 18 if title else 0) + HEAD + 12
    across = 2 * MARGIN + before + len(names) * (width + GAP) - GAP
    page_height = top + len(lines) * (height + GAP) - GAP + MARGIN + (SMALL + 14 if caption else 0)
    page = _Page(max(across, _room(title, caption)), page_height)
    if title:
        page.text(MARGIN, MARGIN - 4, title, TITLE, bold=True)
    for number, name in enumerate(names):
        page.text(MARGIN + before + number * (width + GAP) + width / 2, top - 10, name, HEAD, colour=SOFT, anchor="ms")
    for (label, below), line in zip(labels, lines, strict=True):
        page.text(MARGIN, top + height / 2 - 2, label, HEAD, anchor="ls")
        page.text(MARGIN, top + height / 2 + 4, below, SMALL, colour=SOFT)
        for number, image in enumerate(line):
            x = MARGIN + before + number * (width + GAP)
            if image is None:
                page.absent(x, top, width, height)
            else:
                page.paste(x, top, image, scale)
        top += height + GAP
    if caption:
        page.text(MARGIN, page.image.height - MARGIN + 4, caption, SMALL, colour=SOFT, anchor="ls")
    return page.png()


def sample_sheet(
    views: np.ndarray,
    targets: np.ndarray,
    draws: Mapping[str, np.ndarray],
    *,
    title: str = "",
    caption: str = "",
    labels: Sequence[str] | None = None,
) -> bytes:
    """Outputs of models for 0..V inputs, in the arrangement of Figure 3 of the FusionVAE paper (arXiv 2209.11277).

    views: uint8 (n,V,H,W[,C]); targets: uint8 (n,H,W[,C]); draws: model title -> uint8 (n,V+1,D,H,W[,C]), the
    D draws of a model for every number of inputs 0..V. One block a sample, one row a number of inputs. Returns PNG.

    Raises:
        UsageError: shapes or dtypes that do not belong together, no samples or no models.
    """
    targets, views = _images(targets, "targets", 3), _images(views, "views", 4)
    made = {name: _images(images, f"draws of {name}", 5) for name, images in draws.items()}
    count, number_of_views = views.shape[:2]
    if len(targets) != count or targets.shape[1:] != views.shape[2:] or not made:
        raise UsageError(f"sample sheet: targets {targets.shape}, views {views.shape} and {len(made)} models")
    for name, images in made.items():
        if images.shape[:2] != (count, number_of_views + 1) or images.shape[3:] != targets.shape[1:]:
            raise UsageError(f"sample sheet: draws of {name} are {images.shape}, views are {views.shape}")
    scale, height, width = _scale(targets.shape[1:3])
    step = width + GAP
    row_label = 34
    x = MARGIN + row_label
    inputs_at, x = x, x + number_of_views * step - GAP + BLOCK_GAP
    target_at, x = x, x + width + BLOCK_GAP
    models_at: dict[str, int] = {}
    for name, images in made.items():
        span = max(images.shape[2] * step - GAP, round(_font(HEAD, True).getlength(name)))
        models_at[name], x = x, x + span + BLOCK_GAP
    top = MARGIN + (TITLE + 18 if title else 0) + HEAD + 12
    block = (number_of_views + 1) * (height + GAP) - GAP
    bottom = MARGIN + (SMALL + 14 if caption else 0)
    page = _Page(
        max(x - BLOCK_GAP + MARGIN, _room(title, caption)), top + count * (block + BLOCK_GAP) - BLOCK_GAP + bottom
    )
    if title:
        page.text(MARGIN, MARGIN - 4, title, TITLE, bold=True)
    page.text(MARGIN, top - 10, "N", HEAD, colour=SOFT, anchor="ls")
    page.text(inputs_at, top - 10, "inputs", HEAD, bold=True, anchor="ls")
    page.text(target_at, top - 10, "target", HEAD, bold=True, anchor="ls")
    for name, left in models_at.items():
        page.text(left, top - 10, name, HEAD, bold=True, anchor="ls")
    for sample in range(count):
        block_top = top + sample * (block + BLOCK_GAP)
        if sample:
            y = block_top - BLOCK_GAP // 2 - GAP // 2
            page.draw.line((MARGIN, y, page.image.width - MARGIN, y), fill=LINE)
        if labels:
            page.text(target_at, block_top + height + GAP, labels[sample], SMALL, colour=SOFT)
        page.paste(target_at, block_top, targets[sample], scale)
        for given in range(number_of_views + 1):
            y = block_top + given * (height + GAP)
            page.text(MARGIN, y + height / 2, str(given), HEAD, colour=SOFT, anchor="lm")
            for view in range(number_of_views):
                if view < given:
                    page.paste(inputs_at + view * step, y, views[sample, view], scale)
                else:
                    page.absent(inputs_at + view * step, y, width, height)
            for name, left in models_at.items():
                for draw, pixels in enumerate(made[name][sample, given]):
                    page.paste(left + draw * step, y, pixels, scale)
    if caption:
        page.text(MARGIN, page.image.height - MARGIN + 4, caption, SMALL, colour=SOFT, anchor="ls")
    return page.png()


def reconstruction_sheet(
    targets: np.ndarray,
    made: Mapping[str, np.ndarray],
    *,
    title: str = "",
    caption: str = "",
    labels: Sequence[str] | None = None,
) -> bytes:
    """Targets beside their reconstructions by models, as in Figures 7 to 9 of the FusionVAE paper (arXiv 2209.11277).

    targets: uint8 (n,H,W[,C]); made: model title -> uint8 (n,M,H,W[,C]), for M = 1 or for every number of inputs
    0..M-1 that stood beside the target. One row a sample. Returns PNG.

    Raises:
        UsageError: shapes or dtypes that do not belong together, no samples or no models.
    """
    targets = _images(targets, "targets", 3)
    by_model = {name: _images(images, f"reconstructions of {name}", 4) for name, images in made.items()}
    if not by_model:
        raise UsageError(f"reconstruction sheet: targets {targets.shape} and 0 models")
    for name, images in by_model.items():
        if len(images) != len(targets) or images.shape[2:] != targets.shape[1:]:
            raise UsageError(
                f"reconstruction sheet: reconstructions of {name} are {images.shape}, targets {targets.shape}"
            )
    if labels is not None and len(labels) != len(targets):
        raise UsageError(f"reconstruction sheet: {len(labels)} labels for {len(targets)} samples")
    scale, height, width = _scale(targets.shape[1:3])
    step = width + GAP
    x = MARGIN + (round(max(_font(SMALL).getlength(label) for label in labels)) + 10 if labels else 0)
    target_at, x = x, x + width + BLOCK_GAP
    models_at: dict[str, int] = {}
    for name, images in by_model.items():
        span = max(images.shape[1] * step - GAP, round(_font(HEAD, True).getlength(name)))
        models_at[name], x = x, x + span + BLOCK_GAP
    counted = any(images.shape[1] > 1 for images in by_model.values())
    head = MARGIN + (TITLE + 18 if title else 0) + HEAD
    top = head + (SMALL + 8 if counted else 0) + 12
    bottom = MARGIN + (SMALL + 14 if caption else 0)
    page = _Page(max(x - BLOCK_GAP + MARGIN, _room(title, caption)), top + len(targets) * (height + GAP) - GAP + bottom)
    if title:
        page.text(MARGIN, MARGIN - 4, title, TITLE, bold=True)
    page.text(target_at, head + 2, "target", HEAD, bold=True, anchor="ls")
    for name, left in models_at.items():
        page.text(left, head + 2, name, HEAD, bold=True, anchor="ls")
        if by_model[name].shape[1] > 1:
            for given in range(by_model[name].shape[1]):
                page.text(left + given * step + width / 2, top - 8, f"N = {given}", SMALL, colour=SOFT, anchor="ms")
    for sample in range(len(targets)):
        y = top + sample * (height + GAP)
        if labels:
            page.text(target_at - 10, y + height / 2, labels[sample], SMALL, colour=SOFT, anchor="rm")
        page.paste(target_at, y, targets[sample], scale)
        for name, left in models_at.items():
            for given, pixels in enumerate(by_model[name][sample]):
                page.paste(left + given * step, y, pixels, scale)
    if caption:
        page.text(MARGIN, page.image.height - MARGIN + 4, caption, SMALL, colour=SOFT, anchor="ls")
    return page.png()


def _images(values: np.ndarray, what: str, dimensions: int) -> np.ndarray:
    """uint8 (..., H, W) or (..., H, W, C) as (..., H, W) for grey or (..., H, W, 3)."""
    values = np.asarray(values)
    grey = values.ndim == dimensions
    if values.dtype != np.uint8 or not (grey or (values.ndim == dimensions + 1 and values.shape[-1] in (1, 3))):
        raise UsageError(f"{what}: expected uint8 images of 1 or 3 channels, got {values.dtype} {values.shape}")
    if 0 in values.shape:
        raise UsageError(f"{what}: nothing to show, the shape is {values.shape}")
    return values if grey or values.shape[-1] == 3 else values[..., 0]


def _scale(size: tuple[int, ...]) -> tuple[int, int, int]:
    """Whole factor that makes a small image visible, and the height and width it then has."""
    scale = max(1, -(-SMALLEST // max(size)))
    return scale, size[0] * scale, size[1] * scale


def _room(title: str, caption: str) -> int:
    """Width that title and caption need, margins included."""
    return 2 * MARGIN + round(max(_font(TITLE, True).getlength(title), _font(SMALL).getlength(caption)))
