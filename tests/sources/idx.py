"""Writes MNIST-like IDX files; the module under test only accepts the real sizes, which tests make smaller."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from fusionbench.sources import mnist

COUNTS = {"train": 37, "test": 11}


def header(values: np.ndarray) -> bytes:
    return struct.pack(f">{values.ndim + 1}I", 2048 + values.ndim, *values.shape)


def contents() -> dict[str, bytes]:
    """File name (without .gz) -> content of four valid files."""
    out = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        count = COUNTS[split]
        images = (np.arange(count * 784) % 251).astype(np.uint8).reshape(count, 28, 28)
        labels = (np.arange(count) % 10).astype(np.uint8)
        out[f"{stem}-images-idx3-ubyte"] = header(images) + images.tobytes()
        out[f"{stem}-labels-idx1-ubyte"] = header(labels) + labels.tobytes()
    return out


def write_all(folder: Path, gzipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents().items():
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
        else:
            (folder / name).write_bytes(content)
    return folder


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the source expect ``COUNTS`` images instead of 60,000 and 10,000."""
    monkeypatch.setattr(mnist, "_FILES", {"train": ("train", COUNTS["train"]), "test": ("t10k", COUNTS["test"])})
