"""Writes the pages: static files that open from a folder, without a server and without a network.

Everything that comes from a result is text to the templates (autoescape) and the pages
carry a content security policy that lets nothing run but the board's own script.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from fusionbench import __version__
from fusionbench.board.agreement import add_mean_ranks, agreement, ranking_columns
from fusionbench.board.citations import bibtex
from fusionbench.board.explorer import KINDS, MAX_MAPS, SOURCES, image_files, local_map, may_have_maps, sources_of
from fusionbench.board.filters import board_filters, row_filters
from fusionbench.board.page_model import COST, Benchmark, BoardRow, Column, slug
from fusionbench.board.published_rows import add_gaps, gaps, papers, reproduces
from fusionbench.board.rendering import STATIC, render
from fusionbench.board.rows import benchmarks
from fusionbench.board.table import cell_notes, slots
from fusionbench.board.views import against_cost, by_draws, by_number_of_inputs
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_headers import png_header
from fusionbench.core.io import canonical_json, read_bounded, write_bytes, write_json
from fusionbench.results import bootstrap as stats
from fusionbench.results.comparison import compare_entries
from fusionbench.results.input_means import inputs_text, views_in, views_in_params
from fusionbench.results.schema import Origin
from fusionbench.results.tables import as_csv, as_latex, as_markdown

Files = dict[str, bytes | Callable[[], bytes]]  # name -> content, or what makes it when it is written
MANIFEST = "board-files.json"
MAX_IMAGE_BYTES = 32 << 20
SHEETS = {
    "contact-sheet": "Targets and their views",
    "sheet": "Pairs and the outputs of all models",
    "samples": "Outputs of the models for {inputs}",
    "reconstructions": "What the models keep of a target that they are given",
}


def build_board(
    results: str | Path,
    out: str | Path,
    *,
    title: str = "fusionbench",
    anonymous: bool = False,
    resamples: int = stats.RESAMPLES,
) -> Path:
    """Write the pages for every result below ``results`` into ``out`` and return the path of ``index.html``.

    ``anonymous`` leaves out what identifies authors: submitters and the titles they chose, hosts, commands.

    PNG files that lie in ``results/<data set>/`` are shown on the data set's page. Files of an earlier board that
    are no longer needed are removed; anything else in ``out`` stays.

    Raises:
        UsageError: no results, or ``out`` has an ``index.html`` that is not a board's.
        DataError: a damaged result or image, or ``out`` cannot be written.
        NotComparableError: results of one data set and protocol that were scored with different metric versions.

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
    if not results.is_dir():
        raise DataError(f"{results}: no such results folder")
    found = benchmarks(results, resamples)
    if not found:
        raise UsageError(f"{results}: no result of a measured model in this folder; score one first, as `run` does")
    if (out / "index.html").exists() and not (out / MANIFEST).exists():
        raise UsageError(f"{out}: has an index.html that is not a fusionbench board; choose another folder")
    if anonymous:
        _make_anonymous(found)
    for benchmark in found:
        add_gaps(benchmark)
    files: Files = {}
    for name in ("board.css", "board.js", "compare.js", "explorer.js", "weights.js"):
        files[f"static/{name}"] = (STATIC / name).read_bytes()
    for benchmark in found:
        _add_benchmark(files, benchmark, results, title, resamples, len(found) == 1, anonymous)
    if len(found) > 1:
        files["index.html"] = render("index.html", title=title, root="", benchmarks=found, filters=board_filters(found))
        files["static/index.js"] = (STATIC / "index.js").read_bytes()
    _write(out, files)
    return out / "index.html"


