"""``folder``: any folder of images (PNG, JPEG, TIFF, WebP, BMP, PNM), of one or of mixed sizes.

Images lie in the folder itself, or in subfolders that are then the classes (numbered from 1 in the order of their
names). They are taken in the order of their paths; a link that leads out of the folder is refused when it is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import SUFFIXES
from fusionbench.sources.file_notes import FileNotes


def _images(root: Path) -> Iterator[tuple[str, bool]]:
    """Name below ``root``, with ``/``, of every image in it and in its folders, and whether a link leads to it."""
    with os.scandir(root) as entries:
        for entry in entries:
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                yield entry.name, entry.is_symlink()
            if _is_folder(entry):
                with os.scandir(entry.path) as inner:
                    for image in inner:
                        if os.path.splitext(image.name)[1].lower() in SUFFIXES:
                            yield f"{entry.name}/{image.name}", entry.is_symlink() or image.is_symlink()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _within(path: Path, folder: str) -> bool:
    """Whether what a link leads to is in ``folder``; of a link to itself that is the link, which cannot be read."""
    return Path(os.path.realpath(path)).is_relative_to(folder)


class Folder:
    """Split ``all``: RGB images; labels when there are subfolders.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from fusionbench.sources import SOURCES
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name, size in (("a.png", (8, 6)), ("b.png", (5, 5))):
        ...         Image.new("RGB", size, "red").save(Path(root) / name)
        ...     folder = SOURCES.get("folder")(Path(root))
        ...     print(folder.length("all"), [image.shape for image in folder.read_list("all", np.arange(2))])
        2 [(6, 8, 3), (5, 5, 3)]
    """

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "A folder of images"
    licence: ClassVar[str] = "as the owner of the images states"
    citation: ClassVar[str] = "the owner of the images"
    homepage: ClassVar[str] = ""
    redistributable: ClassVar[bool] = False
    splits: Sequence[str] = ("all",)

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise UsageError("This recipe builds a data set from your images: name their folder with --source-dir DIR")
        self.root, self.notes = Path(root), FileNotes()
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder")
        inside = os.path.realpath(self.root)
        try:
            found = sorted(_images(self.root))
        except OSError as error:
            raise DataError(f"{self.root}: cannot be listed: {error.strerror}") from error
        self._names = [name for name, _ in found]
        self._paths = [self.root / name for name in self._names]
        self._outside = {
            path for path, (_, linked) in zip(self._paths, found, strict=True) if linked and not _within(path, inside)
        }
        if not self._paths:
            raise DataError(f"{self.root}: no images here or in its subfolders (looked for {', '.join(SUFFIXES)})")
        classes = sorted({path.parent.name for path in self._paths if path.parent != self.root})
        if classes and any(path.parent == self.root for path in self._paths):
            raise DataError(f"{self.root}: images lie both here and in subfolders; put all of them in one or the other")
        number = {name: i for i, name in enumerate(classes, 1)}
        self._labels = np.array([number[path.parent.name] for path in self._paths], np.int64) if classes else None

    def _check(self, split: str) -> None:
        if split not in self.splits:
            raise UsageError(f"The source 'folder' has no split {split!r}; it has 'all'")

    def length(self, split: str) -> int:
        self._check(split)
        return len(self._paths)

    def read_list(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        """Images of their own sizes: n of uint8 (h, w, 3)."""
        self._check(split)
        return [self._read(self._paths[index]) for index in np.asarray(indices, np.int64).tolist()]

    def _read(self, path: Path) -> np.ndarray:
        if path in self._outside:
            raise DataError(f"{path}: leads out of the folder; copy the image instead of linking it")
        return self.notes.rgb(path)

    def names(self, split: str) -> Sequence[str]:
        """Paths below the folder, with ``/``."""
        self._check(split)
        return self._names

    def paths(self, split: str, index: int) -> tuple[Path, ...]:
        self._check(split)
        return (self._paths[index],)

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Images of one size.

        Raises:
            DataError: they have different sizes; :meth:`read_list` reads those.
        """
        images = self.read_list(split, indices)
        if not images:
            return np.empty((0, 1, 1, 3), np.uint8)
        for image, index in zip(images, np.asarray(indices).tolist(), strict=True):
            if image.shape != images[0].shape:
                raise DataError(f"{self._paths[index]}: has another size than {self._paths[int(indices[0])].name}")
        return np.stack(images)

    def labels(self, split: str) -> np.ndarray | None:
        self._check(split)
        return None if self._labels is None else self._labels.copy()

    def fingerprint(self, split: str) -> str:
        state = hashlib.sha256()
        for index in range(self.length(split)):
            image = self.read_list(split, np.array([index]))[0]
            state.update(str(image.shape).encode() + image.tobytes())
        return state.hexdigest()
