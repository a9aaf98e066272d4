"""The data of a page before any HTML: columns, groups of them, cells, rows, and the benchmark that holds them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fusionbench.evaluation.protocols import known_protocol
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import Entry
from fusionbench.results.published import Paper
from fusionbench.results.schema import Result
from fusionbench.results.tables import ARROW

if TYPE_CHECKING:
    from fusionbench.evaluation.protocols.base import BaseProtocol

Kind = Literal["bound", "ranked", "stretched", "predictions", "cut", "replaced", "published"]  # in the order of a page


@dataclass(frozen=True)
class Column:
    """One score key of a table. ``rank_key``: models are ranked by it (one column of each metric)."""

    key: str
    metric: str
    label: str
    better: stats.Better
    unit: str
    rank_key: bool


@dataclass(frozen=True)
class ColumnGroup:
    """Columns of one metric under one head."""

    metric: str
    title: str
    unit: str
    better: stats.Better
    columns: list[Column]
    hidden: bool

    @property
    def ranking(self) -> Column:
        """The column that ranks; one of these columns always does."""
        return next(column for column in self.columns if column.rank_key)

    @property
    def arrow(self) -> str:
        """The better direction as the field writes it."""
        return ARROW[self.better]

    @property
    def about(self) -> str:
        """Unit and direction as text."""
        return ", ".join(([] if self.unit in ("", "1") else [self.unit]) + [f"{self.better} is better"])


@dataclass(frozen=True)
class Cell:
    """A number on the page, ``value`` for sorting. ``note`` is shown on demand."""

    text: str
    value: float | None
    note: str = ""
    best: bool = False
    tied: bool = False


@dataclass(frozen=True)
class Published:
    """Where the numbers of a row come from that were not measured here. ``model``: our name of the model."""

    paper: Paper
    model: str
    caveats: tuple[str, ...]
    entered_by: str


@dataclass
class BoardRow:
    """One line of a table."""

    kind: Kind
    family: str
    title: str
    note: str
    slug: str
    cells: dict[str, Cell]
    ranks: dict[str, Cell]  # metric -> rank and the set of ranks that it may have
    rank_sets: dict[str, tuple[int, int]] = field(default_factory=dict)  # metric -> first and last rank of that set
    factors: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # score key -> see stats.Ranking
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # score key -> 95 % of its mean
    beats: str = ""  # "2 of 2" metrics on which it beats every trivial row
    beyond_copying: str = ""  # "1 of 8" metrics on which it passes the bound of copying
    cost: dict[str, Cell] = field(default_factory=dict)
    downstream: dict[str, Cell] = field(default_factory=dict)  # column -> what the downstream probe finds
    entry: Entry | None = None
    folders: list[Path] = field(default_factory=list)
    published: Published | None = None
    mean_rank: Cell | None = None
    may_lead: bool = False  # its mean rank is not separable from the best one
    stand_ins: dict[str, float] = field(default_factory=dict)  # metric -> where a published number stands in the column
    part: Kind | None = None  # the rows among which a bound or a published row is shown
    gpu: bool = False  # was scored, and so probably trained, on a GPU
    submitter: str = ""  # who submitted it, and the start of the submission's id
    remarks: list[str] = field(default_factory=list)  # how results became this row

    @property
    def status(self) -> str:
        if self.entry is None:
            return "bound" if self.kind == "bound" else "published"
        return self.entry.results[0].status

    @property
    def needs(self) -> list[str]:
        """What it takes to have this row, as keys of :data:`NEEDS`: from training, cost and host of its results."""
        if self.entry is None:
            return []
        first = self.entry.results[0]
        if first.status == "scored":
            return ["program"]
        found = ["training"] if first.identity.training is not None or first.cost.get("parameters") else []
        return (found or ["nothing"]) + (["gpu"] if self.gpu else [])

    def sd_over_images(self, key: str) -> float | None:
        """Sample deviation of a score over images, each the mean of all training runs; None for fewer than two."""
        values = None if self.entry is None else self.entry.values.get(key)
        if values is None:
            return None
        images = values.mean(axis=0)
        images = images[np.isfinite(images)]
        return float(images.std(ddof=1)) if len(images) > 1 else None

    @property
    def runs(self) -> int:
        """Number of training runs."""
        return 0 if self.entry is None else len(self.entry.results)


@dataclass
class Benchmark:
    """Results that measured the same thing: one table."""

    slug: str
    title: str
    first: Result
    groups: list[ColumnGroup]
    rows: list[BoardRow]
    folders: dict[str, Path]  # result id -> folder
    alignment: str = ""  # how the views of its pairs are displaced, where they are
    downstream: dict[str, tuple[str, str]] = field(default_factory=dict)  # column -> head and what it is

    @property
    def columns(self) -> list[Column]:
        return [column for group in self.groups for column in group.columns]

    @property
    def track(self) -> str:
        """``masked``, ``pairs``, or the name of another protocol."""
        return self.first.identity.protocol.name

    @property
    def protocol(self) -> BaseProtocol | None:
        """The protocol of these results; None where it is not installed here."""
        identity = self.first.identity.protocol
        return known_protocol(f"{identity.name}/{identity.version}")

    @property
    def track_title(self) -> str:
        """What readers call the protocol; its name where it is not installed here."""
        return self.track if self.protocol is None else self.protocol.title

    @property
    def counted(self) -> str:
        """What the number of a result's values counts."""
        return "images" if self.protocol is None else self.protocol.counted

    @property
    def measured(self) -> list[BoardRow]:
        """All rows but the papers' and the bounds of copying."""
        return [row for row in self.rows if row.kind not in ("published", "bound")]

    def kind(self, kind: Kind) -> list[BoardRow]:
        return [row for row in self.rows if row.kind == kind]

    @property
    def shown(self) -> list[ColumnGroup]:
        """The metrics that are shown at first."""
        return [group for group in self.groups if not group.hidden]

    def models(self, kind: Kind) -> list[BoardRow]:
        """The rows of a kind that are no trivial ones."""
        return [row for row in self.kind(kind) if row.family != "trivial"]


COST = {
    "parameters": ("parameters", "number of trained values"),
    "ms_per_image": ("ms/image", "milliseconds to fuse one image"),
    "train_hours": ("training h", "hours of training"),
}


NEEDS = {
    "nothing": "nothing but the images",
    "training": "training",
    "gpu": "a GPU",
    "program": "a program from elsewhere",
}


def slug(text: str) -> str:
    """Text as part of a file name: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "x"
