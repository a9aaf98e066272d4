"""What a kind of submission offers: ``pack``, ``check``, ``accept`` and the queue ask it and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from fusionbench.core.errors import Problem, UsageError
from fusionbench.core.text import Digest, Plain
from fusionbench.submissions.fingerprints import Content

if TYPE_CHECKING:
    from fusionbench.data.dataset import Dataset
    from fusionbench.evaluation.pair_sets import PairSet
    from fusionbench.submissions.round_scoring import OpenRound


@dataclass(frozen=True)
class PackRequest:
    """What is packed, the file to write, and what the author says about it; not every kind asks for all of it.

    Attributes:
        made: a run's folder, predictions, or a table of numbers.
        title, submitter: what tables call the model, and who submits it.
        link, note: an https address with more about it, and what readers should know.
        model, data: of predictions: what folders of results call the model, and what was predicted.
        group, seed: the row of training runs that this is one of, and its training seed (a run knows its own).
        replaces: id of an earlier submission of the same submitter that this one replaces.
    """

    made: Path
    out: Path
    title: str | None = None
    submitter: str | None = None
    link: str | None = None
    note: str = ""
    model: str | None = None
    data: Path | None = None
    group: str | None = None
    seed: int | None = None
    replaces: str | None = None

    @property
    def author(self) -> dict[str, Any]:
        """Title, submitter, link and note, and group and replaces where they are given, as records have them.

        Raises:
            UsageError: no title or no submitter, a group that is no name, or what is replaced is no id.
        """
        if self.title is None or self.submitter is None:
            raise UsageError("a submission needs --title, what tables call the model, and --submitter")
        added = {"group": self.group, "replaces": self.replaces}
        for name, kind, rule in (
            ("group", Plain, "a group has small letters, digits, + _ and -, for example three-seeds"),
            (
                "replaces",
                Digest,
                "the id of a submission has 64 digits; `check` and the page of its row show it",
            ),
        ):
            try:
                msgspec.convert(added[name], kind | None)
            except msgspec.ValidationError as error:
                raise UsageError(f"--{name} {added[name]!r}: {rule}") from error
        about = {"title": self.title, "submitter": self.submitter, "link": self.link, "note": self.note}
        return about | {name: value for name, value in added.items() if value is not None}


@dataclass(frozen=True)
class Scoring:
    """How submissions are scored: one object for a single one and for all of a queue.

    Attributes:
        results: root of the results.
        data: folder or name of the data set or the pairs; published numbers need none.
        suite: name or ``.toml`` file of the suite whose protocol applies; fused images of pairs need none.
        seconds: most time for scoring one.
        submitter: who handed it in, as the maintainer knows; a submission of another one is refused.
        memory: most memory for scoring one, in GiB.
        round, secret: files of a round and of its secret: weights are scored on its views. Both or none.
        views: the finished views of the round, in the place of its secret.
        board: root of the results among which a row has to find its place, where it is not ``results``.
    """

    results: Path
    data: Path | None = None
    suite: str | None = None
    seconds: int = 3600
    submitter: str | None = None
    memory: int = 8
    round: Path | None = None
    secret: Path | None = None
    views: Path | None = None
    board: Path | None = None

    @cached_property
    def data_place(self) -> str:
        """The data as a process that runs elsewhere finds them; "" without data."""
        return "" if self.data is None else str(resolve_data(self.data))

    @cached_property
    def suite_place(self) -> str:
        """The suite as a process that runs elsewhere finds it; "" without one."""
        is_file = self.suite is not None and self.suite.endswith(".toml")
        return str(Path(self.suite or "").resolve()) if is_file else self.suite or ""

    @property
    def places(self) -> list[Path]:
        """Folders and files that scoring reads: the data and the suite, where they are no names of ours."""
        named = [Path(place) for place in (self.data_place, self.suite_place) if place]
        return [place for place in named if place.is_absolute()]

    @cached_property
    def opened_round(self) -> OpenRound | None:
        """The round, checked against its secret, data and suite, with its views made; None without one.

        Raises:
            UsageError: one of the four is missing or does not belong to the others.
            DataError: a file is damaged, or the views cannot be written.
        """
        from fusionbench.submissions.round_scoring import open_round, round_with_views

        if self.round is not None and self.views is not None and self.suite is not None:
            return round_with_views(self.round, self.views, self.suite_place)
        if (self.round is None) != (self.secret is None):
            raise UsageError("a round is scored with its public record and its secret: name --round and --secret")
        if self.round is None or self.secret is None:
            return None
        if self.suite is None or self.data is None:
            raise UsageError("a round is about a suite and its data: name them with --suite and --data")
        return open_round(self.round, self.secret, self.data_place, self.suite_place)

    def check_settings(self) -> None:
        """See whether data, suite and round can be used, before anything is taken from a queue.

        Raises:
            UsageError, DataError: something of it is not there, damaged, or about something else.
        """
        self.check_data()
        self.check_suite()
        if self.data is not None:
            self._opened_data()
        _ = self.opened_round

    def _opened_data(self) -> PairSet | Dataset:
        """The data set or the pairs in ``data``."""
        from fusionbench.data.dataset import open_dataset
        from fusionbench.evaluation.pair_sets import open_pairs
        from fusionbench.evaluation.stored_pairs import holds_dataset

        place = Path(self.data_place)
        return open_dataset(place) if holds_dataset(place) else open_pairs(self.data_place, strict=True)

    def check_data(self) -> None:
        """See whether there is what ``data`` names; nothing is read.

        Raises:
            UsageError: no such folder, and no embedded source of pairs of this name.
        """
        if self.data is not None and resolve_data(self.data).is_absolute() and not Path(self.data_place).is_dir():
            raise UsageError(f"{self.data}: no such folder; name the data set's with --data")

    def check_suite(self) -> None:
        """See whether there is a suite of this name, and whether it is about the data; nothing without a suite.

        Raises:
            UsageError, DataError: no such suite, no data set where one was named, or the suite is about another one.
        """
        from fusionbench.evaluation.suites import load_suite

        if self.suite is None:
            return
        rules = load_suite(self.suite)
        if self.data is None:
            return
        dataset = self._opened_data()
        if dataset.name != rules.dataset:
            raise UsageError(f"{self.data}: is {dataset.name}, the suite {self.suite} is about {rules.dataset}")


def named_data(data: Path) -> Path:
    """Data by their folder, or by their name in ``data/``, where ``fusionbench generate`` puts data sets."""
    from fusionbench.evaluation.pair_sets import DATA

    return DATA / data if not data.exists() and str(data) == data.name and (DATA / data).is_dir() else data


def resolve_data(data: Path) -> Path:
    """Data as a process that runs elsewhere finds them: an absolute folder, or the name of an embedded source."""
    from fusionbench.core.interfaces import has_files
    from fusionbench.sources import SOURCES, is_pair_source

    found, name = named_data(data), str(data)
    embedded = not found.exists() and is_pair_source(name) and not has_files(SOURCES.get(name))
    return data if embedded else found.resolve()


@dataclass
class SubmissionReport:
    """What a check found. ``ok`` when there are no problems; ``notes`` are remarks that refuse nothing.

    ``about``: title, model and data set of the record in one line. ``id``: sha256 over the content of an archive that
    could be unpacked, under which its row is known; "" otherwise. ``content``: what it is compared with others by.
    """

    path: str
    problems: list[Problem] = field(default_factory=list)
    submission: msgspec.Struct | None = None
    notes: list[str] = field(default_factory=list)
    about: str = ""
    id: str = ""
    content: Content | None = None

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        problems = [vars(problem) for problem in self.problems]
        facts = None if self.submission is None else msgspec.to_builtins(self.submission)
        found = {"problems": problems, "notes": self.notes, "submission": facts}
        return {"ok": self.ok, "file": self.path} | ({"id": self.id} if self.id else {}) | found


class SubmissionKind(ABC):
    """One kind of submission.

    Attributes:
        title: what messages call it.
        suffix: what the names of its files end in; the queue takes up no others.
        status: that of its results; assigned here and no field of a submission.
        needs_data: whether accepting it needs the data that were scored.
    """

    title: ClassVar[str]
    suffix: ClassVar[str]
    status: ClassVar[Literal["verified", "scored", "published"]]
    needs_data: ClassVar[bool] = True

    @abstractmethod
    def claims(self, path: Path) -> bool:
        """Whether a submitted file, which need not be there, is of this kind; looks at names alone."""

    @abstractmethod
    def packs(self, request: PackRequest) -> bool:
        """Whether what somebody wants to pack becomes a submission of this kind."""

    @abstractmethod
    def pack(self, request: PackRequest) -> SubmissionReport:
        """Write a submission to ``request.out`` when it passes :meth:`check`; the report of the check.

        Raises:
            UsageError, DataError: there is nothing that can be submitted, or something was not said about it.
            Rejected: the submission would be refused; names the reason.
        """

    @abstractmethod
    def check(self, path: Path, data: Path | None = None) -> SubmissionReport:
        """Everything that is wrong with a submission, beside ``data`` where the kind compares with them.

        Raises:
            DataError: there is no such file.
        """

    @abstractmethod
    def accept(self, path: Path, scoring: Scoring) -> Path:
        """Check a submission again, score it and save the result; its folder.

        Raises:
            Rejected: the check found problems, the data are others, or scoring failed or took too long.
            UsageError, DataError: the suite, the data or the file is not there.
        """
