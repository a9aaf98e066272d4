"""Fingerprints of accepted submissions: what was submitted before, by whom, also when its files are others.

A fingerprint is a small JSON beside the result. ``exact`` is a digest of what the files hold: tensors by name, so that
weights that were saved again count, or decoded pixels. ``near``, of masked sets, is what predictions differ in from the
targets, on a coarse grid and a few images: two models differ in it, copies of one hardly do. Of fused pairs it is the
grey values of a few pixels. Honest methods make images that are nearly those of others, so that it leads to a remark.

Example:
    >>> import numpy as np
    >>> from fusionbench.submissions.fingerprints import Content, NearVector, likeness
    >>> rng = np.random.default_rng(0)
    >>> targets = rng.integers(0, 256, (40, 16, 16), np.uint8)
    >>> def near(error):
    ...     vector = NearVector(targets, 40, inputs=1)
    ...     for index in range(40):
    ...         made = np.clip(targets[index] + error[index], 0, 255).astype(np.uint8)
    ...         vector.add(index, np.stack([made[None]] * 2))
    ...     return vector.text()
    >>> one, other = (rng.integers(-40, 40, (40, 16, 16)) for _ in range(2))
    >>> found = likeness(near(one), [near(one + rng.integers(-3, 4, one.shape)), near(other)])
    >>> bool(found[0] > 0.98), bool(abs(found[1]) < 0.5)
    (True, True)
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.formats import read_json
from fusionbench.core.io import canonical_json, read_bounded, write_bytes
from fusionbench.core.progress import say
from fusionbench.core.text import Digest, ResultName
from fusionbench.results.schema import Result
from fusionbench.submissions.pixel_vectors import MAX_IMAGES, grey_distance, near_values

FILE = "fingerprint.json"
FORMAT = "fusionbench.fingerprint/1"
MAX_BYTES = 64 << 10
NEAR = 0.985  # likeness from which predictions are those of another submission; see docs/rounds.md
NEAR_GREY = 0.45  # grey levels (RMS) to which fused images are those of another row; see docs/rounds.md
LEAST_SPREAD = 0.2  # of the targets' variance: below, errors are minus the targets for every method; see docs/trust.md
GRID = 8  # side of the grid of an image that is looked at
_BLOCK = 1000  # fingerprints that are compared at a time
Near = Annotated[str, msgspec.Meta(max_length=32 << 10, pattern=r"\A[A-Za-z0-9+/]*={0,2}\Z")]


class Content(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What was submitted: ``exact`` digest, and of predictions ``near``, int8 values in base64."""

    kind: Literal["weights", "predictions"]
    exact: Digest
    near: Near | None = None


