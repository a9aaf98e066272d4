"""Results as rows that can be compared: the same images in the same order, the same protocol and versions of metrics.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.results.entries import read_entries, require_comparable, title_of
    >>> pairs = open_pairs("pairs-demo", "all", None)
    >>> models = [create_model(name, ImageSpec(1, 256, 256, views=2)) for name in ("copy-a", "copy-b")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = [evaluate_pairs(model, pairs, out=folder, device="cpu") for model in models]
    ...     entries = read_entries([folder])
    >>> require_comparable(results)  # silent: the same pairs, protocol and versions of metrics
    >>> [title_of(result) for result in results]
    ['copy of source A', 'copy of source B']
    >>> [(entry.title, entry.values["sf"].shape) for entry in entries]  # three images of one run each
    [('copy of source A', (1, 3)), ('copy of source B', (1, 3))]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, NotComparableError
from fusionbench.core.text import one_line
from fusionbench.results.clipping import clipped_mean, clipped_remark
from fusionbench.results.image_tables import per_image
from fusionbench.results.reader_seeds import spread_readers
from fusionbench.results.recomputed import STATED
from fusionbench.results.result_set import Results, StoredResult, read_results
from fusionbench.results.row_keys import gather_rows, owner_of
from fusionbench.results.row_titles import variants
from fusionbench.results.schema import ProtocolIdentity, Result
from fusionbench.results.tiers import Tier, tier_of
from fusionbench.results.tracks import ranking_parameter


@dataclass
class Entry:
    """One row: a submission, or a model, with one result per training seed; per-image values (runs, n) by score key.

    Images that a metric cannot score are NaN in ``values``. ``lacking``: score key -> why the row has no mean to be
    ranked by. ``replaces``: results of earlier submissions that this row replaces and that are not ranked.
    ``remarks``: what a reader must know about how the results became a row. ``clipped``: the largest mean share of
    clipped pixels of its results, None where no per-image table has it. ``readers``: how many detectors or U-Nets were
    trained on the images of its one result, whose spread is that of its ``values``; 1 where there are none, or several
    results, which have it in theirs. ``variant``: what tells it from rows of the same title, which its own ends in.
    """

    results: list[Result]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    ids: list[int | str] = field(default_factory=list)
    replaces: list[Result] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    clipped: float | None = None
    readers: int = 1
    variant: str = ""

    @property
    def title(self) -> str:
        return f"{title_of(self.results[0])} {self.variant}" if self.variant else title_of(self.results[0])

    @property
    def first_values(self) -> dict[str, np.ndarray]:
        """Per-image values (n,) of its first result by score key."""
        return {key: runs.mean(axis=0) if self.readers > 1 else runs[0] for key, runs in self.values.items()}

    @property
    def submitter(self) -> str | None:
        """Who submitted it; None for own runs, and where nobody is named."""
        return owner_of(self.results[0])

    @property
    def signature(self) -> str:
        """Submitter and the start of the submission's id, as tables show them beside the title; "" for own runs."""
        submission = self.results[0].submission
        return " ".join(filter(None, [one_line(self.submitter or ""), "" if submission is None else submission.id[:8]]))

    @property
    def about(self) -> list[str]:
        """What a reader must know: what was gathered how, what it replaces, whether it is clipped; a line each."""
        earlier = [result.submission.id[:8] for result in self.replaces if result.submission]
        replaced = f"replaces submission {', '.join(earlier)}, not ranked any more" if earlier else ""
        return self.remarks + [line for line in (clipped_remark(self.clipped), replaced) if line]

    @property
    def provenance(self) -> dict[str, Any]:
        """Whose row it is and what is only declared, as JSON-ready data; lists have one value for every result."""
        submissions = [result.submission for result in self.results]
        first = submissions[0]
        return {
            "submitter": self.submitter,
            "submitter_confirmed": first is not None and first.confirmed,
            "submissions": [one.id for one in submissions if one is not None],
            "group": None if first is None else first.group,
            "replaces": [result.submission.id for result in self.replaces if result.submission],
            "declared": [result.statements for result in self.results],
            "remarks": self.remarks,
        }

    @property
    def tier(self) -> Tier:
        """Which rows it is ranked with by default, see :mod:`fusionbench.results.tiers`."""
        first = self.results[0]
        stretched = any(result.stretched for result in self.results)
        return tier_of(first.status, first.identity.protocol.name, stretched)

    @property
    def cut(self) -> bool:
        return any(result.cut for result in self.results)

    @property
    def trivial(self) -> bool:
        return self.results[0].family == "trivial"


