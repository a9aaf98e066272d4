"""Label maps beside registered pairs: indices and nothing else, checked before they are decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError
from fusionbench.sources import SOURCES
from fusionbench.sources.labelled_pairs import LabelledPairs, MsrsLabelled, ProbeDemo

from . import folders


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folders.labelled(tmp_path / "set")


def test_maps_are_read_as_indices_from_grey_and_from_palettes(root: Path) -> None:
    source = LabelledPairs(root)
    expected = source.label_map("all", 0)
    assert expected.dtype == np.uint8 and set(np.unique(expected)) == {0, 1, 2}
    image = Image.fromarray(expected).convert("P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.putdata(expected.ravel().tolist())
    image.save(root / "labels" / "0001.png")
    assert np.array_equal(LabelledPairs(root).label_map("all", 0), expected)


def png_of_few_bits(bits: int, colour: int, indices: np.ndarray) -> bytes:
    """A PNG of 1, 2 or 4 bits a pixel, grey (0) or of a palette (3); written here, as Pillow writes no such grey."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = indices.shape
    planes = (indices[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits))) if colour == 3 else b""
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_indices_of_few_bits_are_never_scaled(root: Path, bits: int) -> None:
    indices = (np.arange(24 * 32).reshape(24, 32) % min(3, 2**bits)).astype(np.uint8)
    (root / "labels" / "0001.png").write_bytes(png_of_few_bits(bits, 3, indices))
    assert np.array_equal(LabelledPairs(root).label_map("all", 0), indices)
    (root / "labels" / "0001.png").write_bytes(png_of_few_bits(bits, 0, indices))
    with pytest.raises(DataError, match=rf"0001\.png: grey of {bits} bits; write class indices with 8 bits"):
        LabelledPairs(root).label_map("all", 0)


def test_a_wrong_checksum_is_told(root: Path) -> None:
    path = root / "labels" / "0001.png"
    content = bytearray(path.read_bytes())
    content[content.index(b"IEND") - 5] ^= 1  # the last byte of the checksum of the pixels
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"0001\.png: damaged label map \(a checksum"):
        LabelledPairs(root).label_map("all", 0)


def test_a_label_changes_the_fingerprint(root: Path) -> None:
    before = LabelledPairs(root).fingerprint("all")
    assert LabelledPairs(root).fingerprint("all") == before
    changed = LabelledPairs(root).label_map("all", 0)
    changed[0, 0] = 7
    Image.fromarray(changed).save(root / "labels" / "0001.png")
    assert LabelledPairs(root).fingerprint("all") != before


def test_msrs_lays_its_labels_beside_its_splits(tmp_path: Path) -> None:
    folders.labelled(tmp_path / "train", labels="Segmentation_labels")
    source = MsrsLabelled(tmp_path)
    assert tuple(source.splits) == ("train",) and source.label_map("train", 1).shape == (24, 32)
    assert source.classes[2] == "person"


def test_classes_of_ones_own(root: Path) -> None:
    (root / "classes.txt").write_text("0 background\n\n 1 tree\n2 cat-1\n")
    assert LabelledPairs(root).classes == {1: "tree", 2: "cat-1"}
    for wrong in (
        "1 tree\n1 cat\n",
        "1 tree\n2 tree\n",
        "300 tree\n",
        "tree\n",
        "1 ../x\n",
        "0 background\n",
        "-1 a\n",
    ):
        (root / "classes.txt").write_text(wrong)
        with pytest.raises(DataError, match=r"classes\.txt: (line|no class)") as caught:
            LabelledPairs(root)
        assert "\n" not in str(caught.value)
    (root / "classes.txt").write_bytes(b"1 a\n" * (1 << 15))
    with pytest.raises(DataError, match=r"classes\.txt"):
        LabelledPairs(root)


def test_grey_visible_images_have_no_colour(root: Path) -> None:
    assert LabelledPairs(root).colour_image("all", 0) is None
    Image.new("RGB", (32, 24), (9, 8, 7)).save(root / "vi" / "0001.png")
    colours = LabelledPairs(root).colour_image("all", 0)
    assert colours is not None and colours[0, 0].tolist() == [9, 8, 7]


def test_what_is_no_map_is_one_line_that_names_it(root: Path, tmp_path: Path) -> None:
    path = root / "labels" / "0001.png"
    good = path.read_bytes()
    size = struct.pack(">II", 60000, 60000)
    bomb = good[:16] + size + good[24:29] + struct.pack(">I", zlib.crc32(b"IHDR" + size + good[24:29])) + good[33:]
    wrong = {
        "60000×60000 pixels, its pair has 24×32": bomb,
        "damaged": good[: len(good) // 2],
        "no PNG": b"GIF89a" + good,
    }
    for said, content in wrong.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=said) as caught:
            LabelledPairs(root).label_map("all", 0)
        assert "0001.png" in str(caught.value) and "\n" not in str(caught.value)
    Image.new("RGB", (32, 24)).save(path)
    with pytest.raises(DataError, match="RGB instead of one channel"):
        LabelledPairs(root).fingerprint("all")
    path.unlink()
    with pytest.raises(DataError, match="1 pairs have no label map: 0001"):
        LabelledPairs(root)


def test_a_folder_without_maps_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no label maps here; looked for labels/ or Segmentation_labels/"):
        LabelledPairs(folders.pairs(tmp_path, "ir", "vi"))


def test_the_demo_shows_each_class_in_one_view_alone() -> None:
    demo = SOURCES.get("probe-demo")()
    assert isinstance(demo, ProbeDemo)
    (pairs, _, maps), flat = demo._made, []
    for name, view, other in (("person", 0, 1), ("car", 1, 0)):
        number = next(key for key, value in demo.classes.items() if value == name)
        for pair, label in zip(pairs.astype(float), maps, strict=True):
            inside, outside = label == number, label == 0
            assert pair[view][inside].min() > pair[view][outside].mean() + 30
            flat.append(pair[other][inside].mean() - pair[other][outside].mean())
    assert abs(np.mean(flat)) < 1.5  # noise of 32 levels
