"""A board in memory, before it is written: files by name, the results that they show, what was set aside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench import __version__
from fusionbench.board.site_index import BoardIndex, IndexedFile, IndexedResult, IndexedTable, Pictures
from fusionbench.core.errors import DataError
from fusionbench.core.io import file_sha256
from fusionbench.results.comparison import title_of
from fusionbench.results.result_set import SetAside, StoredResult

if TYPE_CHECKING:
    from fusionbench.evaluation.remade_images import RemadeFolder

Files = dict[str, bytes | Callable[[], bytes]]  # name -> content, or what makes it when it is written


@dataclass
class Pages:
    """A board in memory: ``files`` by name, the results that they show, and what was set aside.

    Attributes:
        strict: refuse what would be set aside.
        pictures: whether images are made again, of all sources or of those that may be passed on.
        remade: images that were made again and may be shown, by the slug of the benchmark.
    """

    files: Files = field(default_factory=dict)
    results: list[StoredResult] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    strict: bool = False
    remade: dict[str, RemadeFolder] = field(default_factory=dict)
    pictures: Pictures = ""

    @contextlib.contextmanager
    def isolated(self, file: Path) -> Iterator[None]:
        """Set aside a file of a result or data set that turns out to be damaged; the pages do without it."""
        try:
            yield
        except DataError as error:
            if self.strict:
                raise
            reason = " ".join(str(error).split()).removeprefix(f"{file}: ")
            self.set_aside.append(SetAside(file, f"{reason}; left out"))

    def index(self, root: Path, title: str, anonymous: bool, resamples: int, digests: dict[str, str]) -> BoardIndex:
        """What stands in ``board-index.json``. ``digests``: sha256 of every file."""
        return BoardIndex(
            fusionbench=__version__,
            title=title,
            anonymous=anonymous,
            resamples=resamples,
            results=[_indexed(one, root) for one in self.results],
            set_aside=relative(self.set_aside, root),
            files=digests,
            pictures=self.pictures,
        )


def _indexed(one: StoredResult, root: Path) -> IndexedResult:
    table = one.result.per_image
    return IndexedResult(
        file=one.file.relative_to(root).as_posix(),
        sha256=file_sha256(one.file),
        id=one.result.id,
        status=one.result.status,
        title=title_of(one.result),
        table=None if table is None else IndexedTable(file=table.file, sha256=table.sha256),
    )


def relative(aside: Sequence[SetAside], root: Path) -> list[IndexedFile]:
    """Files set aside by their names below the results' folder, so that a board does not depend on where that lies."""
    found = {(one.file.relative_to(root).as_posix(), one.reason.replace(f"{root}/", "")) for one in aside}
    return [IndexedFile(file=file, reason=reason) for file, reason in sorted(found)]


def content_of(made: bytes | Callable[[], bytes]) -> bytes:
    """The bytes of a file of a board, made now where they are not there yet."""
    return made if isinstance(made, bytes) else made()
