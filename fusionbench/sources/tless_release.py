"""``fusiontless-release``: the images that the authors of FusionVAE trained and evaluated on (extra: lmdb).

The folder holds the three LMDBs of their release, each a folder with ``data.mdb``: targets of 128×128, cut-outs of
100×100, and the evaluation set of 64×64, in which three views and the target (last) lie side by side in one PNG.
Values are PNG files, keyed by their decimal number.

An LMDB is a memory map of pointers, and damaged ones can crash a process. So a file is opened only when its size and
sha256 are those of the release: whatever else lies there is refused unread.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_headers import PngHeader, png_header
from fusionbench.core.images import FULL, DecodedImage, decode_image
from fusionbench.core.io import file_sha256

_MAX_VALUE = 1 << 20  # bytes of one PNG
_GATE = threading.Lock()  # the library refuses a file that is open twice in a process


@dataclass(frozen=True)
class ReleasePart:
    """One LMDB of the release: its folder, how many PNGs of which size it holds, and the bytes of ``data.mdb``."""

    folder: str
    count: int
    size: tuple[int, int]
    tiles: int  # images of that size in a PNG
    bytes: int
    sha256: str


class FusionTLessRelease:
    """Splits ``train`` uint8 (5836, 128, 128, 3), ``occluders`` (15552, 100, 100, 3), ``valid`` (644, 64, 64, 3).

    ``views`` gives the stored views of ``valid``; ``visible_mask`` the alpha of a cut-out, or where it has none, what
    is not black. No labels: the release has none.
    """

    name: ClassVar[str] = "fusiontless-release"
    title: ClassVar[str] = "FusionT-LESS as released with FusionVAE: five target classes, twelve of occluders"
    licence: ClassVar[str] = "derived from T-LESS, which is CC BY 4.0"
    citation: ClassVar[str] = (
        "F. Duffhauss, N. A. Vien, H. Ziesche, G. Neumann: FusionVAE: A Deep Hierarchical Variational Autoencoder for "
        "RGB Image Fusion, ECCV 2022; T. Hodaň et al.: T-LESS, WACV 2017"
    )
    homepage: ClassVar[str] = "https://github.com/ALRhub/FusionVAE"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("train", "occluders", "valid")
    parts: ClassVar[dict[str, ReleasePart]] = {
        "train": ReleasePart(
            "train128x128cropped5socketClasses.lmdb",
            5836,
            (128, 128),
            1,
            35_905_536,
            "a2dc29f1e5d9448786a302c0dc181c6f60a6973ecb794cc94ca00a5dde54b65e",
        ),
        "occluders": ReleasePart(
            "train100x100_overlay_imgs_12classes.lmdb",
            15552,
            (100, 100),
            1,
            116_310_016,
            "a2dc6a00a2eb1f796a889853b27976203780687400f0ee7e11df8bb08e8ad240",
        ),
        "valid": ReleasePart(
            "valid64x64_augOcc_5socketClasses.lmdb",
            644,
            (64, 64),
            4,
            6_991_872,
            "9d64e95d3a825cef0639a2c2b0ac04a52fc8f9a3bdb28fb91736761fc07434be",
        ),
    }

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise UsageError(
                "The release is not embedded: name the folder of its three .lmdb folders: --source-dir DIR"
            )
        self.root = Path(root)
        for part in self.parts.values():
            path = self.root / part.folder / "data.mdb"
            if not path.is_file():
                raise DataError(f"{path}: no such file; --source-dir names the folder of the release's *.lmdb folders")
            if path.stat().st_size != part.bytes:
                raise DataError(
                    f"{path}: {path.stat().st_size} bytes instead of the release's {part.bytes}; fetch it again"
                )
            if file_sha256(path) != part.sha256:
                raise DataError(f"{path}: its sha256 is not the release's; it is not opened; fetch it again")

    def _part(self, split: str) -> ReleasePart:
        if split not in self.parts:
            raise UsageError(f"The source {self.name!r} has no split {split!r}; it has: {', '.join(self.splits)}")
        return self.parts[split]

    @contextmanager
    def _opened(self, part: ReleasePart) -> Iterator[Any]:
        try:
            import lmdb
        except ImportError as error:
            raise UsageError("This source needs a library: pip install 'fusionbench[lmdb]'") from error
        path = self.root / part.folder
        try:
            with (
                _GATE,
                lmdb.open(str(path), readonly=True, lock=False, create=False, max_dbs=0, max_readers=1) as file,
                file.begin() as reading,
            ):
                yield reading
        except lmdb.Error as error:
            raise DataError(f"{path}: cannot be read ({str(error)[:80]}); fetch it again") from error

    def _values(self, split: str, indices: np.ndarray) -> Iterator[tuple[str, bytes]]:
        """Name (for messages) and PNG of every image, checked as far as its header goes."""
        part = self._part(split)
        with self._opened(part) as reading:
            for index in np.asarray(indices, np.int64).tolist():
                name = f"{self.root / part.folder}, image {index}"
                value = reading.get(str(index).encode())
                if value is None:
                    raise DataError(f"{name}: it is not there; fetch the release again")
                if len(value) > _MAX_VALUE or not _is_plain(png_header(value)):
                    raise DataError(f"{name}: not a PNG of 8 bits and at most {_MAX_VALUE} bytes; it is not decoded")
                yield name, value

    def _tiles(self, split: str, indices: np.ndarray) -> np.ndarray:
        """uint8 (n, tiles, h, w, 3), the tiles from left to right or from top to bottom."""
        part = self._part(split)
        height, width = part.size
        out = np.empty((len(indices), part.tiles, height, width, 3), np.uint8)
        for i, (name, value) in enumerate(self._values(split, indices)):
            header = png_header(value)
            across = header is not None and (header.height, header.width) == (height, width * part.tiles)
            size = (height, width * part.tiles) if across else (height * part.tiles, width)
            out[i] = np.stack(np.split(_decode(value, name, size).rgb(), part.tiles, axis=1 if across else 0))
        return out

    def length(self, split: str) -> int:
        return self._part(split).count

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self._tiles(split, indices)[:, -1].copy()

    def views(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The views that the authors evaluated on, in their order: uint8 (n, 3, 64, 64, 3).

        Raises:
            UsageError: a split without views.
        """
        if self._part(split).tiles == 1:
            raise UsageError(f"The split {split!r} of {self.name!r} has no views; 'valid' has")
        return self._tiles(split, indices)[:, :-1].copy()

    def visible_mask(self, split: str, index: int) -> np.ndarray | None:
        """Alpha of a cut-out: uint8 (100, 100), 0 where it is transparent; None in other splits."""
        if split != "occluders":
            return None
        ((name, value),) = self._values(split, np.array([index]))
        image = _decode(value, name, self._part(split).size)  # its size is checked here
        return np.where(image.rgb().any(axis=2), 255, 0).astype(np.uint8) if image.alpha is None else image.alpha

    def labels(self, split: str) -> np.ndarray | None:
        self._part(split)
        return None

    def fingerprint(self, split: str) -> str:
        state = hashlib.sha256()
        for start in range(0, self.length(split), 256):
            state.update(self._tiles(split, np.arange(start, min(self.length(split), start + 256))).data)
        return state.hexdigest()


def _is_plain(header: PngHeader | None) -> bool:
    return header is not None and header.bits <= 8


def _decode(value: bytes, name: str, size: tuple[int, int]) -> DecodedImage:
    """The colours, with alpha apart: cut-outs have it on purpose, and the release is known byte by byte."""
    return decode_image(value, name, FULL, size=size, keep_alpha=True)
