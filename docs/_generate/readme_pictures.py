"""Draw the pictures of README.md, for a column of 830 pixels and for a phone, with letters of 7 to 9 pixels there.

Run: python docs/_generate/readme_pictures.py [SITE/PAGE.html]

docs/images/fused-pairs.jpg: an embedded pair, fused in colour. fusiondigits.png: targets and their views. With a page
of a board, board.png: its first screen, by Chromium.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.fusing.fuse import fuse
from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD, load_method
from fusionbench.sources.pairs import PairsDemo

IMAGES = Path(__file__).parents[1] / "images"
WIDTH = 1660  # twice the column, for screens with two pixels where others have one
GAP, LABEL = 20, 44
SAMPLES = (0, 197)  # of the test split of FusionDigits
BOARD = (1180, 820)  # of the window, in its own pixels: all metrics fit
SCALE = WIDTH / BOARD[0]


def strip(images: list[np.ndarray], labels: list[str]) -> Image.Image:
    """Images side by side, as wide as the column, with a label above each."""
    side = (WIDTH - GAP * (len(images) - 1)) // len(images)
    page = Image.new("RGB", (WIDTH, side + LABEL + GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=LABEL if len(images) < 6 else LABEL - 4)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        left = number * (side + GAP)
        draw.text((left + side / 2, LABEL), label, fill="#555555", font=font, anchor="mb")
        smaller = image.shape[0] > side
        shown = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)
        page.paste(Image.fromarray(shown), (left, LABEL + GAP))
    return page


def draw_fused() -> Image.Image:
    """A pair of the embedded ones, and what the default method makes of it."""
    source, place = PairsDemo(), np.array([0])
    (pair,), (visible,) = source.read_pairs("all", place), source.colours("all", place)
    fused = fuse(pair[0], visible, load_method(DEFAULT_METHOD, device="cpu"))
    return strip([pair[0], visible, fused], ["infrared (simulated)", "visible", "fused, in colour"])


def draw_digits() -> Image.Image:
    """Two digits with their three views."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = open_dataset(build_dataset(load_recipe("fusiondigits"), out=folder)).arrays("test")
        images = [image for index in SAMPLES for image in (arrays.targets[index], *arrays.views[index])]
    return strip([np.array(image) for image in images], ["target", "view 1", "view 2", "view 3"] * len(SAMPLES))


def draw_board(page: Path) -> Image.Image:
    """The first screen of a benchmark's page: who is ahead, and the first rows of its table."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "board.png")
        window = f"--window-size={BOARD[0]},{BOARD[1]}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", window]
        command = ["chromium", *flags, f"--force-device-scale-factor={SCALE}", f"--screenshot={shot}"]
        subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
        return Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")


def main() -> None:
    draw_fused().save(IMAGES / "fused-pairs.jpg", quality=85, optimize=True)
    draw_digits().convert("L").quantize(64).save(IMAGES / "fusiondigits.png", optimize=True)
    if len(sys.argv) > 1:
        draw_board(Path(sys.argv[1])).quantize(128).save(IMAGES / "board.png", optimize=True)


if __name__ == "__main__":
    main()
