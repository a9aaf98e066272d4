"""Writes archives of predictions: the record of what was predicted on, and the files."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import utf8_names
from fusionbench.submissions.archive import archive_entry, write_record
from fusionbench.submissions.predictions import IMAGES, SAMPLES, Predictions, pairs_of

if TYPE_CHECKING:
    import h5py

Draft = tuple[Predictions, dict[str, Path]]  # the record, and file in the archive -> file to copy


def write_samples(path: Path, samples: h5py.Dataset | np.ndarray) -> None:
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


def record_of_samples(samples: h5py.Dataset | np.ndarray, data: Path, **words: Any) -> Predictions:
    """The record of samples (see :func:`write_samples`) for the test split of the data set in ``data``."""
    from fusionbench.data.dataset import open_dataset

    dataset = open_dataset(data)
    return Predictions(
        kind="masked", dataset=dataset.name, dataset_id=dataset.id, images=int(samples.shape[0]), **words
    )


def record_of_images(images: Mapping[str, Path], data: Path, **words: Any) -> Predictions:
    """The record of one PNG for every pair in ``data``."""
    pairs = pairs_of(data)
    return Predictions(
        kind="pairs", dataset=pairs.name, dataset_id=pairs.identity.id, split=pairs.split, images=len(images), **words
    )


def draft_samples(predictions: Path, data: Path, folder: Path, words: Mapping[str, str | None]) -> Draft:
    """The record of a .npy, or of an HDF5 file with ``samples``, and ``predictions.h5``, which is made in ``folder``.

    Raises:
        DataError, UsageError: no samples that can be submitted, or no data set.
    """
    samples = _samples_in(predictions)
    record = record_of_samples(samples, data, **words)
    write_samples(folder / SAMPLES, samples)
    return record, {SAMPLES: folder / SAMPLES}


def draft_images(predictions: Path, data: Path, folder: Path, words: Mapping[str, str | None]) -> Draft:
    """The record of a folder of PNG files, and the files; nothing is made in ``folder``.

    Raises:
        DataError, UsageError: images of another format, or no pairs.
    """
    from fusionbench.core.images import images_in

    images = utf8_names(images_in(predictions))
    other = [path.name for path in images.values() if path.suffix != ".png"]
    if other:
        raise DataError(f"{predictions}: {other[0]} is not PNG; save the model's output itself as .png")
    record = record_of_images(images, data, **words)
    return record, {f"{IMAGES}/{name}.png": path for name, path in images.items()}


def write_prediction_draft(predictions: Path, data: Path, out: Path, words: Mapping[str, str | None]) -> None:
    """Write an unchecked archive of ``predictions``: an HDF5 file with ``samples``, a .npy file, or a folder of PNG.

    Raises:
        DataError, UsageError: what is there cannot be submitted.
    """
    from fusionbench.submissions.prediction_kinds import PREDICTION_KINDS

    kind = next(kind for kind in PREDICTION_KINDS.values() if kind.drafts(predictions))
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        record, files = kind.draft(predictions, data, Path(temporary), words)
        write_record(archive, record)
        for name, path in files.items():
            entry = archive_entry(name, zipfile.ZIP_STORED)  # PNG and gzip are compressed already
            with open(path, "rb") as source, archive.open(entry, "w") as stream:
                while block := source.read(1 << 20):
                    stream.write(block)


def _samples_in(path: Path) -> h5py.Dataset | np.ndarray:
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