def _make_anonymous(found: list[Benchmark]) -> None:
    """Remove what identifies the author of a result."""
    for row in (row for benchmark in found for row in benchmark.rows if row.entry is not None):
        assert row.entry is not None
        row.submitter, row.remarks, row.entry.replaces, row.entry.remarks = "", [], [], []
        for result in row.entry.results:
            result.provenance, result.declared = {}, msgspec.UNSET
            if result.origin.kind == "submission":
                result.title = row.title = f"{result.identity.model.name} {result.id[:6]}"
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
    files: Files, benchmark: Benchmark, results: Path, title: str, resamples: int, alone: bool, anonymous: bool
) -> None:
    page, metrics_page = "index.html" if alone else f"{benchmark.slug}.html", f"{benchmark.slug}-metrics.html"
    sheets = []
    for path in sorted((results / benchmark.first.identity.dataset.name).glob("*.png")):
        name = f"pictures/{benchmark.slug}-{slug(path.stem)}.png"
        files[name] = picture(path)
        sheets.append({"file": name, "caption": _sheet_caption(path.stem, benchmark)})
    comparable = _add_values(files, benchmark, results)
    mean_rank = add_mean_ranks(benchmark, resamples)
    costs = {name: label for name, label in COST.items() if any(name in row.cost for row in benchmark.rows)}
    lines = {row.slug: slots(row, benchmark, costs, mean_rank) for row in benchmark.rows}
    files[f"data/{benchmark.slug}/notes.js"] = _script(cell_notes(benchmark, lines))
    downloads = _downloads(files, benchmark)
    costly = against_cost(benchmark)
    cost_page = f"{benchmark.slug}-cost.html" if costly else ""
    if costly:
        files[cost_page] = render("cost.html", title=title, root="", page=page, benchmark=benchmark, views=costly)
    files[page] = render(
        "benchmark.html",
        title=title,
        root="",
        benchmark=benchmark,
        sheets=sheets,
        values=bool(comparable),
        comparable=comparable,
        downloads=downloads,
        filters=row_filters(benchmark),
        papers=papers(benchmark, anonymous),
        gaps=gaps(benchmark),
        ranking_columns=_weighable(benchmark),
        lines=lines,
        mean_rank=mean_rank,
        metrics_page=metrics_page,
        cost_page=cost_page,
        costs=costs,
        alone=alone,
        width=max(1 + len(line) for line in lines.values()),
    )
    columns, matrix = agreement(benchmark)
    files[metrics_page] = render(
        "metrics.html",
        title=title,
        root="",
        page=page,
        benchmark=benchmark,
        columns=columns,
        heads={group.metric: group.title for group in benchmark.groups},
        matrix=matrix,
        cards=_metric_cards(benchmark),
    )
    for row in benchmark.rows:
        if row.entry is not None:
            name = f"models/{benchmark.slug}-{row.slug}.html"
            files[name] = render(
                "model.html",
                title=title,
                root="../",
                page=page,
                benchmark=benchmark,
                row=row,
                result=row.entry.results[0],
                views=by_number_of_inputs(row, benchmark) + by_draws(row.folders[0]),
                pictures=_model_pictures(files, row, benchmark),
                published=[other for other in benchmark.kind("published") if reproduces(row, other)],
            )


def _sheet_caption(name: str, benchmark: Benchmark) -> str:
    """What a sheet of a data set shows, for its number of views."""
    params = benchmark.first.identity.protocol.params
    keys = [column.key for column in benchmark.columns]
    views = views_in_params(params) or next((v for g in benchmark.groups if (v := views_in(keys, g.metric))), None)
    caption = SHEETS.get(name)
    return name if caption is None else caption.format(inputs="N inputs" if views is None else inputs_text(views))


def _weighable(benchmark: Benchmark) -> list[Column]:
    """The columns whose ranks readers may weigh: those that at least two ranked rows have."""
    rows = benchmark.kind("ranked")
    return [
        column
        for column in ranking_columns(benchmark)
        if sum(row.cells[column.key].value is not None for row in rows) > 1
    ]


def _script(data: object) -> bytes:
    """Data as a script that calls one function, since a page opened from a folder may not fetch anything."""
    return b"fusionbenchData(" + canonical_json(data) + b");\n"


def _add_values(files: Files, benchmark: Benchmark, results: Path) -> set[str]:
    """Per-image values of the columns that rank, one file a row, for comparisons in the browser; rows that have some.

    Five digits are kept: these are for display; the downloads have all of them. Null: the metric cannot score
    the image.
    """
    rows = [row for row in benchmark.rows if row.entry is not None and row.entry.values]
    scores = {column.key: column for column in benchmark.columns if column.rank_key}
    found: dict[str, dict[str, list[float | None]]] = {}
    for row in rows:
        assert row.entry is not None
        values = {key: row.entry.values[key].mean(axis=0) for key in scores if key in row.entry.values}
        if values:
            found[row.slug] = {
                key: [float(f"{v:.5g}") if math.isfinite(v) else None for v in column] for key, column in values.items()
            }
    if len(found) < 2:
        return set()
    heads = {group.metric: group.title for group in benchmark.groups}
    about: dict[str, dict[str, object]] = {
        key: {"better": column.better, "unit": column.unit if column.unit != "1" else "", "title": heads[column.metric]}
        for key, column in scores.items()
        if any(key in values for values in found.values())
    }
    for key, text in about.items():  # what an interval of a difference takes, the same numbers as the table's
        known = next((row.factors[key] for row in benchmark.rows if key in row.factors), None)
        if known is not None and math.isfinite(known[0]):
            text |= {"factors": known[:2], "least": stats.MIN_RANKED}
    ids = next(row.entry.ids for row in rows if row.entry is not None)
    sources = sources_of(results / benchmark.first.identity.dataset.name, ids)
    for place, paths in sources.items():
        for source, path in zip(SOURCES, paths, strict=True):
            files[f"pictures/{benchmark.slug}/{source}/{place}.png"] = partial(picture, path)
    about_all = {"ids": ids, "scores": about, "sources": list(sources)}
    files[f"data/{benchmark.slug}/scores.js"] = _script(about_all)
    for row in (row for row in rows if row.slug in found):
        seeds = {key: row.factors[key][2] for key in found[row.slug] if key in row.factors}
        shown = _add_fused(files, f"pictures/{benchmark.slug}/{row.slug}", row.folders[0], sources, ids)
        files[f"data/{benchmark.slug}/{row.slug}.js"] = _script({"values": found[row.slug], "seeds": seeds, **shown})
    return set(found)


