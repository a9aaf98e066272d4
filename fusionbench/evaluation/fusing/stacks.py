"""Stacks of pictures to fused images: any number of pictures of one scene, focused or exposed differently, in colour.

fused = fuse_stack(["near.jpg", "middle.jpg", "far.jpg"])     # uint8 (H,W,3)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.colour import (
    colour_difference,
    luminance,
    mixed_difference,
    recolour,
    rescaled_difference,
    to_levels,
)
from fusionbench.core.errors import DataError, FusionbenchError, SizeMismatchError, UsageError
from fusionbench.core.image_writer import SUFFIX, ImageFormat, encode_pixels, format_of
from fusionbench.core.images import read_full_depth
from fusionbench.core.io import require_folder, utf8, write_bytes
from fusionbench.core.progress import progress, say
from fusionbench.evaluation.fusing.fuse import ImageLike, _opened
from fusionbench.evaluation.fusing.methods import LoadedMethod, Method, Tile, load_method
from fusionbench.sources.stacks import LARGEST, Stacks, pictures_in

FOR_FOCUS, FOR_EXPOSURES = "laplacian-pyramid", "exposure-fusion"
APART = 1.2  # quotient of mean luminances from which pictures count as exposures: blur leaves the mean as it is


@dataclass
class FusedStacks:
    """What became of all stacks.

    Attributes:
        outputs: name of a stack -> file of its fused image.
        methods: name of a stack -> the method that fused it.
        problems: name of a stack -> why it was not fused, in one line.
    """

    outputs: dict[str, Path] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; names that are not UTF-8 are escaped."""
        return {
            "outputs": [
                {"id": name, "file": utf8(str(path)), "method": utf8(self.methods[name])}
                for name, path in self.outputs.items()
            ],
            "problems": [{"id": name, "problem": utf8(text)} for name, text in self.problems.items()],
        }


