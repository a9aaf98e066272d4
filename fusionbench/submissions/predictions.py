"""Submitted predictions: what a model made of every sample. No weights, so no likelihood.

Masked sets: ``predictions.h5`` with one data set ``samples``, uint8 (images, V+1, K, H, W[, C]): K draws for every
number of inputs N = 0..V. Pairs: one 8-bit PNG for every pair, ``images/<id>.png``. Submitted files are read in a child
process with limits, sizes before content; see :mod:`fusionbench.submissions.sandbox`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, FusionbenchError, Problem
from fusionbench.core.io import read_bounded, write_bytes
from fusionbench.core.text import Digest, Line, Link, Note, Plain
from fusionbench.core.types import ImageSpec
from fusionbench.metrics.facts import fact_lines, facts
from fusionbench.submissions.archive import MAX_IMAGE, MAX_META, META
from fusionbench.submissions.fingerprints import Content, NearVector, PixelDigest
from fusionbench.submissions.pixel_vectors import PixelVector
from fusionbench.submissions.remarks import remarks
from fusionbench.submissions.target_copies import TargetCopies

if TYPE_CHECKING:
    import h5py

    from fusionbench.evaluation.pair_sets import PairSet

SAMPLES, IMAGES = "predictions.h5", "images"
FINDINGS = "findings.json"  # written by the child
MAX_FINDINGS = 16 << 20  # bytes
_MAX_PROBLEMS = 10_000
MAX_VALUES = 8 << 30  # bytes of all samples
MAX_CHUNK = 64 << 20
_MAX_RATIO, _MAX_CONSTANT = 100, 1 << 30  # more bytes than the second may not shrink by more than the first
_MAX_PNG_CHUNKS = 64  # beside the pixels
_LINTED = 64  # samples that remarks are made about
_AGAIN = "make it again with `fusionbench pack`"


class Predictions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of ``submission.json`` beside predictions. Neither scores nor a status are the author's to say.

    ``group``: predictions of other training seeds that are one row with these, whose own is ``seed``. ``replaces``: id
    of an earlier submission. All since fusionbench.predictions/1.1, which is declared where there is one of them.
    """

    schema: Literal["fusionbench.predictions/1", "fusionbench.predictions/1.1"] = "fusionbench.predictions/1"
    kind: Literal["masked", "pairs"]
    title: Line
    submitter: Line
    link: Link | None = None
    note: Note = ""
    model: Plain  # what folders of results are called
    dataset: Plain
    dataset_id: Digest
    split: Plain = "test"
    images: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    group: Plain | msgspec.UnsetType = msgspec.UNSET
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)] | msgspec.UnsetType = msgspec.UNSET
    replaces: Digest | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.group, self.seed, self.replaces) != (msgspec.UNSET,) * 3:
            self.schema = "fusionbench.predictions/1.1"
        if self.group is not msgspec.UNSET and self.seed is msgspec.UNSET:
            raise ValueError("a group of training runs needs the `seed` of each (--seed)")


class PredictionFindings(msgspec.Struct):
    """``problems`` refuse a submission, ``notes`` are for its reader; ``content`` is its fingerprint."""

    problems: list[Problem] = []
    notes: list[str] = []
    content: Content | None = None


def read_prediction_record(folder: Path) -> Predictions:
    """The record of an unpacked submission.

    Raises:
        DataError: not a record.
    """
    try:
        return msgspec.json.decode(read_bounded(folder / META, MAX_META, "record"), type=Predictions)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"not a fusionbench.predictions/1 record: {error}") from error


def examine_once(folder: str, data: str, out: str) -> None:
    """In the child: look at an unpacked submission, beside ``data`` unless they are "", and leave findings in ``out``.

    Of more problems than anybody reads the first are left.
    """
    findings = examine_predictions(Path(folder), Path(data) if data else None)
    del findings.problems[_MAX_PROBLEMS:]
    write_bytes(Path(out) / FINDINGS, msgspec.json.encode(findings))


