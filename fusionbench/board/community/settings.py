"""``community.toml``: what a leaderboard scores, what it takes, and how much of it from one account."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from fusionbench.core.documents import parse_toml
from fusionbench.core.errors import DataError
from fusionbench.core.formats import require_format
from fusionbench.core.io import read_bounded
from fusionbench.core.text import Count, Line, SuiteName
from fusionbench.submissions.kinds.base import SubmissionKind
from fusionbench.submissions.kinds.predictions import PREDICTIONS
from fusionbench.submissions.kinds.published import PUBLISHED
from fusionbench.submissions.kinds.weights import WEIGHTS

if TYPE_CHECKING:
    from fusionbench.evaluation.suites import Suite

SETTINGS = "community.toml"
LEDGER = "ledger.jsonl"
SUITE = "suite.toml"
RESULTS = "results"
REFERENCE = "reference"  # below RESULTS: the maintainers' own rows, which no ledger lists
INCOMING, ACCEPTED, WITHDRAW = "submissions/incoming", "submissions/accepted", "submissions/withdraw"
DATA = ".data"
MAX_SETTINGS = 64 << 10  # bytes
KIND_NAMES: dict[str, SubmissionKind] = {"weights": WEIGHTS, "predictions": PREDICTIONS, "published": PUBLISHED}
KindName = Literal["weights", "predictions", "published"]


class Limits(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """``[limits]``: most accepted submissions of one account in 24 hours and in all, and MiB of one file."""

    per_day: Count = 2
    total: Count = 20
    archive_mib: Annotated[int, msgspec.Meta(ge=1, le=2048)] = 50


class Community(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Content of ``community.toml``.

    Attributes:
        title: that of the pages.
        suite: the suite's file in the repository.
        data: what is scored: a data set or a source of pairs, embedded or below ``.data/``.
        branch: the branch that has the ledger and the results.
        kinds: the kinds of submission that are taken.
        keep_archives: whether accepted files are committed, so that they can be scored again.
        seconds: most time for scoring one submission.
    """

    format: Literal["fusionbench.community/1"] = "fusionbench.community/1"
    title: Line
    suite: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9+._-]{0,63}\.toml\Z")] = SUITE
    data: SuiteName
    branch: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")] = "main"
    kinds: Annotated[list[KindName], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["weights", "predictions", "published"]
    )
    keep_archives: bool = True
    seconds: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 3600
    limits: Limits = Limits()


def parse_community(content: bytes, where: str) -> Community:
    """The settings in the bytes of a ``community.toml``; ``where`` names the file in messages.

    Raises:
        DataError: not such a file; names the field.

    Example:
        >>> from fusionbench.board.community.settings import parse_community
        >>> text = b'format = "fusionbench.community/1"\\ntitle = "Ours"\\ndata = "pairs-demo"'
        >>> parse_community(text, "community.toml").limits.per_day
        2
    """
    table = parse_toml(content, where, "leaderboard's settings", MAX_SETTINGS)
    require_format(table.get("format"), "fusionbench.community/1", where)
    if "format" not in table:
        raise DataError(f'{where}: declares no format; its first line is format = "fusionbench.community/1"')
    try:
        return msgspec.convert(table, Community)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: not a leaderboard's settings: {error}; see docs/community.md") from error


@dataclass(frozen=True)
class Leaderboard:
    """A leaderboard's folder and its settings.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.board.community.settings import Leaderboard
        >>> from fusionbench.board.community.start import StartRequest, start_community
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = start_community(StartRequest(Path(folder) / "board", "Ours", "pairs-demo"))
        ...     Leaderboard.read(made).data
        PosixPath('pairs-demo')
    """

    folder: Path
    settings: Community

    @classmethod
    def read(cls, folder: Path) -> Leaderboard:
        """The leaderboard in ``folder``.

        Raises:
            DataError: no leaderboard, or damaged settings.
        """
        path = folder / SETTINGS
        if not path.is_file():
            raise DataError(f"{path}: no such file; make a leaderboard with `fusionbench community init`")
        return cls(folder, parse_community(read_bounded(path, MAX_SETTINGS, "settings"), str(path)))

    @property
    def suite_file(self) -> Path:
        """The suite in the repository."""
        return self.folder / self.settings.suite

    @property
    def data(self) -> Path:
        """What is scored: the name of an embedded source of pairs, or a folder below ``.data``."""
        from fusionbench.core.interfaces import has_files
        from fusionbench.sources import SOURCES, is_pair_source

        name = self.settings.data
        embedded = is_pair_source(name) and not has_files(SOURCES.get(name))
        return Path(name) if embedded else self.folder / DATA / name

    @property
    def data_at_hand(self) -> Path | None:
        """:attr:`data` where it is embedded or there; else None."""
        data = self.data
        return data if len(data.parts) == 1 or data.is_dir() else None

    @property
    def protocol(self) -> str:
        """The name of the suite's protocol, without its version."""
        from fusionbench.evaluation.suites import load_suite

        return protocol_of(load_suite(self.suite_file))


def protocol_of(suite: Suite) -> str:
    """The name of a suite's protocol, without its version.

    Example:
        >>> from fusionbench.board.community.settings import protocol_of
        >>> from fusionbench.evaluation.suites import load_suite
        >>> protocol_of(load_suite("pairs-demo"))
        'pairs'
    """
    from fusionbench.evaluation.protocols import PROTOCOLS

    return PROTOCOLS.get(suite.protocol.name).name
