"""Keep small pictures beside shipped results: `python tools/small_pictures.py CACHE benchmarks/results`.

CACHE is what `fusionbench board RESULTS -o SITE --pictures-from DATA` keeps beside the site (SITE-pictures): pictures
that were checked against the scores of their results. Sources and fused images are reduced to 128 pixels and 64 grey
levels, so that a page of single images comes with the repository; only for sources that may be passed on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.core.images import FULL, encode_png, read_image
from fusionbench.core.io import write_bytes, write_json
from fusionbench.evaluation.remade_images import RemadeFolder
from fusionbench.results.schema import load

SIDE, LEVELS = 128, 64


def small(path: Path) -> bytes:
    """PNG of an image, averaged to at most ``SIDE`` pixels a side, in ``LEVELS`` levels."""
    image = Image.fromarray(read_image(path, FULL).grey())
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    step = 256 // LEVELS
    return encode_png((np.asarray(image) // step * (255 / (LEVELS - 1))).round().astype(np.uint8), small=True)


def main(cache: Path, results: Path) -> None:
    """Write the pictures of every result of which the cache has some."""
    places = [RemadeFolder(folder) for folder in sorted(cache.iterdir()) if (folder / "sources").is_dir()]
    for file in sorted(results.glob("*/*/*/result.json")):
        result = load(file)
        for place in places:
            fused = sorted(place.fused(result).glob("*.png"))
            for path in fused:
                write_bytes(file.parent / "fused" / path.name, small(path))
            if fused:
                sources = results / result.identity.dataset.name / "sources"
                for path in sorted((place.folder / "sources").glob("[ab]/*.png")):
                    write_bytes(sources / path.parent.name / path.name, small(path))
                # other than what a run writes, which therefore replaces them by whole ones
                data = result.identity.dataset
                write_json(sources / "set.json", {"id": data.id, "version": data.version, "reduced": SIDE})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
