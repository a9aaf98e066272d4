"""Remarks about fused pictures: each is made where its cause is, and not on untouched pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.images import read_image
from fusionbench.submissions.remarks import blockiness, pearson_coefficient, remarks
from tests.metrics.scenes import scene

SCENES = [scene(number, (96, 120)) for number in range(6)]
FUSED = [fused for fused, _, _ in SCENES]
ROWS = [[np.clip(a, 20, 230), np.clip(b, 20, 230)] for _, a, b in SCENES]
NAMES = ("a", "b")


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def test_untouched_pictures_get_no_remark() -> None:
    assert remarks([np.clip(image, 20, 230) for image in FUSED], ROWS, NAMES) == []
    assert abs(blockiness(FUSED)) < 0.08


@pytest.mark.parametrize("quality", [30, 50])
def test_jpeg_blocks(quality: int) -> None:
    made = [jpeg(np.clip(image, 20, 230), quality) for image in FUSED]
    (line,) = [line for line in remarks(made, ROWS, NAMES) if "JPEG" in line]
    assert "% larger than elsewhere" in line
    both = [[jpeg(image, quality) for image in row] for row in ROWS]
    assert blockiness([row[0] for row in both]) > 0.08
    assert not [line for line in remarks([row[0] // 2 for row in both], both, NAMES) if "JPEG" in line], "theirs, too"


def test_stretched_pictures() -> None:
    def stretch(image: np.ndarray) -> np.ndarray:
        low, high = int(image.min()), int(image.max())
        return np.rint((image.astype(float) - low) * 255 / (high - low)).astype(np.uint8)

    (line,) = remarks([stretch(image) for image in FUSED], ROWS, NAMES)
    assert "6 of 6 images span exactly 0..255" in line and "1.23 times" in line
    full = [[np.where(np.indices(image.shape).sum(0) == 0, 0, image) for image in row] for row in ROWS]
    for row in full:
        row[0][-1, -1] = 255
    assert remarks([stretch(image) for image in FUSED], full, NAMES) == [], "the sources span it themselves"


def test_near_copies() -> None:
    noisy = [np.clip(row[1] + np.random.default_rng(0).normal(0, 2, row[1].shape), 0, 255) for row in ROWS]
    (line,) = remarks([image.astype(np.uint8) for image in noisy], ROWS, NAMES)
    assert line.startswith("near-copy of b: correlation 0.99") and "6 of 6" in line


def test_swapped_channels() -> None:
    colour = []
    for _, a, b in SCENES:
        source = np.stack([a, b, b // 2], -1)
        colour.append((np.rint(0.8 * source).astype(np.uint8), source))
    grey = [np.clip(image, 20, 230) for image in FUSED]
    assert remarks(grey, ROWS, NAMES, colour) == []
    (line,) = remarks(grey, ROWS, NAMES, [(fused[..., ::-1], source) for fused, source in colour])
    assert "red and blue are exchanged" in line and "levels" in line


def test_degenerate_pictures() -> None:
    flat = [np.full((32, 32), 7, np.uint8)] * 4
    assert remarks(flat, [[image, image] for image in flat], NAMES) == []
    assert remarks([], [], NAMES) == []
    assert np.isnan(pearson_coefficient(flat[0], flat[0])) and np.isnan(blockiness(flat)) and np.isnan(blockiness([]))
    tiny = [np.random.default_rng(k).integers(0, 255, (9, 9), dtype=np.uint8) for k in range(4)]
    assert isinstance(remarks(tiny, [[image, image.T] for image in tiny], NAMES), list)


@pytest.mark.data
def test_real_pictures(real_data: Path) -> None:
    """TNO: sources untouched, a public network's output untouched; its JPEG at quality 75 is noticed."""
    names = [path.stem for path in sorted((real_data / "fused" / "CDDFuse" / "tno").iterdir())][:10]
    folders = [real_data / "fused" / "CDDFuse" / "tno", real_data / "tno" / "ir", real_data / "tno" / "vi"]
    images = [[read_image(next(folder.glob(f"{name}.*"))).grey() for folder in folders] for name in names]
    sources = [row[1:] for row in images]
    told = remarks([row[0] for row in images], sources, NAMES)
    assert not [line for line in told if "JPEG" in line or "copy" in line], told
    told = remarks([jpeg(row[0], 75) for row in images], sources, NAMES)
    assert [line for line in told if "JPEG" in line]
    told = remarks([row[2] for row in images], sources, NAMES)
    assert [line for line in told if line.startswith("near-copy of b: correlation 1.0000")]
