"""What tests of submissions submit: samples of FusionDigits, fused images of drawn pairs, archives of any content."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fusionbench.data.dataset import open_dataset
from fusionbench.submissions.predictions import pairs_of
from tests.metrics.scenes import scene

IMAGES, DRAWS = 20, 2
SIZE = (64, 80)  # of drawn pairs


def noisy_samples(dataset: Path) -> np.ndarray:
    """Noise around the first view; other noise for every draw and number of inputs."""
    views = open_dataset(dataset).arrays("test").views[:IMAGES, 0].astype(np.int16)
    noise = np.random.default_rng(0).integers(-9, 10, (IMAGES, 4, DRAWS, *views.shape[1:]))
    return np.clip(views[:, None, None] + noise, 0, 255).astype(np.uint8)


def small_suite(path: Path, draws: int = DRAWS) -> Path:
    path.write_text(
        'format = "fusionbench.suite/1"\nname = "small"\ntitle = "Small"\ndataset = "fusiondigits"\n'
        f'[protocol]\ndraws = {draws}\nlimit = {IMAGES}\n[[models]]\nname = "mean-image"\n'
    )
    return path


def sample_record(folder: Path, **changes: Any) -> bytes:
    """The record of :func:`noisy_samples`."""
    opened = open_dataset(folder)
    made = {"schema": "fusionbench.predictions/1", "kind": "masked", "title": "Theirs", "submitter": "Ada"}
    made |= {"model": "theirs", "dataset": opened.name, "dataset_id": opened.id, "images": IMAGES}
    return json.dumps(made | changes).encode()


def drawn_pairs(root: Path) -> Path:
    """Four pairs, and in ``fused`` an honest image of each."""
    for number in range(4):
        for folder, image in zip(("fused", "ir", "vi"), scene(number, SIZE), strict=True):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / folder / f"{number:02}.png")
    return root


def unpacked_images(pairs: Path, folder: Path) -> Path:
    """A submission of the fused images of :func:`drawn_pairs`, as it is after its archive was unpacked."""
    (folder / "images").mkdir()
    for path in (pairs / "fused").iterdir():
        (folder / "images" / path.name).write_bytes(path.read_bytes())
    made = {"schema": "fusionbench.predictions/1", "kind": "pairs", "title": "Theirs", "submitter": "Ada"}
    made |= {"model": "theirs", "dataset": "pairs", "split": "all", "images": 4}
    made["dataset_id"] = pairs_of(pairs).identity.id
    (folder / "submission.json").write_text(json.dumps(made))
    return folder


def zipped(path: Path, parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def png_of(width: int, height: int, bits: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG whose header claims a size, whatever its data are."""
    ihdr = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
