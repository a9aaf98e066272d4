"""Cut-outs of a user's own pictures, as a family of degradations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import FULL, images_in, read_image
from fusionbench.core.progress import say
from fusionbench.synth.cutout_gate import GatedCut
from fusionbench.synth.cutouts import CannyCut
from fusionbench.synth.degradations import DEGRADATIONS
from fusionbench.synth.degradations.occlude_cutouts import OccludeByCutOuts
from fusionbench.synth.degradations.silhouettes import MOST, bank_of

FAMILY = OccludeByCutOuts.name
CUT = GatedCut(CannyCut(low=20, high=60, close=5))  # as FusionCOIL's objects are cut
LARGEST = 4096  # pixels of a side of a picture


def cutout_family(folder: str | Path) -> str:
    """Name of the family ``occlude/2`` with the objects of the pictures in a folder, registered for this process.

    Where a picture has an alpha channel that leaves something out, that is its object; else the object is cut out by
    its edges, as FusionCOIL's are, which wants one thing before an even background. Colours become grey.

    Raises:
        DataError: no folder, too many pictures, ones that cannot be read, or nothing that can be cut out of any.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from fusionbench.evaluation.degrade_cutouts import cutout_family
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     thing = Image.new("LA", (20, 30))
        ...     thing.paste((120, 255), (5, 5, 15, 25))
        ...     thing.save(Path(folder) / "thing.png")
        ...     cutout_family(folder).partition("+")[0]
        'occlude/2'
    """
    files = images_in(folder)
    if len(files) > MOST:
        raise DataError(f"{folder}: {len(files)} pictures, and a bank has at most {MOST} cut-outs; leave some out")
    pictures, masks, without = [], [], []
    for path in files.values():
        image = read_image(path, FULL, keep_alpha=True)
        grey = image.grey()
        if max(grey.shape) > LARGEST:
            raise DataError(f"{path}: {grey.shape[0]}×{grey.shape[1]} pixels; a cut-out has at most {LARGEST} a side")
        mask = image.alpha if image.alpha is not None and image.alpha.min() < 255 else _cut(grey)
        if mask is None or not (mask > 127).any():
            without.append(path.name)
            continue
        pictures.append(grey)
        masks.append(mask)
    if not pictures:
        raise DataError(f"{folder}: nothing can be cut out of its {len(files)} pictures; give PNGs with alpha")
    if without:
        say(f"warning: {folder}: nothing can be cut out of {len(without)} of {len(files)} pictures, as {without[0]}")
    made = OccludeByCutOuts(bank_of(pictures, masks))
    if made.name not in DEGRADATIONS.names():
        DEGRADATIONS.register(made.name)(made)
    return made.name


def with_cutouts(families: list[str], folder: str | Path) -> list[str]:
    """The families, with ``occlude/2`` of the pictures in a folder in the place of its own objects.

    Raises:
        UsageError: it is not among them.
        DataError: as :func:`cutout_family`.
    """
    if FAMILY not in families:
        raise UsageError(f"cut-outs are what {FAMILY} shows: name this family, too")
    own = cutout_family(folder)
    return [own if name == FAMILY else name for name in families]


def _cut(grey: np.ndarray) -> np.ndarray | None:
    """The best mask that the gate lets through; None where there is none."""
    good = [way for way in CUT.candidates(grey, None) if way.good]
    return CUT.mask(grey, None, good[0].way) if good else None
