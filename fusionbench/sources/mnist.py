"""``mnist``: the four original IDX files of MNIST, gzipped or not.

An IDX file is a big-endian header (two zero bytes, type 8 for uint8, number of dimensions, one 32-bit size each)
and the values. Magic number, sizes and file length are checked before anything is allocated, and a gzip stream is
never expanded past the size that MNIST has.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError

_FILES = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
_SHAPE = (28, 28)


class Mnist:
    """Splits ``train`` (60,000) and ``test`` (10,000): uint8 (n, 28, 28, 1) with labels 0..9."""

    name: ClassVar[str] = "mnist"
    title: ClassVar[str] = "MNIST handwritten digits, 28×28"
    licence: ClassVar[str] = "CC BY-SA 3.0 (as stated by secondary sources)"
    citation: ClassVar[str] = (
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE 86(11), 1998"
    )
    homepage: ClassVar[str] = "http://yann.lecun.com/exdb/mnist/"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("train", "test")

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise UsageError(
                "MNIST is not embedded: name the folder of its four IDX files with --source-dir DIR; "
                "`fusionbench fetch mnist` downloads them"
            )
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; --source-dir names the folder of the four MNIST files")
        self._paths = {
            (split, kind): _find(self.root, stem, kind)
            for split, (stem, _) in _FILES.items()
            for kind in ("images", "labels")
        }
        for (split, kind), path in self._paths.items():
            with _open(path) as stream:
                _read_header(path, stream, kind, _FILES[split][1])
        self._images: dict[str, np.ndarray] = {}

    def length(self, split: str) -> int:
        if split not in _FILES:
            raise UsageError(f"The source 'mnist' has no split {split!r}; it has 'train' and 'test'")
        return _FILES[split][1]

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self._all(split)[np.asarray(indices, np.int64)]

    def labels(self, split: str) -> np.ndarray | None:
        count = self.length(split)
        path = self._paths[split, "labels"]
        labels = _read_values(path, "labels", count)
        if labels.max() > 9:
            raise DataError(f"{path}: label {labels.max()} at index {int(labels.argmax())} is not a digit")
        return labels.astype(np.int64)

    def containers(self, split: str) -> tuple[Path, ...]:
        """The files that hold all images and labels of a split."""
        self.length(split)
        return self._paths[split, "images"], self._paths[split, "labels"]

    def fingerprint(self, split: str) -> str:
        return hashlib.sha256(self._all(split).tobytes()).hexdigest()

    def _all(self, split: str) -> np.ndarray:
        count = self.length(split)
        if split not in self._images:
            values = _read_values(self._paths[split, "images"], "images", count)
            self._images[split] = values.reshape(count, *_SHAPE, 1)
        return self._images[split]


def _find(root: Path, stem: str, kind: str) -> Path:
    dimensions = 3 if kind == "images" else 1
    names = [f"{stem}-{kind}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in (".gz", "")]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise DataError(f"{root}: {names[0]} (or without .gz) is missing; name the folder of the four MNIST files")


def _open(path: Path) -> IO[bytes]:
    stream = open(path, "rb")  # noqa: SIM115 the caller closes it
    gzipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if gzipped else stream  # type: ignore[return-value]


def _read(path: Path, stream: IO[bytes], count: int) -> bytes:
    try:
        return stream.read(count)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror or error}") from error


def _read_header(path: Path, stream: IO[bytes], kind: str, count: int) -> None:
    expected = (2051, count, *_SHAPE) if kind == "images" else (2049, count)
    raw = _read(path, stream, 4 * len(expected))
    if len(raw) < 4 * len(expected):
        raise DataError(f"{path}: truncated: {len(raw)} bytes are not even an IDX header; fetch it again")
    found = struct.unpack(f">{len(expected)}I", raw)
    if found[0] != expected[0]:
        other = {2051: "an image file", 2049: "a label file"}.get(found[0], "not an IDX file of bytes")
        raise DataError(f"{path}: magic number {found[0]} where {expected[0]} belongs: it is {other}; was it swapped?")
    if found != expected:
        sizes = "×".join(map(str, found[1:]))
        raise DataError(f"{path}: it says {sizes} where MNIST has {'×'.join(map(str, expected[1:]))}; was it swapped?")


def _read_values(path: Path, kind: str, count: int) -> np.ndarray:
    size = count * (_SHAPE[0] * _SHAPE[1] if kind == "images" else 1)
    with _open(path) as stream:
        _read_header(path, stream, kind, count)
        content = _read(path, stream, size)
        if len(content) < size:
            raise DataError(f"{path}: truncated: {len(content)} of {size} values; fetch it again")
        if _read(path, stream, 1):
            raise DataError(f"{path}: continues after the {size} values of MNIST; download it again")
    return np.frombuffer(content, np.uint8)
