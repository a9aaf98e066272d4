"""The demo as files: the pixels of the embedded pairs, in colour, and nobody else's image written over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.fusing.demo import write_demo
from fusionbench.sources.pairs import PairsDemo
from tests.evaluation.fusing.scenes import pixels


def test_the_sources_are_the_embedded_pairs_in_colour(tmp_path: Path) -> None:
    demo = write_demo(tmp_path / "new" / "demo")
    assert np.array_equal(pixels(demo.b / "coffee.png"), data.coffee()[60:316, 200:456])
    pairs = PairsDemo().read_pairs("all", np.arange(3))
    for stem, pair in zip(("astronaut", "chelsea", "coffee"), pairs, strict=True):
        assert np.array_equal(pixels(demo.a / f"{stem}.png"), pair[0])
    assert not demo.fused.exists() and not demo.sheet.exists()


def test_a_second_time_writes_nothing_and_completes_what_is_missing(tmp_path: Path) -> None:
    demo = write_demo(tmp_path)
    (demo.b / "chelsea.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    (tmp_path / "visible" / ".DS_Store").write_bytes(b"x")
    write_demo(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in before} and (demo.b / "chelsea.png").is_file()


def test_images_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "visible").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "visible" / "coffee.png")
    before = (tmp_path / "visible" / "coffee.png").read_bytes()
    with pytest.raises(UsageError, match=r"coffee.png: is there and not of the demo; .* --force"):
        write_demo(tmp_path)
    assert (tmp_path / "visible" / "coffee.png").read_bytes() == before and len(list(tmp_path.rglob("*.png"))) == 1
    write_demo(tmp_path, force=True)
    assert pixels(tmp_path / "visible" / "coffee.png").shape == (256, 256, 3)
    (tmp_path / "visible" / "01.jpg").write_bytes(before)
    with pytest.raises(UsageError, match=r"01.jpg: is not of the demo"):
        write_demo(tmp_path, force=True)


def test_places_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("file", "fused.png", "fused.JPEG"):
        with pytest.raises(UsageError, match="--demo fills a folder"):
            write_demo(tmp_path / name)
    with pytest.raises(DataError, match="cannot write"):
        write_demo(tmp_path / "file" / "demo")
