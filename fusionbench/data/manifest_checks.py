"""Checks everything in a data set's folder that follows from something else: manifest, card, Croissant, list of files.

The shards hold what a data set is. The rest is written beside them for people and catalogues, and all of it follows:
from the recipe in the manifest, from the source's registered description, or from the manifest itself.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import decode_image
from fusionbench.core.io import digest, read_bounded
from fusionbench.data import card
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.dataset import Dataset
from fusionbench.data.recipes import AnyRecipe, list_recipes, load_recipe
from fusionbench.data.shard_layout import plan_cutouts
from fusionbench.data.shards import croissant
from fusionbench.data.shards.manifest import DIGEST_FILE, FILE, MAX_BYTES, Manifest, SplitEntry, digest_line
from fusionbench.data.signatures import FILE as PROVENANCE
from fusionbench.sources import SOURCES

_FACTS = ("title", "licence", "citation", "homepage", "redistributable")
# a build writes what is missing; it does not read what is there of these files
_WRITTEN = "`fusionbench generate` writes it again"
_REMEDY = f"remove it, and {_WRITTEN}"
_FORCED = "`fusionbench generate --force` makes both again"
Found = Iterator[tuple[str, str]]  # file, and what is wrong with it


def problems_of_manifest(dataset: Dataset) -> Found:
    """What in ``manifest.json`` differs from what recipe, shards and source make of it."""
    manifest, recipe = dataset.manifest, dataset.recipe
    if read_bounded(dataset.folder / FILE, MAX_BYTES, "manifest") != manifest.canonical:
        yield FILE, "its bytes are not those that fusionbench writes; it was edited by hand or damaged"
    for key, expected in {"name": recipe.name, "version": recipe.version, "seed": recipe.seed}.items():
        if (found := getattr(manifest, key)) != expected:
            yield FILE, f"{key} is {found!r}, its recipe says {expected!r}"
    if recipe.hash != manifest.recipe_sha256:
        yield FILE, "its recipe is not written as fusionbench writes one"
    if manifest.splits.keys() != recipe.splits.keys():
        yield FILE, f"it has the splits {_names(manifest.splits)}, its recipe makes {_names(recipe.splits)}"
    if manifest.source.fingerprint.keys() != manifest.splits.keys():
        yield FILE, "its source fingerprints are not those of its splits"
    for name, split in manifest.splits.items():
        if name in recipe.splits:
            yield from ((FILE, what) for what in _problems_of_split(dataset, name, split))
        expected = digest([shard.source_sha256 for shard in split.shards])
        if manifest.source.fingerprint.get(name, expected) != expected:
            yield FILE, f"the source fingerprint of {name} does not follow from the source digests of its shards"
    shipped = _shipped(manifest)
    if shipped is not None and shipped.expect.id not in (None, manifest.id):
        yield FILE, f"its id is {manifest.id[:12]}…, its recipe comes with fusionbench and makes {shipped.expect.id}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _problems_of_split(dataset: Dataset, name: str, split: SplitEntry) -> Iterator[str]:
    """Names and sizes of shards, which follow from the shard size, and how many values the coverage has."""
    recipe, count = dataset.recipe, len(split.shards)
    for number, shard in enumerate(split.shards):
        file = f"{recipe.name}-{recipe.version}-{name}-{number:05d}-of-{count:05d}.h5"
        if shard.file != file:
            yield f"shard {number} of {name} is called {shard.file}, not {file}"
        full = number < count - 1
        if shard.n > recipe.shard_size or (full and shard.n != recipe.shard_size):
            yield f"{shard.file} has {shard.n} samples; its recipe makes shards of {recipe.shard_size}"
    if (split.cutouts is not None) != (name in recipe.banks):
        yield f"{name} has {'' if split.cutouts else 'no '}cut-outs, unlike in its recipe"
    if split.cutouts is not None and split.cutouts.file != plan_cutouts(recipe, name).file:
        yield f"the cut-outs of {name} are called {split.cutouts.file}, not {plan_cutouts(recipe, name).file}"
    if split.cutouts is None and split.cutouts_iou is not None:
        yield f"{name} has no cut-outs that could agree with masks"
    if len(split.coverage) != recipe.made_views(name):
        yield f"coverage of {name} has {len(split.coverage)} values for {recipe.made_views(name)} views"


def _shipped(manifest: Manifest) -> AnyRecipe | None:
    """The recipe that comes with fusionbench, where the data set was made by it or by a copy of it."""
    recipe = load_recipe(manifest.name) if manifest.name in list_recipes() else None
    return recipe if recipe is not None and recipe.hash == manifest.recipe_sha256 else None


def remark_on_title(manifest: Manifest) -> str | None:
    """A title that is not the one that fusionbench's own recipe has: no problem, for a copy of it may have another."""
    recipe = _shipped(manifest)
    if recipe is None or recipe.title == manifest.title:
        return None
    return f"title is {manifest.title!r}, the recipe that comes with fusionbench says {recipe.title!r}"


