"""Image files as sources read them, with notes on conversions while reading, once per set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import some
from fusionbench.core.image_ranges import Range
from fusionbench.core.images import DecodedImage, read_image


class FileNotes:
    """Notes of the files that a source has read: a source that has some has one of these as ``notes``."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, path: str | Path, image: DecodedImage) -> DecodedImage:
        """Remember the notes of an image, and give it back."""
        if image.notes:
            self._found[str(path)] = image.note
        return image

    def rgb(
        self, path: str | Path, size: tuple[int, int] | None = None, value_range: Range | None = None
    ) -> np.ndarray:
        """The image at ``path`` as uint8 (h, w, 3); arguments and errors as of :func:`read_image`."""
        return self.add(path, read_image(path, value_range, size=size)).rgb()

    def take(self) -> dict[str, str]:
        """Path -> note of all that was read since the last time."""
        found, self._found = self._found, {}
        return found


def tell_notes(place: object, notes: Mapping[str, str]) -> None:
    """Say notes (path -> note) of the files of one ``place``: a line for each kind, with the first names."""
    for note in sorted(set(notes.values())):
        names = sorted(Path(path).name for path, found in notes.items() if found == note)
        progress.say(f"note: {place}: {len(names)} files: {note} ({some(names)})")
