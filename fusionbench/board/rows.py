"""What a page shows, worked out before any HTML: groups of comparable results and the rows of their tables."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fusionbench.board.bound_rows import KINDS, add_bounds
from fusionbench.board.downstream import add_downstream
from fusionbench.board.order import add_stand_ins, in_order, in_papers_order, tell_apart
from fusionbench.board.page_model import COST, Benchmark, BoardRow, Cell, Column, ColumnGroup, Kind, slug
from fusionbench.board.published_rows import add_dialects, beside, column_title, published_row
from fusionbench.board.set_aside import comparable, with_papers
from fusionbench.core.errors import FusionbenchError
from fusionbench.core.progress import progress
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.protocols import known_protocol
from fusionbench.metrics import label_of
from fusionbench.results import bootstrap as stats
from fusionbench.results.benchmark_choice import what_was_measured
from fusionbench.results.clipping import clipped_mark
from fusionbench.results.comparison import (
    SECONDARY,
    Entry,
    common_images,
    is_trained,
    read_entries,
    require_comparable,
)
from fusionbench.results.entries import tell_titles_apart
from fusionbench.results.input_means import MEAN, PAPER_MEAN, column_order, matches
from fusionbench.results.published import shipped
from fusionbench.results.recomputed import STATED
from fusionbench.results.result_set import ResultSet, SetAside, StoredResult, read_results
from fusionbench.results.row_keys import gather_rows
from fusionbench.results.schema import Result, Score, left_out
from fusionbench.results.tables import decimals, rank_text

RANKED = tuple(KINDS.values())  # each ranked by itself, see fusionbench.results.tiers


def benchmarks(
    results: Path | ResultSet, resamples: int = stats.RESAMPLES, aside: list[SetAside] | None = None
) -> list[Benchmark]:
    """Every group of comparable results, those below a folder or those of a set, in the order of their titles.

    Args:
        aside: takes what cannot be compared with most of its group, and papers that cannot be shown; without it they
            are refused.

    Raises:
        DataError, NotComparableError: a damaged result; metric versions or image ids that differ within a group.
    """
    groups: dict[str, list[StoredResult]] = {}
    published = {result.id: result for result in shipped()}
    if not isinstance(results, ResultSet):
        results = read_results(sorted(Path(results).glob("**/result.json")))
    for one in results if aside is None else with_papers(results, aside):
        if one.result.status == "published":
            published[one.result.id] = one.result
        else:
            groups.setdefault(what_was_measured(one.result), []).append(one)
    if aside is not None:
        groups = {key: comparable(members, aside) for key, members in groups.items()}
    made = []
    with progress("rank rows", len(groups), "benchmarks") as task:
        for members in groups.values():
            made.append(_benchmark(members, resamples, list(published.values())))
            task.advance(note=made[-1].title)
    add_downstream(made)
    # the table with most rows keeps the address that it had before somebody tried other options
    made.sort(key=lambda benchmark: (benchmark.slug, -len(benchmark.rows), benchmark.first.id))
    for number, benchmark in enumerate(made):  # the same data under two protocols needs two names
        if any(other.slug == benchmark.slug for other in made[:number]):
            benchmark.slug += "-" + what_was_measured(benchmark.first)[:8]
    return made


def _benchmark(members: list[StoredResult], resamples: int, published: list[Result]) -> Benchmark:
    first = next((one.result for one in members if not one.result.stretched), members[0].result)
    dataset = first.identity.dataset
    folders = {one.result.id: one.folder for one in members}
    entries = read_entries(ResultSet([one for one in members if one.result.per_image is not None]))
    for row in gather_rows(one for one in members if one.result.per_image is None):
        entries.append(
            Entry(
                [one.result for one in row.members],
                replaces=[one.result for one in row.replaced],
                remarks=row.remarks,
            )
        )
    tell_titles_apart(entries)  # those without per-image values as well
    require_comparable([result for entry in entries for result in entry.results])
    replaced = [Entry([result]) for entry in entries for result in entry.replaces]
    groups = _groups(entries, first)
    theirs = [result for result in published if beside(result, first)]
    add_dialects(groups, theirs)
    places = {group.metric: _places(entries, group) for group in groups}
    rows = [_row(entry, groups, places, folders) for entry in entries]
    rows += [_row(entry, groups, places, folders, replaced=True) for entry in replaced]
    for group in groups:
        for column in group.columns:
            for kind in RANKED:
                _rank(rows, column, resamples, kind)
            _unranked(rows, column, resamples)
    for ranked in ("ranked", "stretched"):
        _beats([row for row in rows if row.kind == ranked], groups)
    add_bounds(rows, groups, entries)
    if not theirs:  # the paper's way to average matters beside the paper's rows only
        for group in groups:
            group.columns[:] = [column for column in group.columns if not column.key.endswith(f"@{PAPER_MEAN}")]
    reference_rows = [published_row(result, groups) for result in theirs]
    reference_rows = [row for row in reference_rows if any(cell.value is not None for cell in row.cells.values())]
    add_stand_ins(reference_rows, rows, groups)
    rows += reference_rows
    secret = first.identity.protocol.params.get("round")  # views of a secret seed are another benchmark
    part = f"-round-{str(secret)[:8]}" if secret else ""
    protocol = known_protocol(f"{first.identity.protocol.name}/{first.identity.protocol.version}")
    apart = protocol.apart_by(first.identity.protocol.params) if protocol is not None else ""
    return Benchmark(
        slug=slug(f"{dataset.name}-{dataset.version}-{dataset.split}{part}-{apart}"),
        title=f"{data_title(dataset.name)} {dataset.version}{part.replace('-round-', ', round ')}"
        + (f", {apart}" if apart else ""),
        first=first,
        groups=groups,
        rows=in_order(rows, groups),
        folders=folders,
    )


def data_title(name: str) -> str:
    """How a shipped recipe spells the name of its data set (FusionMNIST); other names stay as they are."""
    with contextlib.suppress(FusionbenchError):
        return load_recipe(name).title.partition(":")[0]
    return name


def _groups(entries: Sequence[Entry], first: Result) -> list[ColumnGroup]:
    identity = first.identity.protocol
    protocol = known_protocol(f"{identity.name}/{identity.version}")
    titles = {} if protocol is None else protocol.titles
    scores: dict[str, Score] = {}
    for entry in entries:
        scores |= {key: score for key, score in entry.results[0].scores.items() if key not in scores}
    shown = None if protocol is None else protocol.shown
    if shown is not None and any(matches(key, pattern) for key in scores for pattern in shown):
        scores = {key: score for key, score in scores.items() if any(matches(key, pattern) for pattern in shown)}
    metrics: dict[str, list[str]] = {}
    for key in scores:
        metrics.setdefault(key.partition("@")[0], []).append(key)
    groups = []
    for metric in in_papers_order(metrics, () if protocol is None else protocol.columns):
        keys = sorted(metrics[metric], key=column_order)
        rank_key = next((key for key in (f"{metric}@{MEAN}", metric) if key in keys), keys[0])
        score = scores[rank_key]
        columns = [
            Column(key, metric, column_title(key), scores[key].better, scores[key].unit, key == rank_key)
            for key in keys
        ]
        hidden = SECONDARY.get(metric) in metrics
        title = titles.get(metric) or label_of(metric)
        groups.append(ColumnGroup(metric, title, score.unit, score.better, columns, hidden))
    return groups


def _row(
    entry: Entry,
    groups: Sequence[ColumnGroup],
    places: dict[str, int],
    folders: dict[str, Path],
    replaced: bool = False,
) -> BoardRow:
    result = entry.results[0]
    notes = [f"{len(entry.results)} training runs"] if len(entry.results) > 1 else []
    notes += [f"{entry.readers} readers"] if entry.readers > 1 else []
    training = result.identity.training
    if training is not None and training.preset not in (None, "default"):
        notes.insert(0, str(training.preset))
    if entry.cut and training is not None and training.planned_steps:
        notes.append(f"cut short at {training.steps or 0:,} of {training.planned_steps:,} steps")
    elif entry.cut:
        notes.append("cut short")
    if training is not None and training.unknown:
        notes.append("imported weights, training unknown")
    if result.status == "scored":
        notes.append("scored from submitted images")
    if "training" in result.statements:
        notes.append("training as declared")
    if replaced:
        notes.append("replaced by a newer submission")
    if result.stretched:
        notes.insert(0, "stretched")
    if mark := clipped_mark(entry.clipped):
        notes.append(mark)
    cells = {column.key: _cell(entry, column.key, places[group.metric]) for group in groups for column in group.columns}
    cost = {
        name: Cell(f"{value:,}" if isinstance(value, int) else f"{float(f'{value:.3g}'):,.10g}", float(value))
        for name in COST
        if (value := result.cost.get(name)) is not None
    }
    return BoardRow(
        kind=_kind(entry, replaced),
        family=result.family,
        title=entry.title,
        note=", ".join(notes),
        slug=slug(f"{result.identity.model.name}-{result.id[:12]}"),
        cells=cells,
        ranks={},
        cost=cost,
        entry=entry,
        folders=[folders[found.id] for found in entry.results],
        gpu=_on_gpu(result),
        submitter=entry.signature,
        remarks=entry.about,
    )


def _kind(entry: Entry, replaced: bool) -> Kind:
    if replaced:
        return "replaced"
    if entry.results[0].status == "published":
        return "published"
    return "cut" if entry.cut else KINDS[entry.tier]


def _on_gpu(result: Result) -> bool:
    host = result.provenance.get("host")
    return isinstance(host, dict) and str(host.get("device", "")).startswith("cuda")


def _places(entries: Sequence[Entry], group: ColumnGroup) -> int:
    """Places after the point for one metric's columns: the middle of what the intervals of its scores deserve."""
    wanted = []
    for entry in entries:
        for column in group.columns:
            score = entry.results[0].scores.get(column.key)
            if score is not None and score.mean is not None:
                half = 2 * (score.sd or 0.0) / math.sqrt(score.n)
                wanted.append(decimals(score.mean, score.mean - half, score.mean + half))
    return sorted(wanted)[len(wanted) // 2] if wanted else 3


def _cell(entry: Entry, key: str, places: int) -> Cell:
    scores = [result.scores[key] for result in entry.results if key in result.scores]
    if not scores:
        return Cell("", None, "the model does not offer this")
    means = [score.mean for score in scores if score.mean is not None]
    if len(means) < len(scores):
        reason = next(score.reason for score in scores if score.mean is None)
        return Cell("n/a", None, reason or "could not be measured")
    values = entry.values.get(key)
    if values is None:  # no value of the cell, so that nothing is sorted, ranked or drawn by it
        return Cell(f"{stats.mean(means):.{places}f} stated", None, STATED)
    if len(means) == 1:
        mean = means[0]
    else:  # of several runs as comparisons have it, to the last digit
        mean = stats.mean(values)
    text = f"{mean:.{places}f}"
    draws = scores[0].extra.get("draws")
    images = f"{scores[0].n:,} images{_left_out(scores[0])}" + (f", K = {draws:,}" if isinstance(draws, int) else "")
    sd = stats.run_sd(means)
    if sd is None or min(means) == max(means):
        return Cell(text, mean, images)
    # as papers write several runs
    about = f"over {len(means)} training runs: {min(means):.{places}f} to {max(means):.{places}f}"
    note = f"{about}, ± is the standard deviation over {len(means)} training runs, {images}"
    return Cell(f"{text} ± {sd:.{places}f}", mean, note)


def _left_out(score: Score) -> str:
    """Which images a mean leaves out, and why."""
    reasons = "; ".join(why.reason for why in left_out(score))
    return (
        f" of {total:,}, the others: {reasons}"
        if reasons and isinstance(total := score.extra.get("images"), int)
        else ""
    )


def _rank(rows: list[BoardRow], column: Column, resamples: int, kind: Kind) -> None:
    """Mark the best cells of a column and, in the column that ranks, work out ranks with their intervals.

    Rows are ranked among those of their ``kind``: submitted predictions never with rows that were scored from weights.
    """
    ranked = [row for row in rows if row.kind == kind and row.cells[column.key].value is not None]
    known = [row.entry.values[column.key] for row in ranked if row.entry is not None]
    if not ranked:
        return
    mask, reasons = common_images(known)
    for row, reason in zip(ranked, reasons, strict=True):
        if reason:
            row.cells[column.key] = Cell("n/a", None, f"not comparable: {reason}")
    ranked = [row for row, reason in zip(ranked, reasons, strict=True) if not reason]
    known = [value[:, mask] for value, reason in zip(known, reasons, strict=True) if not reason]
    if not ranked:
        return
    trained = [row.entry is not None and is_trained(row.entry) for row in ranked]
    found = stats.rank_models(known, column.better, resamples=resamples, trained=trained)
    for row, score, variance in zip(ranked, found.rows, found.seed_variances, strict=True):
        best, tied = score.rank == 1 and score.ranked, score.tied and score.ranked
        row.cells[column.key] = replace(row.cells[column.key], best=best, tied=tied)
        _note_interval(row, column.key, score)
        row.factors[column.key] = (found.images_factor, found.seeds_factor, variance)
        if column.rank_key:
            note = f"rank {score.rank}, {score.rank_low} to {score.rank_high} at 95 % for all rows at once"
            if score.tied and score.rank > 1:
                note += "; not separable from the best"
                note += f", which takes about {score.needed_images:,} images" if score.needed_images else ""
            note = "; ".join(filter(None, [note if score.ranked else "no rank", score.note]))
            row.ranks[column.metric] = Cell(rank_text(score), float(score.rank), note, best, tied)
            if score.ranked:
                row.rank_sets[column.metric] = (score.rank_low, score.rank_high)
    if column.rank_key:
        tell_apart(ranked, column)


def _unranked(rows: list[BoardRow], column: Column, resamples: int) -> None:
    """The intervals of rows that take no rank: cut ones among themselves, as comparisons do; replaced ones alone."""
    known = [row for row in rows if row.kind in ("cut", "replaced") and row.cells[column.key].value is not None]
    cut = [row for row in known if row.kind == "cut"]
    for part in [cut, *([row] for row in known if row.kind == "replaced")]:
        values = [row.entry.values[column.key] for row in part if row.entry is not None]
        mask, reasons = common_images(values)
        part = [row for row, reason in zip(part, reasons, strict=True) if not reason]
        if part:
            values = [value[:, mask] for value, reason in zip(values, reasons, strict=True) if not reason]
            trained = [row.entry is not None and is_trained(row.entry) for row in part]
            found = stats.compare(values, column.better, resamples=resamples, trained=trained)
            for row, score in zip(part, found, strict=True):
                _note_interval(row, column.key, score)


def _note_interval(row: BoardRow, key: str, score: stats.ScoreRow) -> None:
    """Keep the comparison's interval of a mean, which pages and charts show, and put it in the note of its cell."""
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return
    row.intervals[key] = (score.low, score.high)
    cell = row.cells[key]
    places = len(cell.text.partition(" ")[0].partition(".")[2])
    if score.low < score.high:
        note = f"95 %: {score.low:.{places}f} to {score.high:.{places}f}, {cell.note}"
        row.cells[key] = replace(cell, note=note)


def _beats(rows: list[BoardRow], groups: Sequence[ColumnGroup]) -> None:
    """On how many metrics a model is better than every trivial row that has the metric; ``rows`` are of one kind."""
    keys = [column for group in groups if not group.hidden for column in group.columns if column.rank_key]
    trivial = [row for row in rows if row.family == "trivial"]
    for row in rows:
        if row.family == "trivial":
            continue
        won = judged = 0
        for column in keys:
            mine = row.cells[column.key].value
            theirs = [value for other in trivial if (value := other.cells[column.key].value) is not None]
            # a metric that a model lacks does not count; a missing value beats no row
            if not theirs or (mine is None and not row.cells[column.key].text):
                continue
            judged += 1
            won += mine is not None and (mine < min(theirs) if column.better == "lower" else mine > max(theirs))
        if judged:
            row.beats = f"{won} of {judged}"