def examine_predictions(folder: Path, data: Path | None) -> PredictionFindings:
    """Everything that is wrong with an unpacked submission of predictions, and what is remarkable about it."""
    from fusionbench.submissions.prediction_kinds import PREDICTION_KINDS

    found = PredictionFindings(problems=[], notes=[])
    try:
        record = read_prediction_record(folder)
    except DataError as error:
        found.problems.append(Problem(META, str(error), _AGAIN))
        return found
    if _is_registered(record.model):
        remedy = f"call it {record.model}-ours, or submit the weights"
        found.problems.append(Problem(META, f"{record.model!r} is the name of a model of fusionbench", remedy))
    kind = PREDICTION_KINDS[record.kind]
    try:
        kind.examine(folder, record, data, found)
    except FusionbenchError as error:
        found.problems.append(Problem(kind.file, str(error).replace(f"{folder}/", ""), _AGAIN))
    return found


def _is_registered(name: str) -> bool:
    from fusionbench.models import MODELS

    return name in MODELS.names()


# Samples of masked sets


@contextmanager
def open_samples(path: Path, images: int, spec: ImageSpec) -> Iterator[h5py.Dataset]:
    """The checked HDF5 data set of ``images`` × (V+1) × K images; nothing is read before its sizes are known.

    Raises:
        DataError: anything but plain uint8 values of the right shape inside the file itself.
    """
    import h5py

    from fusionbench.data.shards.reader import hard_linked

    try:
        with h5py.File(path, "r") as file:
            if hard_linked(path, file) != ["samples"] or file.get("samples", getclass=True) is not h5py.Dataset:
                raise DataError(f"{path}: must hold one object, the data set 'samples'")
            samples = file["samples"]
            _check_layout(path, samples)
            _check_shape(path, samples.shape, images, spec)
            _check_storage(path, samples)
            yield samples
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: a damaged HDF5 file ({' '.join(str(error).split())[:160]})") from error


def _check_layout(path: Path, samples: h5py.Dataset) -> None:
    import h5py

    plist = samples.id.get_create_plist()
    if samples.is_virtual or plist.get_external_count() or plist.get_layout() == h5py.h5d.VIRTUAL:
        raise DataError(f"{path}: 'samples' is virtual or lies in another file")
    if samples.dtype.str != "|u1":
        raise DataError(f"{path}: 'samples' has type {samples.dtype.str}; uint8 is asked for")
    filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    if any(code != h5py.h5z.FILTER_DEFLATE for code in filters):
        raise DataError(f"{path}: 'samples' goes through filters {filters}; only gzip is allowed")
    if samples.chunks is not None and math.prod(samples.chunks) > MAX_CHUNK:
        raise DataError(f"{path}: 'samples' has chunks of {math.prod(samples.chunks):,} bytes (limit {MAX_CHUNK:,})")


def _check_shape(path: Path, shape: tuple[int, ...] | None, images: int, spec: ImageSpec) -> None:
    image = (spec.height, spec.width) + ((spec.channels,) if spec.channels > 1 else ())
    wanted = f"({images}, {spec.views + 1}, K, {', '.join(map(str, image))})"
    if shape is None or len(shape) != 3 + len(image) or (shape[:2], shape[3:]) != ((images, spec.views + 1), image):
        raise DataError(f"{path}: 'samples' has shape {shape}; {wanted} is asked for")
    if shape[2] < 1 or math.prod(map(int, shape)) > MAX_VALUES:
        raise DataError(f"{path}: 'samples' claims {math.prod(map(int, shape)):,} bytes (limit {MAX_VALUES:,})")