def fuse_stack(
    pictures: Sequence[ImageLike],
    method: Method | LoadedMethod | None = None,
    *,
    colour: bool = True,
    bits: int | None = None,
    tile: Tile = "auto",
    memory: int | None = None,
    device: str = "auto",
    weights: str | Path | None = None,
    preset: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Fuse registered pictures of one scene and one size, two or more.

    Args:
        pictures: paths, Pillow images, or arrays as :func:`fusionbench.fuse` takes them.
        method: as of :func:`fusionbench.fuse`, one that fuses so many; None takes exposure fusion where the pictures
            differ in brightness, and a Laplacian pyramid where they do not.
        colour: mix the colours of all pictures, weighted by their strength, those of exposures at the luminance of the
            fused image; False gives grey.
        bits, tile, memory, device, weights, preset, params: as of :func:`fusionbench.fuse`.

    Returns:
        An array of the type of the first picture: (H,W,3) where there is colour, else (H,W).

    Raises:
        UsageError: fewer than two or more than 64 pictures, or a method that does not fuse so many.
        DataError: pictures that cannot be read, or of different sizes.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.fusing.stacks import fuse_stack
        >>> dark, middle, bright = (np.full((16, 16, 3), level, np.uint8) for level in (20, 120, 250))
        >>> fused = fuse_stack([dark, middle, bright], "average", device="cpu")
        >>> fused.shape, fused.dtype.name, fused[0, 0].tolist()
        ((16, 16, 3), 'uint8', [130, 130, 130])
    """
    if not 2 <= len(pictures) <= LARGEST:
        raise UsageError(f"{len(pictures)} picture(s): a stack has 2 to {LARGEST}")
    if bits not in (None, 8, 16):
        raise UsageError(f"bits={bits}: images have 8 or 16 bits a channel")
    opened = [_opened(picture, f"picture {number}", None) for number, picture in enumerate(pictures)]
    for other in opened[1:]:
        if other.pixels.shape[:2] != opened[0].pixels.shape[:2]:
            (h, w), (k, m) = opened[0].pixels.shape[:2], other.pixels.shape[:2]
            raise SizeMismatchError(f"{opened[0].name} is {h}×{w} and {other.name} is {k}×{m} pixels")
    views = np.stack([luminance(one.pixels) for one in opened])
    if not isinstance(method, LoadedMethod):
        size, count = (views.shape[1], views.shape[2]), len(views)
        chosen = method_for(views) if method is None else method
        method = load_method(
            chosen, weights=weights, preset=preset, params=params, device=device, size=size, views=count
        )
    fused = method.fuse_views(views, tile=tile, memory=memory)
    coloured = [(one.pixels, view) for one, view in zip(opened, views, strict=True) if one.pixels.ndim == 3]
    if colour and coloured:
        differences = [colour_difference(rgb) for rgb, _ in coloured]
        if method_for(views) == FOR_EXPOSURES:  # a dark picture has the hue of the light one, and little of its colour
            known = zip(differences, coloured, strict=True)
            differences = [rescaled_difference(one, view, fused) for one, (_, view) in known]
        fused = recolour(fused, mixed_difference(differences))
    kind = opened[0].kind
    if bits is None and kind.kind == "f":
        return fused.astype(kind)
    return to_levels(fused, bits or 8 * kind.itemsize)


def method_for(views: np.ndarray) -> str:
    """The method for a stack of luminances (V,H,W): exposures differ in their means, planes of focus do not."""
    means = [float(view.mean()) for view in views]
    return FOR_EXPOSURES if max(means) > APART * max(min(means), 1e-6) else FOR_FOCUS


def stacks_of(places: Sequence[Path]) -> dict[str, list[Path]]:
    """Name -> pictures of the stacks that are meant by some files, or by one folder.

    Files are one stack. A folder of pictures is one, too, unless these are named ``x-A`` and ``x-B``; a folder of
    folders, or one with folders A and B, has many: see :mod:`fusionbench.sources.stacks`.

    Raises:
        UsageError, DataError: files that are not there, files and folders mixed, or a folder without stacks.
    """
    for place in places:
        if not place.exists():
            raise DataError(f"{place}: no such file or folder")
    if len(places) == 1 and places[0].is_dir():
        folder = places[0]
        pictures = [path for path in pictures_in(folder) if path.stem.casefold() not in ("truth", "gt")]
        if len(pictures) >= 2 and not any(place.is_dir() for place in folder.iterdir()):
            try:
                found = Stacks(folder)
            except DataError:
                return {utf8(folder.resolve().name) or "fused": pictures}
            if found.length("all") < 2:
                return {utf8(folder.resolve().name) or "fused": pictures}
        found = Stacks(folder)
        return {name: list(found.stack_files("all", place)) for place, name in enumerate(found.stems("all"))}
    if folders := [place for place in places if place.is_dir()]:
        raise UsageError(f"{folders[0]}: a folder among files; give the pictures of one stack, or one folder")
    if len(places) < 2:
        raise UsageError(f"{places[0]}: one picture; a stack has 2 to {LARGEST}")
    return {utf8(places[0].stem): list(places)}


def fuse_stack_files(
    places: Sequence[str | Path],
    out: str | Path,
    method: Method | None = None,
    *,
    bits: int | None = None,
    file_format: ImageFormat | None = None,
    quality: int = 95,
    force: bool = False,
    **settings: Any,
) -> FusedStacks:
    """Fuse the pictures of one stack, or the stacks of a folder, to files; one that fails does not stop the others.

    Args:
        places: the pictures of a stack, or one folder, see :func:`stacks_of`.
        out: for one stack a file, whose name says its format, or a folder; for several a folder.
        bits: 8 or 16; None takes the depth of the first picture.
        file_format, quality: of the outputs in a folder, PNG without; of JPEG.
        force: replace what is there; never a picture of a stack.
        settings: as of :func:`fuse_stack`.

    Raises:
        UsageError: an output that is there or is a source, or a method that cannot be had.
        DataError: no stacks, or an output that cannot be written.
    """
    stacks, out = stacks_of([Path(place) for place in places]), Path(out)
    one_file = len(stacks) == 1 and bool(out.suffix) and not out.is_dir()
    if one_file:
        kind = format_of(out)
        if file_format not in (None, kind):
            raise UsageError(f"{out}: --format {file_format} is another format than its name says; leave out one")
    else:
        kind = file_format or "png"
    if kind == "jpeg" and bits == 16:
        raise UsageError("a JPEG has 8 bits a channel: leave out --bits 16, or choose --format png or tiff")
    require_folder(out.parent if one_file else out)
    outputs = {name: out if one_file else out / f"{name}{SUFFIX[kind]}" for name in stacks}
    for path in outputs.values():
        if path.exists():
            if any(os.path.samefile(path, picture) for pictures in stacks.values() for picture in pictures):
                raise UsageError(f"{path}: is one of the sources, which are never replaced; choose another name")
            if not force:
                raise UsageError(f"{path}: is there already; choose another name, or replace it with --force")
    done = FusedStacks()
    with progress("fusing", len(stacks), "stacks") as bar:
        for name, pictures in stacks.items():
            try:
                _fuse_one(name, pictures, outputs[name], kind, bits, quality, method, settings, done)
            except UsageError:
                raise  # the next one would fail alike
            except FusionbenchError as error:
                done.problems[name] = str(error)
            bar.advance()
    return done


def _fuse_one(
    name: str,
    pictures: Sequence[Path],
    output: Path,
    kind: ImageFormat,
    bits: int | None,
    quality: int,
    method: Method | None,
    settings: Mapping[str, Any],
    done: FusedStacks,
) -> None:
    chosen: Method | None = method
    if chosen is None:
        small = [luminance(read_full_depth(path).pixels) for path in pictures]
        if len({one.shape for one in small}) == 1:
            chosen = method_for(np.stack(small))
            say(f"note: {name}: {len(pictures)} pictures, fused by {chosen}")
    pixels = fuse_stack(pictures, chosen, bits=bits or (8 if kind == "jpeg" else None), **settings)
    first = read_full_depth(pictures[0])
    write_bytes(output, encode_pixels(pixels, kind, metadata=first.metadata, quality=quality))
    done.outputs[name], done.methods[name] = output, str(chosen)


__all__ = ["FusedStacks", "fuse_stack", "fuse_stack_files", "method_for", "stacks_of"]
