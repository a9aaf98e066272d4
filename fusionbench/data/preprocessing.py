"""From source images to targets: the recipe's choice of images, crop, grey, resize and padding, all in 8-bit integers.

Only 8-bit AREA and LINEAR resizing is offered: these gave the same bits in every OpenCV release and configuration
that was compared, which cubic, Lanczos and all floating-point resizing did not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.interfaces import has_files
from fusionbench.core.types import Source
from fusionbench.data.groups import held_out
from fusionbench.data.recipe_base import GroupRule, OccluderRule, SplitRule
from fusionbench.data.recipes import ImageRule, Recipe
from fusionbench.data.shards.manifest import CutoutGate
from fusionbench.data.source_files import file_names, file_numbers
from fusionbench.data.view_rules import OverlayRule
from fusionbench.synth import CannyCut
from fusionbench.synth.cutout_gate import CutoutWay
from fusionbench.synth.cutouts import iou

Images = np.ndarray | Sequence[np.ndarray]  # of one size, or of mixed sizes
Cutouts = tuple[dict[str, np.ndarray], str, float | None, CutoutGate | None]  # what build_cutouts returns


@dataclass(frozen=True)
class Trial:
    """Images, or pairs, of one split of the source, and the attempt to make of them what the recipe wants.

    ``attempt`` takes some of ``numbers`` and raises DataError where nothing can be made of them. ``used`` is False for
    images that the recipe does not need.
    """

    split: str
    numbers: np.ndarray
    attempt: Callable[[np.ndarray], object]
    used: bool = True


def select_indices(
    rule: SplitRule,
    source: Source,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    group_by: GroupRule | None = None,
) -> np.ndarray:
    """Indices into the source's split that make up a split of the data set: int64 (n,), ascending.

    Args:
        leave_out: ``source.leave_out`` of the recipe; these are dropped last, so no other image changes its split.
        group_by: ``source.group_by`` of the recipe; groups are then held out in place of images.

    Raises:
        UsageError: the source lacks the split, or the labels that the rule needs.
        DataError: nothing is left, or the source lacks a file that is to be left out.
    """
    if rule.source not in source.splits:
        have = ", ".join(source.splits)
        raise UsageError(f"The source {source.name!r} has no split {rule.source!r}; it has: {have}")
    if rule.views is not None and not hasattr(source, "views"):
        raise UsageError(f"The source {source.name!r} has no views; remove `views` from the recipe's splits")
    indices = np.arange(source.length(rule.source))
    if rule.without is not None:
        stems, others = (source.stems(split) for split in (rule.source, rule.without))  # type: ignore[attr-defined]
        indices = indices[~np.isin(np.array(stems), np.array(others))]
    labels = source.labels(rule.source)
    if labels is None and (rule.per_class or rule.classes):
        raise UsageError(f"The source {source.name!r} has no classes; remove per_class and classes from the recipe")
    if rule.classes:
        indices = indices[np.isin(labels[indices], rule.classes)]  # type: ignore[index]
    if rule.every and group_by is not None:
        out = held_out(source, rule.source, group_by, rule.every)[indices]
        indices = indices[out if rule.part == "held-out" else ~out]
    elif rule.every:
        if rule.per_class:
            rank = np.empty(len(indices), np.int64)
            for label in np.unique(labels[indices]):  # type: ignore[index]
                members = labels[indices] == label  # type: ignore[index]
                rank[members] = np.arange(np.count_nonzero(members))
        else:
            rank = np.arange(len(indices))
        out = rank % rule.every == rule.every - 1
        indices = indices[out if rule.part == "held-out" else ~out]
    indices = indices[: rule.first]
    if leave_out and rule.source in leave_out:
        indices = indices[~np.isin(indices, file_numbers(source, rule.source, leave_out[rule.source]))]
    if not len(indices):
        raise DataError(f"The source {source.name!r} has no image for a split made from {rule.source!r}")
    return indices.astype(np.int64)


def prepare(rule: ImageRule, images: Images, labels: np.ndarray | None = None) -> np.ndarray:
    """Targets of source ``images``, n of uint8 (h, w, c): uint8 (n, H, W) for one channel, else (n, H, W, 3).

    Raises:
        DataError: an image does not have the size that the recipe's crop and resize need.
    """
    inner = (rule.height - 2 * rule.pad, rule.width - 2 * rule.pad)
    out = np.zeros((len(images), rule.height, rule.width, rule.channels), np.uint8)
    inside = out[:, rule.pad : rule.pad + inner[0], rule.pad : rule.pad + inner[1]]
    if isinstance(images, np.ndarray) and rule.crop is None and images.shape[1:] == inside.shape[1:]:
        inside[:] = images
    else:
        for i, image in enumerate(images):
            cut = crop(rule, image, None if labels is None else int(labels[i]))
            colour = _channels(cut, rule.channels)
            if rule.via is not None:
                colour = resize(colour, (rule.via, rule.via), rule.resize)
            inside[i] = resize(colour, inner, rule.resize)
    return out[..., 0] if rule.channels == 1 else out


def crop(rule: ImageRule, image: np.ndarray, label: int | None) -> np.ndarray:
    """The part of an image (h, w, c) that the recipe uses.

    Raises:
        DataError: the image is too small for it.
    """
    height, width = image.shape[:2]
    if rule.crop is not None:
        top, left, crop_height, crop_width = rule.crop
    elif rule.square:
        crop_height = crop_width = min(height, width)
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
    elif rule.crop_half is not None:
        half = rule.crop_half[label - 1] if label is not None and 0 < label <= len(rule.crop_half) else 0
        if half == 0:
            raise DataError(f"the recipe's image.crop_half has no crop for class {label}; leave the class out")
        crop_height = crop_width = 2 * half
        top, left = height // 2 - half, width // 2 - half
    else:
        return image
    if top < 0 or left < 0 or top + crop_height > height or left + crop_width > width:
        raise DataError(f"a source image of {height}×{width} is smaller than the recipe's image.crop needs")
    return image[top : top + crop_height, left : left + crop_width]


def resize(image: np.ndarray, size: tuple[int, int], how: str | None) -> np.ndarray:
    """uint8 (h, w, c) at another size.

    Raises:
        DataError: the size differs and the recipe says no way to resize.
    """
    import cv2

    if image.shape[:2] == size:
        return image
    if how is None:
        found = f"{image.shape[0]}×{image.shape[1]}"
        raise DataError(f"a source image is {found}, the recipe wants {size[0]}×{size[1]} and has no image.resize")
    method = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}[how]
    return cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=method).reshape(*size, -1)


def _channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[2] == channels:
        return image
    return grey(image)[..., None] if channels == 1 else np.repeat(image, 3, axis=2)


def grey(images: np.ndarray) -> np.ndarray:
    """Grey levels (77R + 150G + 29B + 128) >> 8 of uint8 (..., 3): uint8 (...)."""
    red, green, blue = (images[..., i].astype(np.uint16) for i in range(3))
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)


def read_images(source: Source, split: str, indices: np.ndarray) -> Images:
    """Images of a source's split: uint8 (n, h, w, c), or where a source has mixed sizes a list of (h, w, c)."""
    return source.read_list(split, indices) if hasattr(source, "read_list") else source.read(split, indices)