class Fingerprint(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Content of ``fingerprint.json``: whose row it is of, what was scored, and what it consists of."""

    schema: Literal["fusionbench.fingerprint/1"] = "fusionbench.fingerprint/1"
    submission: Digest
    submitter: ResultName
    title: ResultName
    dataset: ResultName  # identity of the data set, of a round where it is one
    content: Content


class NearVector:
    """The ``near`` part of a fingerprint, image by image.

    Args:
        targets: uint8 (n, H, W[, C]) of the split.
        images: number of images of the submission.
        inputs: most inputs; predictions with one and with all of them are looked at.
    """

    def __init__(self, targets: Any, images: int, inputs: int) -> None:
        self._targets, self._inputs = targets, sorted({min(1, inputs), inputs})
        self.chosen = frozenset(np.linspace(0, images - 1, min(images, MAX_IMAGES)).astype(int).tolist())
        self._parts: list[np.ndarray] = []
        self._spread = np.zeros(2)  # variance of predictions and of targets on the grid, summed

    def add(self, index: int, samples: np.ndarray) -> None:
        """Look at the samples uint8 (V+1, K, H, W[, C]) of one image, if it is one of ``chosen``.

        The mean over draws counts, which no order of draws changes.
        """
        import cv2

        if index not in self.chosen:
            return
        target = np.asarray(self._targets[index], np.float32)
        for inputs in self._inputs:
            rest = samples[inputs].mean(axis=0, dtype=np.float32) - target
            small, true = (
                cv2.resize(one if one.ndim == 2 else one.mean(axis=2), (GRID, GRID), interpolation=cv2.INTER_AREA)
                for one in (rest, target)
            )
            self._spread += (small + true).var(), true.var()
            self._parts.append(small.ravel())

    def text(self) -> str:
        """All of it as int8 in base64; the scale does not count.

        Empty where predictions vary too little to be recognised by: those of two models that learned nothing are alike.
        """
        if self._spread[0] < LEAST_SPREAD * self._spread[1]:
            return ""
        values = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        largest = float(np.abs(values).max(initial=0.0))
        scaled = np.round(values * (127 / largest)) if largest else values
        return base64.b64encode(scaled.astype(np.int8).tobytes()).decode()


def likeness(near: str, others: Sequence[str]) -> np.ndarray:
    """Cosine between one ``near`` text of a masked set and others, float64 (n,); 0 where lengths differ.

    The larger one of the values and of the values less the mean of each image, so that brightness hides nothing.

    Example:
        >>> from fusionbench.submissions.fingerprints import likeness
        >>> likeness("AQI=", ["AgQ=", "AQ==", ""]).round(3).tolist()
        [1.0, 0.0, 0.0]
    """
    own = near_values(near)
    found = np.zeros(len(others))
    places = [place for place, other in enumerate(others) if len(other) == len(near)] if own.any() else []
    for begin in range(0, len(places), _BLOCK):
        block = places[begin : begin + _BLOCK]
        rows = [near_values(others[place]) for place in block]
        same = [k for k, row in enumerate(rows) if len(row) == len(own)]
        matrix = np.array([rows[k] for k in same], np.float32).reshape(len(same), len(own))
        cosine = _cosine(matrix, own)
        if len(own) % GRID**2 == 0:
            cosine = np.maximum(cosine, _cosine(_without_means(matrix), _without_means(own[None])[0]))
        found[[block[k] for k in same]] = cosine
    return found


def _cosine(matrix: np.ndarray, own: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(matrix, axis=1) * np.linalg.norm(own)
    result: np.ndarray = np.divide(matrix @ own, length, out=np.zeros(len(matrix), np.float32), where=length > 0)
    return result


def _without_means(matrix: np.ndarray) -> np.ndarray:
    images = matrix.reshape(len(matrix), -1, GRID**2)
    result: np.ndarray = (images - images.mean(axis=2, keepdims=True)).reshape(matrix.shape)
    return result


class PixelDigest:
    """The exact digest of decoded images, however they were packed.

    Example:
        >>> import numpy as np
        >>> from fusionbench.submissions.fingerprints import PixelDigest
        >>> one, other = PixelDigest(), PixelDigest()
        >>> one.add("a", np.zeros((2, 3), np.uint8)), other.add("a", np.zeros((3, 2), np.uint8))
        (None, None)
        >>> one.hexdigest() == other.hexdigest()
        False
    """

    def __init__(self) -> None:
        self._total = hashlib.sha256(FORMAT.encode())

    def add(self, name: str, pixels: np.ndarray) -> None:
        """One image or block of images, uint8; in the same order for equal submissions."""
        self._total.update(canonical_json([name, list(pixels.shape)]))
        self._total.update(np.ascontiguousarray(pixels).data)

    def hexdigest(self) -> str:
        """Of all that was added."""
        return self._total.hexdigest()


def weights_digest(path: Path) -> str:
    """Digest of the tensors in a safetensors file: name, type, shape and bytes, by name.

    Saving the same tensors again, in another order or with other metadata, does not change it. Scaled or permuted
    weights are others.

    Raises:
        DataError: not a safetensors file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from safetensors.numpy import save_file
        >>> from fusionbench.submissions.fingerprints import weights_digest
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     one, other = Path(folder) / "one", Path(folder) / "other"
        ...     save_file({"a": np.ones(3), "b": np.zeros(2)}, one)
        ...     save_file({"b": np.zeros(2), "a": np.ones(3)}, other, metadata={"by": "somebody else"})
        ...     weights_digest(one) == weights_digest(other), one.read_bytes() == other.read_bytes()
        (True, False)
    """
    total = hashlib.sha256(FORMAT.encode())
    try:
        with open(path, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(os.fstat(stream.fileno()).st_size, 1 << 20):
                raise DataError(f"{path}: not a safetensors file")
            header = msgspec.json.decode(stream.read(length), type=dict[str, dict[str, Any]])
            header.pop("__metadata__", None)
            for name in sorted(header):
                begin, end = header[name]["data_offsets"]
                total.update(canonical_json([name, header[name]["dtype"], header[name]["shape"]]))
                stream.seek(8 + length + begin)
                while begin < end:
                    part = stream.read(min(end - begin, 16 << 20))
                    if not part:
                        raise DataError(f"{path}: not a safetensors file: it ends early")
                    total.update(part)
                    begin += len(part)
    except (OSError, struct.error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a safetensors file: {error}") from error
    return total.hexdigest()


def fingerprint_of(result: Result, content: Content) -> Fingerprint:
    """The fingerprint of the submission that a result is of."""
    assert result.submission is not None
    return Fingerprint(
        submission=result.submission.id,
        submitter=result.origin.submitter or "",
        title=result.title,
        dataset=result.identity.dataset.id,
        content=content,
    )


def save_fingerprint(folder: Path, fingerprint: Fingerprint) -> None:
    """Write ``fingerprint.json`` into a result's folder."""
    write_bytes(folder / FILE, msgspec.json.encode(fingerprint, order="sorted") + b"\n")


def read_fingerprint(path: Path) -> Fingerprint:
    """A fingerprint.

    Raises:
        DataError: missing, or not one.
    """
    try:
        return read_json(read_bounded(path, MAX_BYTES, "fingerprint"), Fingerprint, path, (Fingerprint, Content))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a {FORMAT} file: {error}; accept the submission again") from error


def _accepted(results: Path, dataset: str) -> Iterator[Fingerprint]:
    """Fingerprints of all rows of a data set; a damaged one is named and passed over."""
    for path in sorted(results.glob(f"**/{dataset}/*/*/{FILE}")):
        if not (path.parent / "result.json").is_file():
            continue  # accepting it did not end
        try:
            yield read_fingerprint(path)
        except DataError as error:
            say(f"note: {error}")


def copy_problems(
    ours: Fingerprint, results: Path, dataset: str, replaces: str | None = None, *, of_pairs: bool = False
) -> list[str]:
    """Whether a submission is one that was accepted before, also in other files or nearly the same, a line each.

    Weights and predictions of another submitter are found in all rows of the data set, whatever the protocol or round.
    Of the same submitter only what is exactly the same on the same data counts, where it does not say ``replaces``.

    Args:
        results, dataset: root of the results, and the name of the data set.
        of_pairs: whether the predictions are fused images of pairs, of which near copies are remarked, not refused.
    """
    accepted = [one for one in _accepted(results, dataset) if one.submission != ours.submission]
    accepted = [one for one in accepted if one.content.kind == ours.content.kind]
    what = "weights" if ours.content.kind == "weights" else "predictions"
    for one in accepted:
        if one.content.exact != ours.content.exact:
            continue
        if one.submitter != ours.submitter:
            return [f"these {what} are those of {_named(one)}, which is not the same submitter's"]
        if one.dataset == ours.dataset and one.submission != replaces:
            return [
                f"these {what} were submitted before as {_named(one)}; to replace that row pack them with --replaces "
                f"{one.submission}"
            ]
    others = [one for one in accepted if one.submitter != ours.submitter and one.dataset == ours.dataset]
    if ours.content.near is not None and others and not of_pairs:
        found = likeness(ours.content.near, [one.content.near or "" for one in others])
        place = int(found.argmax())
        if found[place] >= NEAR:
            return [
                f"these predictions are nearly those of {_named(others[place])}, which is not the same submitter's: "
                f"what both differ in from the targets agrees to {found[place]:.4f} (limit {NEAR})"
            ]
    return []


def copy_remarks(
    ours: Fingerprint, results: Path, dataset: str, replaces: str | None = None, *, of_pairs: bool = False
) -> list[str]:
    """What is remarked about predictions that nearly are those of an accepted row; at most one line.

    Those are fused images of anybody's row, since honest methods may agree so far, and samples of the same submitter's.

    Args:
        as in :func:`copy_problems`.
    """
    near = ours.content.near
    if near is None:
        return []
    rows = [
        one
        for one in _accepted(results, dataset)
        if one.submission not in (ours.submission, replaces)
        and (one.content.kind, one.dataset) == (ours.content.kind, ours.dataset)
        and (of_pairs or one.submitter == ours.submitter)
    ]
    if not rows:
        return []
    texts = [one.content.near or "" for one in rows]
    found = grey_distance(near, texts) if of_pairs else likeness(near, texts)
    place = int(found.argmin() if of_pairs else found.argmax())
    if not (found[place] <= NEAR_GREY if of_pairs else found[place] >= NEAR):
        return []
    row = rows[place]
    whose = "of the same submitter: a further try" if row.submitter == ours.submitter else "of somebody else"
    measure = f"RMS {found[place]:.2f} grey levels" if of_pairs else f"errors agree to {found[place]:.4f}"
    return [f"nearly the images of {_named(row)}, {whose} ({measure})"]


def _named(fingerprint: Fingerprint) -> str:
    return f"{ascii(fingerprint.title)[1:-1]} (submission {fingerprint.submission[:12]})"
