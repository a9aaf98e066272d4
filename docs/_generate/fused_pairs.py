"""Draw docs/images/fused-pairs.jpg, the image of README.md: the embedded demo pairs, fused in colour.

Run: python docs/_generate/fused_pairs.py
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fusionbench.core.figures import pair_sheet
from fusionbench.evaluation.fusing.fuse import fuse
from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD, load_method
from fusionbench.sources.pairs import PairsDemo

METHODS = (DEFAULT_METHOD, "laplacian-pyramid", "guided-filter")
SIDE = 180  # pixels
OUT = Path(__file__).parents[1] / "images" / "fused-pairs.jpg"


def main() -> None:
    source = PairsDemo()
    indices = np.arange(source.length("all"))
    methods = [load_method(name, device="cpu") for name in METHODS]
    lines = []
    for pair, visible in zip(source.read_pairs("all", indices), source.colours("all", indices), strict=True):
        images = [pair[0], visible, *(fuse(pair[0], visible, method) for method in methods)]
        lines.append([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images])
    sheet = pair_sheet(lines, ["infrared (simulated)", "visible", *METHODS])
    with Image.open(io.BytesIO(sheet)) as image:
        image.convert("RGB").save(OUT, quality=88, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
