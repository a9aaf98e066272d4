"""Where the data and the weights of a result are looked for, by their digests, whatever they are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.core.images import images_in
from fusionbench.core.io import digest, file_sha256, utf8_names
from fusionbench.data.shards.manifest import FILE as MANIFEST
from fusionbench.data.shards.manifest import Manifest, read_manifest

# the weights of a submission's archive, extracted into an empty folder; None where it has none
ReadArchive = Callable[[Path, Path], Path | None]
MAX_FILES = 20_000  # files that are looked at below one place
MAX_DEPTH = 6


@dataclass(frozen=True)
class Places:
    """Where to look.

    Attributes:
        data: roots of data sets, folders of data sets, or of the image files of pairs.
        sources: folders of upstream files, or folders that have one for each source, called like it.
        weights: files of weights, run folders, archives of submissions, folders of fused images, or folders of these.
        runs: where training again goes on and stays.
        read_archive: how archives are read; without it they are passed over.
    """

    data: Sequence[Path] = (Path("data"),)
    sources: Sequence[Path] = ()
    weights: Sequence[Path] = (Path("runs"),)
    runs: Path = Path("runs")
    read_archive: ReadArchive | None = None


def files_below(place: Path, names: Callable[[str], bool]) -> Iterator[Path]:
    """Regular files at ``place`` or below it, in order, whose name ``names`` takes; links are not followed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.reproduction.places import files_below
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.zip", "a.zip", "a.txt"):
        ...         _ = (Path(folder) / name).write_bytes(b"")
        ...     [path.name for path in files_below(Path(folder), lambda name: name.endswith(".zip"))]
        ['a.zip', 'b.zip']
    """
    if place.is_file():
        if names(place.name):
            yield place
        return
    seen = 0
    for folder, folders, files in os.walk(place):
        here = Path(folder)
        folders[:] = sorted(folders) if len(here.relative_to(place).parts) < MAX_DEPTH else []
        for name in sorted(files):
            seen += 1
            if seen > MAX_FILES:
                return
            if names(name) and not (here / name).is_symlink() and (here / name).is_file():
                yield here / name


@dataclass
class Finder:
    """Finds things in :class:`Places`, and remembers digests so that many results cost one look."""

    places: Places
    scratch: Path
    _weights: dict[str, Path] | None = field(default=None, init=False)
    _manifests: list[tuple[Path, Manifest]] | None = field(default=None, init=False)

    def weights(self, sha256: str) -> Path | None:
        """The file of weights with this digest; None where there is none."""
        if self._weights is None:
            self._weights = {}
            for place in self.places.weights:
                for path in files_below(place, lambda name: name.endswith((".safetensors", ".zip"))):
                    self._add_weights(path, self._weights)
        return self._weights.get(sha256)

    def _add_weights(self, path: Path, found: dict[str, Path]) -> None:
        if path.suffix == ".zip":
            if self.places.read_archive is None:
                return
            folder = self.scratch / "archives" / str(len(found))
            folder.mkdir(parents=True, exist_ok=True)
            try:
                inside = self.places.read_archive(path, folder)
            except FusionbenchError:
                inside = None
            if inside is None:
                return
            path = inside
        found.setdefault(file_sha256(path), path)

    def fused_images(self, made_of: str, stems: Sequence[str]) -> Path | None:
        """The folder of fused images of these names whose contents have the digest ``made_of``."""
        for place in self.places.weights:
            for folder in _folders(place):
                try:
                    files = utf8_names(images_in(folder))
                except DataError:
                    continue
                whole = all(stem in files for stem in stems)
                if whole and digest([[stem, file_sha256(files[stem])] for stem in stems]) == made_of:
                    return folder
        return None

    def manifests(self) -> list[tuple[Path, Manifest]]:
        """Folders of all finished data sets at the places of data, with their manifests."""
        if self._manifests is None:
            self._manifests = []
            for place in self.places.data:
                for path in files_below(place, lambda name: name == MANIFEST):
                    try:
                        self._manifests.append((path.parent, read_manifest(path.parent)))
                    except DataError:  # not a data set, or a damaged one: it cannot be what is looked for
                        continue
        return self._manifests


def _folders(place: Path) -> Iterator[Path]:
    for folder, folders, _ in os.walk(place):
        here = Path(folder)
        folders[:] = sorted(folders) if len(here.relative_to(place).parts) < MAX_DEPTH else []
        yield here
