"""``scenes-demo``: sharp pictures in tiles, embedded: what multi-focus and multi-exposure stacks are made of."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import unknown_name

SIDE = 128
# split -> picture -> rows and columns of tiles, from its upper left corner
_TILES: dict[str, dict[str, tuple[int, int]]] = {
    "train": {"astronaut": (4, 4), "camera": (4, 4)},
    "test": {"chelsea": (2, 3), "coffee": (3, 4)},
}


class ScenesDemo:
    """Splits ``train`` and ``test``: tiles of 128×128 pixels of pictures of scikit-image, test of other pictures.

    Example:
        >>> import numpy as np
        >>> from fusionbench.sources import SOURCES
        >>> scenes = SOURCES.get("scenes-demo")()
        >>> [scenes.length(split) for split in scenes.splits], scenes.read("test", np.array([0])).shape
        ([32, 18], (1, 128, 128, 3))
    """

    name: ClassVar[str] = "scenes-demo"
    title: ClassVar[str] = "Tiles of four pictures of scikit-image"
    licence: ClassVar[str] = "public domain (astronaut) and CC0 (camera, chelsea, coffee)"
    citation: ClassVar[str] = "S. van der Walt et al.: scikit-image, PeerJ 2:e453, 2014"
    homepage: ClassVar[str] = "https://scikit-image.org"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("train", "test")

    def __init__(self, root: object = None) -> None:
        pass  # the pictures are part of scikit-image, whatever folder is named

    def length(self, split: str) -> int:
        return len(self._tiles(split))

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self._tiles(split)[np.asarray(indices, np.int64)]

    def labels(self, split: str) -> np.ndarray | None:
        self._tiles(split)
        return None

    def fingerprint(self, split: str) -> str:
        return hashlib.sha256(self._tiles(split).tobytes()).hexdigest()

    def _tiles(self, split: str) -> np.ndarray:
        if split not in self.splits:
            raise unknown_name(f"split of {self.name}", split, self.splits)
        return _read_tiles(split)


@lru_cache(maxsize=2)
def _read_tiles(split: str) -> np.ndarray:
    from skimage import data

    found = []
    with warnings.catch_warnings():
        # of tqdm, in a notebook without ipywidgets: pooch imports it, and nothing is downloaded
        warnings.filterwarnings("ignore", message="IProgress not found")
        for name, (rows, columns) in _TILES[split].items():
            picture = np.atleast_3d(getattr(data, name)())
            picture = np.repeat(picture, 3 // picture.shape[2], axis=2)[: rows * SIDE, : columns * SIDE]
            cut = picture.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2)
            found.append(cut.reshape(rows * columns, SIDE, SIDE, 3))
    tiles = np.concatenate(found)
    tiles.flags.writeable = False
    return tiles