def _check_storage(path: Path, samples: h5py.Dataset) -> None:
    """Values that are not stored are read as if they were: a small file would cost as much as a large one."""
    claimed, stored = math.prod(map(int, samples.shape)), samples.id.get_storage_size()
    if samples.chunks is not None:
        grid = math.prod(-(-size // chunk) for size, chunk in zip(samples.shape, samples.chunks, strict=True))
        found = samples.id.get_num_chunks()
        if found != grid:
            raise DataError(f"{path}: 'samples' stores {found:,} of {grid:,} chunks of its values")
    elif stored < claimed:
        raise DataError(f"{path}: 'samples' stores {stored:,} of {claimed:,} bytes of its values")
    if claimed > max(_MAX_CONSTANT, _MAX_RATIO * stored):
        raise DataError(f"{path}: 'samples' shrinks from {claimed:,} to {stored:,} bytes, more than {_MAX_RATIO} times")


def sample_blocks(samples: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """(first image, uint8 values) in order, about 32 MiB at a time.

    Raises:
        DataError: content that cannot be read.
    """
    step = max(1, (32 << 20) // math.prod(samples.shape[1:]))
    for begin in range(0, samples.shape[0], step):
        try:
            yield begin, samples[begin : begin + step]
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"images from {begin} cannot be read ({' '.join(str(error).split())[:160]})") from error


def examine_samples(folder: Path, record: Predictions, data: Path | None, found: PredictionFindings) -> None:
    """Look at the samples of a masked set: shape and type, whether they are the targets, and what is remarkable.

    Raises:
        DataError: samples or a data set that cannot be read.
    """
    from fusionbench.data.dataset import open_dataset

    dataset = None if data is None else open_dataset(data)
    if dataset is not None:
        if dataset.id != record.dataset_id:
            message = f"made for data set {record.dataset_id[:12]}, this one is {dataset.id[:12]}"
            found.problems.append(Problem(META, message, "make the predictions on this data set"))
            return
        if dataset.name != record.dataset:
            found.problems.append(Problem(META, f"names {record.dataset!r}, this data set is {dataset.name!r}", _AGAIN))
            return
        if record.images > dataset.size(record.split):
            message = f"{record.images} images, the split has {dataset.size(record.split)}"
            found.problems.append(Problem(META, message, _AGAIN))
            return
    spec = _shipped_spec(record.dataset) if dataset is None else dataset.spec
    arrays = None if dataset is None else dataset.arrays(record.split)
    views = None if arrays is None else arrays.views
    looks: list[NearVector | TargetCopies] = []
    pixels, near, copies = PixelDigest(), None, None
    if arrays is not None:
        near = NearVector(arrays.targets, record.images, spec.views)
        copies = TargetCopies(arrays.targets, arrays.views, record.images)
        looks = [near, copies]
    names = [f"view {k + 1}" for k in range(spec.views)]
    single: list[tuple[str, list[str]]] = []
    with open_samples(folder / SAMPLES, record.images, spec) as samples:
        first, ignored = samples[:_LINTED, -1, 0], True
        for begin, values in sample_blocks(samples):
            ignored = ignored and bool((values == values[:, :1]).all())
            for index, image in enumerate(values):  # one by one, so that no size of blocks changes the digest
                pixels.add(str(begin + index), image)
                for look in looks:
                    look.add(begin + index, image)
            for index, image in enumerate(values[:, -1, 0], begin):  # what is made of all views
                single.append((str(index), facts(image, [] if views is None else [*views[index]])))
    found.content = Content(kind="predictions", exact=pixels.hexdigest(), near=None if near is None else near.text())
    for inputs, (number, looked) in ({} if copies is None else copies.found()).items():
        message = f"with {inputs} inputs {number} of {looked} images that were looked at are their targets"
        remedy = "predict from the views alone; copies that are shifted, inverted, blurred or compressed count as well"
        found.problems.append(Problem(SAMPLES, message, remedy))
    if ignored:
        found.notes.append("the views do not matter: all numbers of inputs have the same images")
    found.notes += fact_lines(single, record.images, names, of_pairs=False)
    if views is not None:
        rows = [[_grey(view) for view in row] for row in views[: len(first)]]
        found.notes += remarks([_grey(image) for image in first], rows, names)


def _shipped_spec(name: str) -> ImageSpec:
    """Shape of a sample of a shipped recipe, for checks without the data set itself.

    Raises:
        DataError: no shipped recipe of a masked set has this name.
    """
    from fusionbench.data.recipes import PairRecipe, list_recipes, load_recipe

    recipe = load_recipe(name) if name in list_recipes() else None
    if recipe is None or isinstance(recipe, PairRecipe):
        raise DataError(f"no recipe of a masked set that comes with fusionbench is called {name!r}; give its --data")
    return recipe.image_spec


def _grey(image: np.ndarray) -> np.ndarray:
    from fusionbench.core.images import to_grey

    return to_grey(np.asarray(image))


# Images of pairs


def pairs_of(data: str | Path, split: str | None = None) -> PairSet:
    """The pairs that ``--data`` means: a folder of pairs, a data set of whole pairs, or the name of an embedded source.

    Raises:
        UsageError, DataError: no such pairs or split, or images without a partner.
    """
    from fusionbench.evaluation.pair_sets import open_pairs

    return open_pairs(str(data), split, strict=True)


def _image_problem(path: Path, size: tuple[int, int] | None, digest: PixelDigest, look: Callable[[Any], None]) -> str:
    """Why a PNG is not taken, "" when it is fine; decoded, and looked at, only when its header is right."""
    from fusionbench.core.image_headers import png_extras, png_header
    from fusionbench.core.images import MAX_PIXELS, decode_image

    try:
        content = read_bounded(path, MAX_IMAGE, "image")
        header = png_header(content)
        if header is None:
            return "not a PNG"
        width, height = header.width, header.height
        if header.bits != 8 or header.colour not in (0, 2):
            return f"{header.bits} bits of colour type {header.colour}; 8-bit grey or RGB is asked for"
        if size is not None and (height, width) != size:
            return f"{width}×{height} pixels, its sources have {size[1]}×{size[0]}"
        if width * height > MAX_PIXELS or not width * height:
            return f"{width}×{height} pixels (limit {MAX_PIXELS})"
        if png_extras(content, _MAX_PNG_CHUNKS) > _MAX_PNG_CHUNKS:
            return f"more than {_MAX_PNG_CHUNKS} chunks beside its pixels"
        image = decode_image(content, path.name)
        digest.add(path.name, image.pixels)
        look(image.grey())
    except DataError as error:
        return str(error).removeprefix(f"{path}: ").removeprefix(f"{path.name}: ")
    return ""


def examine_images(folder: Path, record: Predictions, data: Path | None, found: PredictionFindings) -> None:
    """Look at the images of pairs: one for every pair, 8-bit PNG of its size, and what is remarkable about them.

    Raises:
        DataError: pairs that cannot be read.
    """
    files = {path.stem: path for path in sorted((folder / IMAGES).glob("*.png"))}
    if len(files) != record.images:
        found.problems.append(Problem(META, f"{record.images} images are named, {len(files)} are there", _AGAIN))
    pairs = None if data is None else pairs_of(data, record.split)
    places: dict[str, int] = {}
    if pairs is not None:
        if pairs.identity.id != record.dataset_id:
            message = f"made for pairs {record.dataset_id[:12]}, these are {pairs.identity.id[:12]}"
            found.problems.append(Problem(META, message, "fuse these pairs"))
        places = {name: place for place, name in enumerate(pairs.stems)}
        for name in sorted(places.keys() ^ files.keys()):
            rule = "no such pair" if name in files else "missing"
            found.problems.append(Problem(f"{IMAGES}/{name}.png", rule, "send one image for every pair"))
    pixels, near = PixelDigest(), PixelVector(len(files))
    for number, (name, path) in enumerate(files.items()):
        size = None
        if pairs is not None and name in places:
            _, height, width = pairs.pair(places[name]).shape
            size = (height, width)
        problem = _image_problem(path, size, pixels, partial(near.add, number))
        if problem:
            remedy = "save the model's output as 8-bit PNG of the sources' size"
            found.problems.append(Problem(f"{IMAGES}/{name}.png", problem, remedy))
    found.content = Content(kind="predictions", exact=pixels.hexdigest(), near=near.text())
    if not found.problems and pairs is not None:
        found.notes += _image_notes(files, pairs, places)


def _image_notes(files: dict[str, Path], pairs: PairSet, places: dict[str, int]) -> list[str]:
    """What is remarkable about the fused images of all pairs."""
    from fusionbench.core.images import read_image

    fused, rows, colour = [], [], []
    single: list[tuple[str, list[str]]] = []
    titles = ("the first source", "the second source")
    for number, name in enumerate(files):
        image, pair = read_image(files[name]), pairs.pair(places[name])
        single.append((name, facts(image.grey(), [*pair])))
        if number >= _LINTED:
            continue
        fused.append(image.grey())
        rows.append([*pair])
        if image.pixels.ndim == 3 and (tinted := _colours(pairs, places[name])) is not None:
            colour.append((image.pixels, tinted))
    return fact_lines(single, len(files), titles) + remarks(fused, rows, titles, colour)


def _colours(pairs: PairSet, place: int) -> np.ndarray | None:
    """The last image of a pair that has colours, uint8 (h, w, 3); None where none has, or where they are not stored."""
    from fusionbench.core.images import read_image

    paths = getattr(pairs.source, "paths", None)
    if paths is None:
        return None
    images = [read_image(path) for path in paths(pairs.split, place)]
    return next((image.pixels for image in reversed(images) if image.pixels.ndim == 3), None)
