"""What a study says about the metrics on show: which of them agree with people (:mod:`fusionbench.results.study`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionbench.board.page_model import Benchmark
from fusionbench.board.pages import Pages
from fusionbench.core.text import counted
from fusionbench.results.study_files import Correlation, StudiedMetric, Study, read_study

STUDY = "study.json"  # beside the results, where no other file is named


@dataclass(frozen=True)
class StudiedColumn:
    """A line of the table: a column's head, where its note is on the page, and what the study found."""

    title: str
    metric: str
    tied: bool
    within_image: str
    within_limits: str
    pooled: str
    pooled_limits: str
    krcc: str
    plcc: str


@dataclass(frozen=True)
class StudyOnShow:
    """The study and the lines of its metrics that the benchmark has."""

    study: Study
    lines: Sequence[StudiedColumn]

    @property
    def about(self) -> str:
        """What was asked, in a sentence."""
        people = f" of {self.study.subjects:,} people" if self.study.subjects is not None else ""
        how = " as z-scores" if self.study.zscore else ""
        how += f", {counted(len(self.study.screened), 'subject')} screened out" if self.study.screened else ""
        return (
            f"{self.study.title}: {self.study.opinions:,} opinions{people}{how} on {self.study.images:,} images × "
            f"{len(self.study.methods)} methods"
        )


def find_study(results: Path, study: Path | None, pages: Pages) -> Study | None:
    """The study that pages show: the file that was named, or ``study.json`` in the results' folder.

    Raises:
        DataError: the file that was named is missing or damaged; one beside the results is set aside.
    """
    if study is not None:
        return read_study(study)
    beside = results / STUDY
    if beside.is_file():
        with pages.isolated(beside):
            return read_study(beside)
    return None


def people_of(study: Study | None, benchmark: Benchmark) -> StudyOnShow | None:
    """The study's metrics that are columns of this benchmark, the one that agrees best first; None without any."""
    if study is None:
        return None
    columns = {column.key: (group, column) for group in benchmark.groups for column in group.columns}
    lines = []
    for row in study.metrics:
        if row.key in columns:
            group, column = columns[row.key]
            title = group.title if column.rank_key else f"{group.title}, {column.label}"
            lines.append(_line(row, title, group.metric))
    return StudyOnShow(study, lines) if lines else None


def _line(row: StudiedMetric, title: str, metric: str) -> StudiedColumn:
    return StudiedColumn(
        title=title,
        metric=metric,
        tied=bool(row.tied),
        within_image=_number(row.within_image.srcc),
        within_limits=_limits(row.within_image.srcc),
        pooled=_number(row.pooled.srcc),
        pooled_limits=_limits(row.pooled.srcc),
        krcc=_number(row.pooled.krcc),
        plcc=_number(row.pooled.plcc),
    )


def _number(found: Correlation) -> str:
    return "–" if found.value is None else f"{found.value:+.2f}".replace("-", "−")


def _limits(found: Correlation) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{found.low:+.2f} … {found.high:+.2f}".replace("-", "−")
