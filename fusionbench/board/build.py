"""Writes the pages: static files that open from a folder, without a server and without a network.

Everything that comes from a result is text to the templates (autoescape) and the pages
carry a content security policy that lets nothing run but the board's own script.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.board.agreement import add_mean_ranks, agreement, ranking_columns
from fusionbench.board.cards import BenchmarkCard, card
from fusionbench.board.exports import add_downloads
from fusionbench.board.filters import board_filters, row_filters
from fusionbench.board.image_view import MOST, image_lines, rows_on_show
from fusionbench.board.late_columns import lay_out
from fusionbench.board.page_model import COST, Benchmark, Column, slug
from fusionbench.board.pages import Files, Pages, content_of, relative
from fusionbench.board.parts import parts
from fusionbench.board.people import find_study, people_of
from fusionbench.board.published_rows import add_gaps, gaps, papers, reproduces
from fusionbench.board.remade_pictures import PicturesAgain, picture_cache
from fusionbench.board.rendering import STATIC, compact, render
from fusionbench.board.robustness import add_damage_page, note_alignment
from fusionbench.board.rows import benchmarks
from fusionbench.board.site_index import (
    FILE,
    MAX_BYTES,
    SIGNATURE,
    BoardIndex,
    index_bytes,
    index_signers,
    sign_index,
)
from fusionbench.board.summary import summaries
from fusionbench.board.table import cell_notes, definition_of
from fusionbench.board.values import add_values, model_images, png_bytes, script
from fusionbench.board.views import CURVES, View, against_cost, by_draws, by_number_of_inputs
from fusionbench.core.errors import DataError, RejectedError, UsageError
from fusionbench.core.io import read_bounded, write_bytes
from fusionbench.core.progress import progress
from fusionbench.results import bootstrap as stats
from fusionbench.results.input_means import inputs_text, views_in, views_in_params
from fusionbench.results.result_set import read_results, tell
from fusionbench.results.schema import Origin
from fusionbench.results.study_files import Study
from fusionbench.results.tiers import HEADINGS, PLAIN_HEADING

FORMER_INDEX = "board-files.json"  # names of files alone, as the first release wrote it
MOST_GAPS = 20  # printed numbers beside our own that the benchmark's page shows; more have a page of their own
SHEETS = {
    "contact-sheet": "Targets and their views",
    "sheet": "Pairs and the outputs of all models",
    "samples": "Outputs of the models for {inputs}",
    "reconstructions": "What the models keep of a target that they are given",
    "fused-pairs": "Beside the digits: embedded pairs of two sensors, the infrared simulated, fused in colour",
}


def build_board(
    results: str | Path,
    out: str | Path,
    *,
    title: str = "fusionbench",
    anonymous: bool = False,
    resamples: int = stats.RESAMPLES,
    strict: bool = False,
    key: Path | None = None,
    study: Path | None = None,
    pictures: PicturesAgain | None = None,
) -> Path:
    """Write the pages for every result below ``results`` into ``out`` and return the path of ``index.html``.

    ``anonymous`` leaves out what identifies authors: submitters and the titles they chose, hosts, commands.

    A result that is damaged, that states other means than its per-image table gives, or that cannot be compared with
    the others is set aside and listed on the first page; so is a damaged image. ``strict`` refuses them instead. The
    index ``board-index.json`` has the digests of all results and pages (:mod:`fusionbench.board.site_index`), and is
    signed with the ed25519 ``key`` (PEM).

    ``study`` is a file that ``fusionbench study -o`` wrote, by default ``study.json`` in ``results``: the pages of
    metrics show which of them agree with people.

    ``pictures`` says from what data images of single pairs are made again where none is kept, see
    :class:`fusionbench.board.remade_pictures.PicturesAgain`.

    PNG files that lie in ``results/<data set>/`` are shown on the data set's page. Files of an earlier board that
    are no longer needed are removed; anything else in ``out`` stays.

    Raises:
        UsageError: no results, or ``out`` has an ``index.html`` that is not a board's.
        DataError: all results are damaged, with ``strict`` one result or image, or ``out`` cannot be written.
        NotComparableError: with ``strict``, results of one data set and protocol on other images or with other versions
            of a metric.

    Example:
        >>> import tempfile
        >>> from fusionbench import build_board, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> pairs = open_pairs("pairs-demo", "all", None)
        >>> model = create_model("average", ImageSpec(channels=1, height=256, width=256, views=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = evaluate_pairs(model, pairs, out=f"{folder}/results", device="cpu")
        ...     index = build_board(f"{folder}/results", f"{folder}/site")
        ...     print(index.name, "average of the sources" in index.read_text())
        index.html True
    """
    results, out = Path(results), Path(out)
    how: dict[str, Any] = {"anonymous": anonymous, "resamples": resamples, "strict": strict, "study": study}
    pages = make_pages(results, title=title, cache=picture_cache(out), pictures=pictures, **how)
    if (out / "index.html").exists() and not any((out / name).exists() for name in (FILE, FORMER_INDEX)):
        raise UsageError(f"{out}: has an index.html that is not a fusionbench board; choose another folder")
    content = _write(out, pages.files, partial(pages.index, results, title, anonymous, resamples))
    if key is not None:
        sign_index(out, content, key)
    return out / "index.html"


def make_pages(
    results: Path,
    *,
    title: str = "fusionbench",
    anonymous: bool = False,
    resamples: int = stats.RESAMPLES,
    strict: bool = False,
    study: Path | None = None,
    pictures: PicturesAgain | None = None,
    cache: Path | None = None,
) -> Pages:
    """All files of a board but its index, without writing one; what is set aside is named on stderr.

    Images that are made again are kept in ``cache``.

    Raises:
        UsageError, DataError, NotComparableError: as :func:`build_board`.
    """
    if not results.is_dir():
        raise DataError(f"{results}: no such results folder")
    stored = read_results(results, strict=strict, stated=True)
    pages = Pages(set_aside=list(stored.set_aside), strict=strict)
    found = benchmarks(stored, resamples, None if strict else pages.set_aside)
    if not found:
        raise UsageError(f"{results}: no result of a measured model in this folder; score one first, as `run` does")
    out_of_it = {one.file for one in pages.set_aside}
    pages.results = [one for one in stored if one.file not in out_of_it]
    note_alignment(found)
    if anonymous:
        _make_anonymous(found)
    for benchmark in found:
        add_gaps(benchmark)
    for name in ("board.css", "board.js", "compare.js", "explorer.js", "images.js", "weights.js", "whiskers.js"):
        pages.files[f"static/{name}"] = compact(STATIC / name)
    if pictures is not None and cache is not None:
        pages.pictures = pictures.kind
        pages.remade = pictures.make(found, cache)
    alone = len(found) == 1
    studied = find_study(results, study, pages)
    made = []
    with progress("make pages", len(found), "benchmarks") as task:
        for benchmark in found:
            made.append(_add_benchmark(pages, benchmark, results, title, resamples, alone, anonymous, studied))
            task.advance(note=benchmark.title)
    aside = relative(pages.set_aside, results)
    if len(found) > 1:
        for benchmark, (front, _) in zip(found, made, strict=True):
            pages.files[f"{benchmark.slug}.html"] = front(page=f"{benchmark.slug}.html", alone=False, set_aside=[])
        pages.files["index.html"] = render(
            "index.html",
            title=title,
            root="",
            cards=[one for _, one in made],
            filters=board_filters(found),
            set_aside=aside,
        )
        pages.files["static/index.js"] = compact(STATIC / "index.js")
    else:
        pages.files["index.html"] = made[0][0](page="index.html", alone=True, set_aside=aside)
    tell(pages.set_aside[len(stored.set_aside) :])
    return pages


def _make_anonymous(found: list[Benchmark]) -> None:
    """Remove what identifies the author of a result."""
    for row in (row for benchmark in found for row in benchmark.rows if row.entry is not None):
        assert row.entry is not None
        row.submitter, row.remarks, row.entry.replaces, row.entry.remarks = "", [], [], []
        for result in row.entry.results:
            result.provenance, result.declared = {}, msgspec.UNSET
            if result.origin.kind == "submission":
                result.title = row.title = f"{result.identity.model.name} {result.id[:6]}"
                row.entry.variant = ""  # the id tells it apart
            result.origin = Origin(kind=result.origin.kind)


def _metric_cards(benchmark: Benchmark) -> list[dict[str, Any]]:
    """What is known of the metrics on show, and what the trivial rows score on them."""
    from fusionbench.evaluation.catalogue import metric_card
    from fusionbench.metrics import METRICS

    cards = []
    for group in benchmark.groups:
        name = group.metric.removesuffix("_bpd")
        if group.hidden or name not in METRICS.names() or METRICS.is_plugin(name):
            continue
        key = next(column.key for column in group.columns if column.rank_key)
        rows = [row for row in benchmark.kind("ranked") if row.family == "trivial" and row.cells[key].value is not None]
        trivial = ", ".join(f"{row.title} {row.cells[key].text}" for row in rows)
        cards.append(
            {
                **metric_card(name),
                "metric": group.metric,
                "head": group.title,
                "trivial": trivial,
                "better": group.better,
            }
            | {"shown_unit": group.unit if group.unit not in ("", "1") else "none: a pure number"}
        )
    return cards


def _add_benchmark(
    pages: Pages,
    benchmark: Benchmark,
    results: Path,
    title: str,
    resamples: int,
    alone: bool,
    anonymous: bool,
    study: Study | None,
) -> tuple[Callable[..., bytes], BenchmarkCard]:
    """Add the pages of a benchmark; returns what makes its table's page, once all that was set aside is known.

    And its card for the first page of several benchmarks.
    """
    files = pages.files
    page, metrics_page = "index.html" if alone else f"{benchmark.slug}.html", f"{benchmark.slug}-metrics.html"
    sheets, shown = [], []
    found = (results / benchmark.first.identity.dataset.name).glob("*.png")
    for path in sorted(found, key=lambda path: (path.stem == "fused-pairs", path)):  # of other images: last
        name = f"pictures/{benchmark.slug}-{slug(path.stem)}.png"
        with pages.isolated(path):
            files[name] = png_bytes(path)
            shown.append(path)
            sheets.append({"file": name, "caption": _sheet_caption(path.stem, benchmark)})
    comparable = add_values(pages, benchmark, results)
    mean_rank = add_mean_ranks(benchmark, resamples)
    costs = {name: label for name, label in COST.items() if any(name in row.cost for row in benchmark.rows)}
    table = lay_out(benchmark, costs, mean_rank)
    said = summaries(benchmark)
    cards = _metric_cards(benchmark)
    files[f"data/{benchmark.slug}/notes.js"] = script(cell_notes(benchmark, table.lines))
    if table.late:
        files[f"data/{benchmark.slug}/late.js"] = script(table.texts)
    downloads = add_downloads(files, benchmark)
    lines_of_images = image_lines(benchmark) if comparable else []
    images_page = f"{benchmark.slug}-images.html" if lines_of_images else ""
    if images_page:
        place = f"pictures/{benchmark.slug}/a/"
        files[f"data/{benchmark.slug}/rows.js"] = script(rows_on_show(benchmark, comparable))
        files[images_page] = render(
            "images.html",
            title=title,
            root="",
            page=page,
            benchmark=benchmark,
            lines=lines_of_images,
            most=MOST,
            pictures=any(name.startswith(place) for name in files),
        )
    images = {row.slug: model_images(pages, row, benchmark) for row in benchmark.rows if row.entry is not None}
    robustness_page = add_damage_page(pages, benchmark, images, title=title, page=page)
    costly = against_cost(benchmark)
    cost_page = f"{benchmark.slug}-cost.html" if costly else ""
    if costly:
        files[cost_page] = render("cost.html", title=title, root="", page=page, benchmark=benchmark, views=costly)
    found_gaps = gaps(benchmark)
    gaps_page = f"{benchmark.slug}-published.html" if len(found_gaps) > MOST_GAPS else ""
    if gaps_page:
        about = {"title": title, "root": "", "page": page, "benchmark": benchmark}
        files[gaps_page] = render("published.html", **about, gaps=found_gaps)
    front = partial(
        render,
        "benchmark.html",
        title=title,
        root="",
        benchmark=benchmark,
        parts=parts(benchmark, HEADINGS | {"weights": PLAIN_HEADING if benchmark.kind("stretched") else ""}),
        summaries=said,
        heads=table.heads,
        late=table.late,
        explained={card["metric"] for card in cards},
        definitions={row.slug: definition_of(row, benchmark) for row in benchmark.kind("published")},
        sheets=sheets,
        values=bool(comparable),
        comparable=comparable,
        downloads=downloads,
        filters=row_filters(benchmark),
        papers=papers(benchmark, anonymous),
        gaps=found_gaps,
        gaps_page=gaps_page,
        ranking_columns=_weighable(benchmark),
        lines=table.shown,
        mean_rank=mean_rank,
        metrics_page=metrics_page,
        cost_page=cost_page,
        images_page=images_page,
        robustness_page=robustness_page,
        costs=costs,
    )
    ranking, matrix = agreement(benchmark)
    files[metrics_page] = render(
        "metrics.html",
        title=title,
        root="",
        page=page,
        benchmark=benchmark,
        columns=ranking,
        heads={group.metric: group.title for group in benchmark.groups},
        matrix=matrix,
        people=people_of(study, benchmark),
        cards=cards,
    )
    for row in benchmark.rows:
        if row.entry is not None:
            name = f"models/{benchmark.slug}-{row.slug}.html"
            curves: list[View] = []
            with pages.isolated(row.folders[0] / CURVES):
                curves = by_draws(row.folders[0])
            files[name] = render(
                "model.html",
                title=title,
                root="../",
                page=page,
                benchmark=benchmark,
                row=row,
                result=row.entry.results[0],
                views=by_number_of_inputs(row, benchmark) + curves,
                images=images[row.slug],
                published=[other for other in benchmark.kind("published") if reproduces(row, other)],
            )
    return front, BenchmarkCard(benchmark, said[0]) if alone else card(pages, benchmark, said[0], results, shown)


def _sheet_caption(name: str, benchmark: Benchmark) -> str:
    """What a sheet of a data set shows, for its number of views."""
    params = benchmark.first.identity.protocol.params
    keys = [column.key for column in benchmark.columns]
    views = views_in_params(params) or next((v for g in benchmark.groups if (v := views_in(keys, g.metric))), None)
    caption = SHEETS.get(name)
    return name if caption is None else caption.format(inputs="N inputs" if views is None else inputs_text(views))


def _weighable(benchmark: Benchmark) -> list[Column]:
    """The columns whose ranks readers may weigh: those that at least two ranked rows have."""
    rows, columns = benchmark.kind("ranked"), ranking_columns(benchmark)
    return [column for column in columns if sum(row.cells[column.key].value is not None for row in rows) > 1]


def _write(out: Path, files: Files, index: Callable[[dict[str, str]], BoardIndex]) -> bytes:
    """Write all files, the index last, and remove what an earlier board wrote and this one does not need.

    Returns the bytes of the index. A signature of an earlier index goes, unless that was the same.
    """
    earlier: list[str] = []
    for name in (FILE, FORMER_INDEX):
        if (out / name).exists():
            try:
                earlier += json.loads(read_bounded(out / name, MAX_BYTES, "list of files"))["files"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(f"{out / name}: damaged; remove the folder and build again") from error
    digests = {}
    with progress("write pages", len(files), "files") as task:
        for name in sorted(files):
            digests[name] = hashlib.sha256(made := content_of(files[name])).hexdigest()
            # one wait for the disk a page was most of the time; the index tells whether a power cut took one
            write_bytes(out / name, made, durable=False)
            task.advance()
    content = index_bytes(index(digests))
    write_bytes(out / FILE, content)
    try:
        index_signers(out, content)
    except RejectedError:
        earlier.append(SIGNATURE)
    root = out.resolve()
    for name in {*earlier, FORMER_INDEX} - set(files):
        path = (out / str(name)).resolve()
        if path.is_relative_to(root) and path.is_file():
            path.unlink()
    return content