def compare_source(manifest: Manifest, recipe_source: str) -> tuple[list[str], list[str]]:
    """Problems and remarks on what the manifest says of its source, against what is registered under that name.

    Another package can change what it says of its source; so differences from it are remarks.
    """
    source, problems, remarks = manifest.source, [], []
    if source.name != recipe_source:
        problems.append(f"its source is {source.name!r}, its recipe names {recipe_source!r}")
    try:
        kind = SOURCES.get(recipe_source)
    except UsageError:
        return problems, [f"the source {recipe_source!r} is not installed: licence and citation were not compared"]
    ours = SOURCES.origin(recipe_source).startswith("fusionbench ")
    for key in _FACTS:
        found, expected = getattr(source, key), getattr(kind, key, None)
        if isinstance(expected, str | bool) and found != expected:
            what = f"{key} of the source is {found!r}, {SOURCES.origin(recipe_source)} says {expected!r}"
            if ours:
                problems.append(f"{what}: it was edited, or written by another release")
            else:
                remarks.append(f"{what}: it was edited, or that package has changed it since")
    return problems, remarks


def problems_beside(dataset: Dataset) -> Found:
    """Card, Croissant and digest that are not what the manifest makes of them, and files that do not belong here."""
    manifest, folder = dataset.manifest, dataset.folder
    expected = {
        croissant.FILE: croissant.croissant_bytes(manifest),
        card.FILE: card.card_bytes(manifest),
        DIGEST_FILE: digest_line(manifest),
    }
    for name, content in expected.items():
        if name == DIGEST_FILE and not (folder / name).exists():
            continue  # earlier releases wrote none
        try:
            found = read_bounded(folder / name, 2 * len(content) + 1024, "description")
        except DataError as error:
            missing = not (folder / name).exists()
            yield name, f"missing; {_WRITTEN}" if missing else str(error).removeprefix(f"{folder / name}: ")
            continue
        if name == croissant.FILE and found != content:  # earlier releases listed splits as the recipe did
            content = croissant.croissant_bytes(manifest, croissant.order_of_splits(manifest, found))
        if found != content:
            if name == DIGEST_FILE:
                yield name, f"it is not the digest of {FILE}: one of them was edited or damaged; {_FORCED}"
                continue
            remedy = f"{_REMEDY}, or if {FILE} was, {_FORCED}"
            yield name, f"it is not what {FILE} makes of it: one of them was edited or damaged; {remedy}"
    belong = {FILE, *expected, card.PREVIEW, PROVENANCE, JOURNAL}
    for split in manifest.splits.values():
        belong |= {shard.file for shard in (*split.shards, *([split.cutouts] if split.cutouts else []))}
    for path in sorted(folder.iterdir()):
        if path.name not in belong:
            yield path.name, "does not belong to the data set; remove it"


def problem_of_preview(dataset: Dataset, wrong: Container[str] = ()) -> str | None:
    """What is wrong with ``preview.png``: its pixels follow from the shards, except from those that are ``wrong``.

    Its bytes do not: zlib makes them.
    """
    path = dataset.folder / card.PREVIEW
    problem = None
    for split in card.shown_splits(dataset.manifest):
        shard = card.first_shard(dataset.manifest, split)
        if shard.file in wrong:
            return None
        try:
            expected = card.preview_pixels(dataset.shard_file(shard))
        except (DataError, ValueError, KeyError, IndexError):
            return None  # of shards that are wrong, which is said of them
        if (problem := _compare_preview(path, expected)) is None:
            break
    return problem


def _compare_preview(path: Path, expected: np.ndarray) -> str | None:
    try:
        content = read_bounded(path, 4 * expected.nbytes + 4096, "preview")
        found = decode_image(content, str(path), size=(expected.shape[0], expected.shape[1]))
    except DataError as error:
        return f"{str(error).removeprefix(f'{path}: ')}; {_REMEDY if path.exists() else _WRITTEN}"
    pixels = found.pixels
    if pixels.shape == expected.shape[:2] and expected.ndim == 3:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if expected.ndim == 3 and expected.shape[2] == 1:
        expected = expected[..., 0]
    return None if np.array_equal(pixels, expected) else f"it does not show the first samples; {_REMEDY}"
