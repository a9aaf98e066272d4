"""Packs predictions for submission, and scores what was submitted; both under the rules of the data set."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, Rejected, UsageError
from fusionbench.core.io import file_sha256, utf8_names
from fusionbench.results import schema
from fusionbench.results.input_means import averages
from fusionbench.submissions.predictions import (
    IMAGES,
    META,
    SAMPLES,
    Predictions,
    blocks,
    open_samples,
    read_record,
)


def write_samples(path: Path, samples: Any) -> None:
    """Write ``predictions.h5``: samples uint8 (images, V+1, K, H, W[, C]), gzipped image by image.

    Raises:
        UsageError: other values or another number of axes.
    """
    import h5py

    if samples.dtype != np.uint8 or len(samples.shape) not in (5, 6) or 0 in samples.shape:
        raise UsageError(
            f"samples are {samples.dtype} {tuple(samples.shape)}; uint8 (images, V+1, K, H, W[, C]) is asked for"
        )
    with h5py.File(path, "w", libver="latest") as file:
        chunks = (1, 1, *samples.shape[2:])
        made = file.create_dataset("samples", samples.shape, np.uint8, chunks=chunks, compression="gzip")
        for index in range(samples.shape[0]):
            made[index] = samples[index]


def record_of_samples(samples: Any, data: Path, **words: Any) -> Predictions:
    """The record of samples (see :func:`write_samples`) for the test split of the data set in ``data``."""
    from fusionbench.data.dataset import open_dataset

    dataset = open_dataset(data)
    return Predictions(
        kind="masked", dataset=dataset.name, dataset_id=dataset.id, images=int(samples.shape[0]), **words
    )


def record_of_pictures(pictures: Mapping[str, Path], data: Path, **words: Any) -> Predictions:
    """The record of one PNG for every pair in ``data``."""
    from fusionbench.evaluation.pair_sets import open_pairs

    pairs = open_pairs(data, strict=True)
    return Predictions(
        kind="pairs", dataset=pairs.name, dataset_id=pairs.identity.id, split=pairs.split, images=len(pictures), **words
    )


def draft(predictions: Path, data: Path, out: Path, words: Mapping[str, Any]) -> None:
    """Write an unchecked archive of ``predictions``: an HDF5 file with ``samples``, a .npy file, or a folder of PNG.

    Raises:
        DataError, UsageError: what is there cannot be submitted.
    """
    from fusionbench.core.images import images_in
    from fusionbench.submissions.submit import member

    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        files: dict[str, Path] = {}
        if predictions.is_dir():
            pictures = utf8_names(images_in(predictions))
            other = [path.name for path in pictures.values() if path.suffix != ".png"]
            if other:
                raise DataError(f"{predictions}: {other[0]} is not PNG; save the model's output itself as .png")
            record = record_of_pictures(pictures, data, **words)
            files = {f"{IMAGES}/{name}.png": path for name, path in pictures.items()}
        else:
            samples = _samples_in(predictions)
            record = record_of_samples(samples, data, **words)
            files = {SAMPLES: Path(temporary) / SAMPLES}
            write_samples(files[SAMPLES], samples)
        archive.writestr(member(META), msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1))
        for name, path in files.items():
            info = member(name)
            info.compress_type = zipfile.ZIP_STORED  # PNG and gzip are compressed already
            with open(path, "rb") as source, archive.open(info, "w") as stream:
                while block := source.read(1 << 20):
                    stream.write(block)


def _samples_in(path: Path) -> Any:
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        return h5py.File(path, "r")["samples"]
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: no samples in it ({reason}); give a .npy, or an HDF5 file with 'samples'") from error


def score_once(folder: str, data: str, suite: str, out: str) -> None:
    """In the child: score the unpacked predictions in ``folder`` into ``out``; ``suite`` is "" where none is needed."""
    from fusionbench.submissions.prediction_kinds import KINDS

    record = read_record(Path(folder))
    KINDS[record.kind].score(Path(folder), record, Path(data), suite, Path(out))


def score_samples(folder: Path, record: Predictions, data: Path, suite: str, out: Path) -> None:
    """Score the samples of a masked set as the suite says.

    Raises:
        Rejected: other images, another number of draws, or a suite of another protocol.
    """
    from fusionbench.evaluation.make_result import make_result
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite
    from fusionbench.metrics.mse_min import METRIC, mse_min

    rules = load_suite(suite)
    options: Any = rules.protocol
    protocol = PROTOCOLS.get(options.name)
    if protocol.name != record.kind:
        raise Rejected(f"predictions for the protocol {record.kind}; the suite {suite} is scored under {protocol.key}")
    images = protocol.open(str(data), options, split=rules.split)
    dataset, count = images.dataset, len(images.ids)
    if (record.split, record.images) != (rules.split, count):
        raise Rejected(f"predictions for {record.images} images of {record.split}; {count} of {rules.split} are scored")
    spec, targets = dataset.spec, dataset.arrays(rules.split).targets
    columns: list[list[np.ndarray]] = [[] for _ in range(spec.views + 1)]
    with open_samples(folder / SAMPLES, count, spec) as samples:
        draws = samples.shape[2]
        if draws not in (1, options.draws):
            raise Rejected(f"{draws} draws; the protocol asks for {options.draws}, or 1 of a deterministic model")
        for begin, values in blocks(samples):
            target = targets[begin : begin + len(values)] / 255.0
            for inputs, column in enumerate(columns):
                column.append(mse_min(np.moveaxis(values[:, inputs], 1, 0) / 255.0, target))
    scored = {f"mse_min@{inputs}": np.concatenate(column) for inputs, column in enumerate(columns)}
    scored |= averages(scored, "mse_min", spec.views, options.paper_batch)
    table: dict[str, np.ndarray] = {"id": images.ids, **scored}
    content = {"predictions_sha256": file_sha256(folder / SAMPLES)}
    identity = schema.Identity(
        model=schema.ModelIdentity(name=record.model, version="1", params=content),
        dataset=images.identity,
        protocol=protocol.identity(options, images),
        metrics={METRIC.name: METRIC.version},
    )
    made = make_result(identity, title=record.title, status="scored", with_command=False)
    made.scores = {key: schema.summarise(values, "lower", "1", draws=draws) for key, values in scored.items()}
    schema.save(made, out, table)


def score_images(folder: Path, record: Predictions, data: Path, suite: str, out: Path) -> None:
    """Score one image for every pair in ``data``; no suite is needed.

    Raises:
        DataError: images that lack, differ in size or cannot be read.
    """
    from fusionbench.evaluation.pair_sets import open_pairs
    from fusionbench.evaluation.pairs import score_pictures

    pairs = open_pairs(data, record.split, strict=True)
    score_pictures(folder / IMAGES, pairs, name=record.model, title=record.title, out=out)