def _add_fused(
    files: Files,
    place: str,
    folder: Path,
    sources: Mapping[int, tuple[Path, Path]],
    ids: Sequence[int | str],
) -> dict[str, list[int]]:
    """Fused images of a result and their maps; which images have which, of those whose sources are there."""
    shown: dict[str, list[int]] = {"fused": [], "ssim": [], "qabf": []}
    for number, path in image_files(folder / "fused", ids).items():
        if number not in sources:
            continue
        paths = (path, *sources[number])
        files[f"{place}/fused/{number}.png"] = partial(picture, path)
        shown["fused"].append(number)
        if may_have_maps(*paths) and len(shown["ssim"]) < MAX_MAPS:
            for kind in KINDS:
                files[f"{place}/{kind}/{number}.png"] = partial(local_map, kind, *paths)
                shown[kind].append(number)
    return shown


def _downloads(files: Files, benchmark: Benchmark) -> dict[str, str]:
    """The comparison as CSV, Markdown and LaTeX, the tie rule applied; file -> what it is called."""
    rows = (row for row in benchmark.rows if row.kind != "replaced")
    entries = [row.entry for row in rows if row.entry is not None and row.entry.results[0].per_image]
    if not entries:
        return {}
    comparison = compare_entries(entries)  # with the titles of the page, which may be anonymous
    made, texts = {}, {}
    for suffix, label, text in (
        ("csv", "CSV", as_csv(comparison)),
        ("md", "Markdown", as_markdown(comparison)),
        ("tex", "LaTeX", as_latex(comparison)),
        ("bib", "BibTeX", bibtex(benchmark)),
    ):
        name = f"data/{benchmark.slug}.{suffix}"
        files[name], made[name], texts[name] = text.encode(), label, text
    files[f"data/{benchmark.slug}/exports.js"] = _script(texts)
    return made


def _model_pictures(files: Files, row: BoardRow, benchmark: Benchmark) -> list[dict[str, str]]:
    assert row.entry is not None
    shown = []
    for folder, result in zip(row.folders, row.entry.results, strict=True):
        for number, (caption, name) in enumerate(result.pictures.items()):
            if Path(name).name != name:
                raise DataError(f"{folder / 'result.json'}: image {name!r} is outside the result's folder")
            copy = f"pictures/{benchmark.slug}-{row.slug}-{result.id[:12]}-{number}.png"
            files[copy] = picture(folder / name)
            shown.append({"file": copy, "caption": caption})
    return shown


def picture(path: Path) -> bytes:
    """The bytes of a PNG, its size and signature checked.

    Raises:
        DataError: missing, larger than 32 MiB, or no PNG.
    """
    content = read_bounded(path, MAX_IMAGE_BYTES, "image")
    if png_header(content) is None:
        raise DataError(f"{path}: not a PNG")
    return content


def _write(out: Path, files: Files) -> None:
    """Write all files, the manifest last, and remove what an earlier board wrote and this one does not need."""
    earlier: list[str] = []
    if (out / MANIFEST).exists():
        try:
            earlier = json.loads(read_bounded(out / MANIFEST, 64 << 20, "list of files"))["files"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{out / MANIFEST}: damaged; remove the folder and build again") from error
    for name, content in files.items():
        write_bytes(out / name, content if isinstance(content, bytes) else content())
    write_json(out / MANIFEST, {"fusionbench": __version__, "files": sorted(files)}, indent=1)
    root = out.resolve()
    for name in set(earlier) - set(files):
        path = (out / str(name)).resolve()
        if path.is_relative_to(root) and path.is_file():
            path.unlink()
