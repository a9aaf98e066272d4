"""The embedded demo pairs as files, for a first look at fusing: nothing to fetch.

OUT/simulated-infrared/NAME.png   grey
OUT/visible/NAME.png              colour
OUT/fused/, OUT/sheet.png         for what is made of them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_writer import SUFFIX
from fusionbench.core.images import SUFFIXES, encode_png, read_image
from fusionbench.core.io import require_folder, write_bytes
from fusionbench.sources.pairs import PairsDemo


@dataclass(frozen=True)
class DemoFiles:
    """Where the sources of the demo are, and where fused images and the sheet belong.

    Attributes:
        a, b: folders of the simulated infrared and of the visible images.
        fused, sheet: a folder and a PNG, which need not exist.
    """

    a: Path
    b: Path
    fused: Path
    sheet: Path


def write_demo(out: str | Path, *, force: bool = False) -> DemoFiles:
    """Write the sources of the embedded demo pairs below ``out``; what is there already stays as it is.

    The infrared ones are made from the colours of the visible ones and show nothing about real sensors, see
    :class:`fusionbench.sources.pairs.PairsDemo`.

    Args:
        force: write over other images under the demo's names. Images of other names are never touched.

    Raises:
        UsageError: ``out`` is the name of a file, or its folders of sources hold images that are not of the demo.
        DataError: a folder that cannot be written.

    Example:
        >>> import tempfile
        >>> from fusionbench.evaluation.fusing.demo import write_demo
        >>> with tempfile.TemporaryDirectory() as root:
        ...     demo = write_demo(root)
        ...     sorted(path.name for path in demo.b.iterdir())
        ['astronaut.png', 'chelsea.png', 'coffee.png']
    """
    out = Path(out)
    if out.is_file() or out.suffix.lower() in {*SUFFIX.values(), ".tiff", ".jpeg"}:
        raise UsageError(f"{out}: --demo fills a folder; choose the name of one, for example -o demo")
    found = DemoFiles(out / "simulated-infrared", out / "visible", out / "fused", out / "sheet.png")
    source = PairsDemo()
    stems = source.stems("all")
    indices = np.arange(len(stems))
    thermal, visible = source.views("all", indices)[:, 0, ..., 0], source.colours("all", indices)
    wanted: dict[Path, np.ndarray] = {}
    for folder, images in ((found.a, thermal), (found.b, visible)):
        wanted |= {folder / f"{stem}.png": pixels for stem, pixels in zip(stems, images, strict=True)}
        others = [path for path in _images(folder) if path not in wanted]
        if others:
            raise UsageError(f"{others[0]}: is not of the demo, which has the folder for itself; choose another -o")
    missing = {path: pixels for path, pixels in wanted.items() if not _is(path, pixels, force)}
    for folder in (found.a, found.b):
        require_folder(folder)
    for path, pixels in missing.items():
        write_bytes(path, encode_png(pixels), durable=False)
    return found


def _images(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _is(path: Path, pixels: np.ndarray, force: bool) -> bool:
    """Whether the file has these pixels.

    Raises:
        UsageError: it has others, and ``force`` is false.
    """
    if not path.exists():
        return False
    try:
        if np.array_equal(read_image(path).pixels, pixels):
            return True
    except DataError:
        pass
    if not force:
        raise UsageError(f"{path}: is there and not of the demo; choose another folder, or replace it with --force")
    return False


__all__ = ["DemoFiles", "write_demo"]