def title_of(result: Result) -> str:
    """What a table calls a result, as its author wrote it: who prints it makes it harmless."""
    return result.title or result.identity.model.name


def table_protocol(protocol: ProtocolIdentity) -> ProtocolIdentity:
    """A protocol without what only makes another ranked group of a table: whether pairs' images were stretched.

    Example:
        >>> from fusionbench.results.entries import table_protocol
        >>> from fusionbench.results.schema import ProtocolIdentity
        >>> table_protocol(ProtocolIdentity(name="pairs", version="1", seed=0, params={"stretch": True})).params
        {}
    """
    ranked_by = ranking_parameter(protocol.name)
    if ranked_by not in protocol.params:
        return protocol
    params = {key: value for key, value in protocol.params.items() if key != ranked_by}
    return msgspec.structs.replace(protocol, params=params)


def require_comparable(results: Sequence[Result], files: Sequence[str | Path] = ()) -> None:
    """Refuse results that do not measure the same thing.

    Args:
        files: where the results lie, in the same order, for the message.

    Raises:
        NotComparableError: says which results differ in what.
    """
    places = [f"{file}: " for file in files] or [""] * len(results)
    named = [f"{place}{_named(result)}" for place, result in zip(places, results, strict=True)]
    versions: dict[str, tuple[str, str]] = {}  # metric -> version, and whose it is: the first that has the metric
    sizes: dict[str, tuple[Any, str]] = {}  # of bits per dimension: the number of values of an image
    directions: dict[str, tuple[tuple[str, str], str]] = {}
    for other, theirs in zip(results, named, strict=True):
        for part in ("dataset", "protocol"):
            ours, another = getattr(results[0].identity, part), getattr(other.identity, part)
            if part == "protocol":
                ours, another = table_protocol(ours), table_protocol(another)
            mine = {} if ours == another else msgspec.to_builtins(ours)
            for name, value in ({} if ours == another else msgspec.to_builtins(another)).items():
                if mine[name] != value:
                    raise NotComparableError(
                        f"{theirs} and {named[0]} differ in {part} {name}: {value!r} and {mine[name]!r}; "
                        "score them again on the same data under the same protocol"
                    )
        for metric, version in other.identity.metrics.items():
            first, whose = versions.setdefault(metric, (version, theirs))
            if version != first:
                raise NotComparableError(
                    f"{theirs} and {whose} were scored with versions {version} and {first} of {metric}; "
                    "score them again"
                )
        for key, score in other.scores.items():
            found, whose = directions.setdefault(key, ((score.better, score.unit), theirs))
            if found[0] != score.better:
                raise NotComparableError(
                    f"{theirs} and {whose} differ in the direction of {key}: {score.better} and {found[0]} is better; "
                    "score them again"
                )
            dims, first_dims = score.extra.get("dims"), sizes.setdefault(key, (score.extra.get("dims"), theirs))
            if key.partition("@")[0].endswith("_bpd") and dims != first_dims[0]:
                raise NotComparableError(
                    f"{theirs} and {first_dims[1]} differ in the number of values that {key} is over: {dims!r} and "
                    f"{first_dims[0]!r}; score them again"
                )
            if found[1] != score.unit:
                raise NotComparableError(
                    f"{theirs} and {whose} differ in the unit of {key}: {score.unit!r} and {found[1]!r}; "
                    "score them again"
                )