def build_targets(recipe: Recipe, source: Source, split: str, indices: np.ndarray) -> tuple[np.ndarray, str]:
    """Targets uint8 (n, H, W[, 3]) of source ``indices`` of a split, and the sha256 of the source images."""
    rule = recipe.splits[split]
    raw = read_images(source, rule.source, indices)
    labels = source.labels(rule.source)
    return prepare(recipe.image, raw, None if labels is None else labels[indices]), pixels_digest(raw)


def build_source_views(recipe: Recipe, source: Source, split: str, indices: np.ndarray) -> tuple[np.ndarray, str]:
    """The source's own views uint8 (n, V, H, W[, 3]) of source ``indices`` of a split, and their sha256.

    Raises:
        DataError: the source has another number of views than the recipe.
    """
    raw = source.views(recipe.splits[split].source, indices)  # type: ignore[attr-defined]
    if raw.shape[1] != recipe.views.count:
        count = recipe.views.count
        raise DataError(f"the source {source.name!r} has {raw.shape[1]} views, the recipe's views.count is {count}")
    return np.stack([prepare(recipe.image, raw[:, v]) for v in range(raw.shape[1])], 1), pixels_digest(raw)


def pixels_digest(images: Images) -> str:
    """Hex sha256 over decoded images, one array of uint8 (n, h, w, c) or a list of (h, w, c)."""
    if isinstance(images, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    state = hashlib.sha256()
    for image in images:
        state.update(str(image.shape).encode() + np.ascontiguousarray(image).data)
    return state.hexdigest()


def build_cutouts(recipe: Recipe, source: Source, split: str) -> Cutouts:
    """The bank of cut-outs of a split, the sha256 of the images they were cut from, and how well they were cut.

    Returns:
        ``cutouts`` uint8 (m, size, size, C+1), colours multiplied by alpha and alpha last; ``index`` int64 (m,) into
        the source; ``label`` int64 (m,); of ``canny-cut/2`` ``score`` int16 (m,), thousandths before a repair, and
        ``repaired`` uint8 (m,), 1 where the source's mask or a wider closing was taken. The third value is the mean
        intersection over union of the cut masks with the source's own (``visible_mask``), None where it has none; the
        last is what the gate of ``canny-cut/2`` did.

    Raises:
        DataError: no image, or an image in which nothing can be cut; with ``canny-cut/2`` nothing is left.
    """
    rule, overlay = _occluders(recipe, split)
    indices = select_occluders(recipe, source, split)
    labels = source.labels(rule.source)
    gate = overlay.cut.gate if overlay.cut is not None else None
    state = hashlib.sha256()
    ways: list[CutoutWay | None] = [None] * len(indices)
    dropped: dict[str, str] = {}
    if gate is not None:
        found = []
        for index in indices.tolist():
            raw, image, truth = _occluder(recipe, source, split, index, None if labels is None else int(labels[index]))
            state.update(np.ascontiguousarray(raw).data)
            found.append(gate.candidates(_grey(image), truth))
        chosen_ways = gate.choose(found, None if labels is None else labels[indices])
        names = file_names(source, rule.source) if has_files(source) else None
        for index, (way, reason) in zip(indices.tolist(), chosen_ways, strict=True):
            if way is None:
                dropped[names[index] if names else str(index)] = reason
        kept = np.array([way is not None for way, _ in chosen_ways], bool)
        if not kept.any():
            some_reason = next(iter(dropped.values()), "there is none")
            raise DataError(
                f"no cut-out of splits.{split}.occluders passes the gate ({some_reason}); change views.overlay.cut"
            )
        indices, ways = indices[kept], [way for way, _ in chosen_ways if way is not None]
    bank = np.zeros((len(indices), *recipe.cutout_shape(split)), np.uint8)
    agreements = []
    for i, (index, way) in enumerate(zip(indices.tolist(), ways, strict=True)):
        label = None if labels is None else int(labels[index])
        raw, bank[i], agreement = cut_out(recipe, source, split, index, label, way)
        if gate is None:
            state.update(np.ascontiguousarray(raw).data)
        agreements += [] if agreement is None else [agreement]
    arrays = {"cutouts": bank, "index": indices}
    if labels is not None:
        arrays["label"] = labels[indices]
    gated = None
    if gate is not None:
        arrays["score"] = np.array([way.score for way in ways if way is not None], np.int16)
        arrays["repaired"] = np.array([way.way != 0 for way in ways if way is not None], np.uint8)
        repaired = int(arrays["repaired"].sum())
        gated = CutoutGate(kept=len(indices) - repaired, repaired=repaired, dropped=dropped)
    mean = round(float(np.mean(agreements)), 6) if agreements else None
    return arrays, state.hexdigest(), mean, gated


def select_occluders(recipe: Recipe, source: Source, split: str) -> np.ndarray:
    """Indices into the source of the images from which the cut-outs of a split are taken: int64 (m,), ascending.

    Raises:
        UsageError: too many, or none can be cut.
        DataError: nothing is left.
    """
    rule, overlay = _occluders(recipe, split)
    whole = SplitRule(source=rule.source, classes=rule.classes)
    indices = select_indices(whole, source, recipe.source.leave_out)
    if len(indices) > 1 << 15:
        raise UsageError(f"splits.{split}.occluders: {len(indices)} images are too many, {1 << 15} are possible")
    if overlay.cut is None and not hasattr(source, "visible_mask"):
        raise UsageError(f"The source {source.name!r} has no masks; say in views.overlay.cut how to cut")
    return indices


def cut_out(
    recipe: Recipe, source: Source, split: str, index: int, label: int | None, way: CutoutWay | None = None
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """One image of the source, uint8 (h, w, c), the object cut out of it, uint8 (size, size, C+1), and the IoU.

    Args:
        way: what the gate of ``canny-cut/2`` has chosen; without it the image is only read and cropped there, and the
            cut-out is empty, since the gate looks at all images.

    Raises:
        DataError: an unreadable image, or one in which nothing can be cut.
    """
    rule, overlay = _occluders(recipe, split)
    raw, image, truth = _occluder(recipe, source, split, index, label)
    gate = overlay.cut.gate if overlay.cut is not None else None
    if gate is not None:
        mask = gate.mask(_grey(image), truth, way.way) if way is not None else np.zeros(image.shape[:2], np.uint8)
    elif overlay.cut is not None:
        mask = CannyCut(overlay.cut.low, overlay.cut.high, overlay.cut.close).mask(_grey(image))
    elif truth is not None:
        mask = truth
    else:
        raise DataError(f"image {index} of {rule.source!r} has no mask; say in views.overlay.cut how to cut")
    if not mask.any() and (gate is None or way is not None):
        raise DataError(f"nothing could be cut out of image {index} of {rule.source!r}; change views.overlay.cut")
    agreement = iou(mask, truth) if overlay.cut is not None and truth is not None else None
    alpha = mask[..., None].astype(np.uint16)
    colours = ((_channels(image, recipe.image.channels) * alpha + 127) // 255).astype(np.uint8)
    front = np.concatenate([colours, mask[..., None]], axis=2)
    if overlay.via is not None:
        front = resize(front, (overlay.via, overlay.via), "area")
    size = recipe.cutout_size(split)
    return raw, resize(front, (size, size), "area"), agreement


def _occluder(
    recipe: Recipe, source: Source, split: str, index: int, label: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """An image that is to be cut, as it is and cropped, and the source's mask of it.

    The gate also takes masks that a source has only derived from its images (``object_mask``).
    """
    rule, overlay = _occluders(recipe, split)
    raw = source.read(rule.source, np.array([index]))[0]
    truth = source.visible_mask(rule.source, index) if hasattr(source, "visible_mask") else None
    if truth is None and overlay.cut is not None and overlay.cut.gate is not None and hasattr(source, "object_mask"):
        truth = source.object_mask(rule.source, index)
    return (
        raw,
        crop(recipe.image, raw, label),
        None if truth is None else crop(recipe.image, truth[..., None], label)[..., 0],
    )


def _grey(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(grey(image) if image.shape[2] == 3 else image[..., 0])


def _occluders(recipe: Recipe, split: str) -> tuple[OccluderRule, OverlayRule]:
    rule, overlay = recipe.splits[split].occluders, recipe.views.overlay
    if rule is None or overlay is None:
        raise ValueError(f"the split {split!r} has no occluders")
    return rule, overlay