def read_entries(results: Results) -> list[Entry]:
    """One entry per row from result files or folders, ids checked; :mod:`fusionbench.results.row_keys` says whose.

    Submissions that a newer one of the same submitter replaces have no entry; the one that replaces them lists them.

    Raises:
        UsageError: no results in a folder.
        DataError: a damaged result.
        NotComparableError: different things were measured, or a row has no per-image values.
    """
    found = read_results(results)
    if any(one.result.status != "published" for one in found):  # numbers of papers take no part
        found = found.measured
    rows = gather_rows(found)
    members = [one for row in rows for one in row.members]
    require_comparable([one.result for one in members], [one.file for one in members])
    entries: list[Entry] = []
    ids: np.ndarray | None = None
    for row in rows:
        entry = Entry([], replaces=[one.result for one in row.replaced], remarks=row.remarks)
        for one in row.members:
            table, order = _per_image_table(one)
            theirs = table["id"][order]
            if ids is None:
                ids = theirs
            elif not np.array_equal(ids, theirs):
                common = len(np.intersect1d(ids, theirs))
                raise NotComparableError(
                    f"{one.file}: {_named(one.result)} has {len(theirs)} images, {common} of the {len(ids)} of the "
                    "others; means over different images cannot be compared"
                )
            _add(entry, one.result, table, order)
        entry.ids = [] if ids is None else ids.tolist()
        for key, values in entry.values.items():
            if without := len(entry.results) - len(values):
                entry.lacking.setdefault(key, f"{without} of its {len(entry.results)} runs have no such score")
        for key in entry.lacking:  # a run without a value is not left out of the mean of its model's runs
            entry.values.pop(key, None)
        if len(entry.results) == 1:
            _spread_readers(entry, row.members[0].file)
        entries.append(entry)
    tell_titles_apart(entries)
    return entries


def tell_titles_apart(entries: Sequence[Entry]) -> None:
    """Let titles of rows that a reader would see twice in one table end in what differs between the rows.

    Tables, exports and pages take titles from here, so that all of them call a row the same.
    """
    firsts = [entry.results[0] for entry in entries]
    marks = [(entry.signature, entry.tier, entry.cut, entry.trivial) for entry in entries]  # tables show these as well
    seen = [(title_of(one), mark) for one, mark in zip(firsts, marks, strict=True)]
    for entry, text in zip(entries, variants(firsts, seen), strict=True):
        entry.variant = text


def _per_image_table(one: StoredResult) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """The per-image values of a result, and the order of its lines by image."""
    if one.result.per_image is None:
        raise NotComparableError(
            f"{one.file}: {_named(one.result)} has no per-image values, which a paired comparison needs"
        )
    table = one.per_image
    order = np.argsort(table["id"], kind="stable")
    return table, order


def _add(entry: Entry, result: Result, table: Mapping[str, np.ndarray], order: np.ndarray) -> None:
    """Add a result of the row, with its values image by image."""
    entry.results.append(result)
    if (share := clipped_mean(table)) is not None:
        entry.clipped = share if entry.clipped is None else max(entry.clipped, share)
    for key, score in result.scores.items():
        values = per_image(table, key, score)
        if score.mean is None:
            entry.lacking.setdefault(key, score.reason or "could not be measured")
        elif values is None:
            entry.lacking.setdefault(key, STATED)
        else:
            had = entry.values.get(key)
            entry.values[key] = values[order][None] if had is None else np.vstack([had, values[order]])


def _spread_readers(entry: Entry, file: Path) -> None:
    """Let the readers of a row's one result be its runs."""
    for key, values in entry.values.items():
        try:
            entry.values[key] = spread_readers(values, entry.results[0].scores[key])
        except DataError as error:
            raise DataError(f"{file}: {key}: {error}") from error
        entry.readers = max(entry.readers, len(entry.values[key]))
    if entry.readers > 1 and entry.results[0].identity.training is not None:
        entry.remarks.append(f"trained once: intervals know of {entry.readers} readers, not of another training")


def _named(result: Result) -> str:
    return f"{title_of(result)} ({result.id[:12]})"
