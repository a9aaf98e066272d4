"""The first page: of each benchmark who wins, a small chart and a picture, or what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from markupsafe import Markup

from fusionbench.board.agreement import MEAN_RANK
from fusionbench.board.explorer import images_of
from fusionbench.board.page_model import Benchmark, BoardRow
from fusionbench.board.pages import Pages
from fusionbench.board.summary import Summary
from fusionbench.board.values import is_whole
from fusionbench.core.images import FULL, encode_png, read_image

SHOWN = 6  # rows of a small chart, the best trivial row among them
# Of it: pixels, of a row, for names, and letters of one. On a phone it is drawn smaller than this by a tenth.
WIDTH, LINE, NAMES, LETTERS = 340, 22, 174, 22
PICTURE = (640, 216)  # pixels of a card's picture, width and height, at most


@dataclass(frozen=True)
class BenchmarkCard:
    """``chart`` is empty without ranked rows, ``picture`` (a file of the board) where no image may be shown."""

    benchmark: Benchmark
    summary: Summary
    chart: Markup = field(default_factory=Markup)
    picture: str = ""
    caption: str = ""


def card(pages: Pages, benchmark: Benchmark, summary: Summary, results: Path, sheets: Sequence[Path]) -> BenchmarkCard:
    """The card of a benchmark; its picture is added to ``pages``."""
    name, caption = f"pictures/{benchmark.slug}-card.png", ""
    files = _single_image(pages, benchmark, summary, results)
    if files:
        caption = f"source A, source B and {summary.leader.title if summary.leader else ''}"
        pages.files[name] = partial(_beside, files)
    elif own := [*sheets, *_of_leader(summary)]:
        with pages.isolated(own[0]):
            if is_whole(pages, own[0]):
                caption = f"images of {benchmark.title}"
                pages.files[name] = partial(_corner, own[0])
    return BenchmarkCard(benchmark, summary, small_chart(benchmark, summary), name if caption else "", caption)


def _of_leader(summary: Summary) -> list[Path]:
    """Pictures that the best row's result keeps of itself."""
    row = summary.leader
    if row is None or row.entry is None:
        return []
    kept = [
        (folder, name)
        for folder, one in zip(row.folders, row.entry.results, strict=True)
        for name in one.pictures.values()
    ]
    return [path for folder, name in kept if Path(name).name == name and (path := folder / name).is_file()]


def _single_image(pages: Pages, benchmark: Benchmark, summary: Summary, results: Path) -> list[Path]:
    """Both sources and the best row's output of the first image that has all three."""
    row = summary.leader
    if row is None or row.entry is None:
        return []
    sources, fused_of = images_of(pages, benchmark, results, row.entry.ids)
    fused = fused_of(row)
    for place, (a, b) in sources.items():
        if place in fused and all(is_whole(pages, path) for path in (a, b, fused[place])):
            return [a, b, fused[place]]
    return []


def _corner(path: Path) -> bytes:
    """The upper left corner of an image as PNG."""
    pixels = read_image(path, FULL).pixels
    return encode_png(np.ascontiguousarray(pixels[: PICTURE[1], : PICTURE[0]]), small=True)


def _beside(paths: Sequence[Path]) -> bytes:
    """Images side by side as PNG, each fitted to a third of the picture."""
    from PIL import Image, ImageOps

    width, height = PICTURE[0] // len(paths) - 4, PICTURE[1]
    shown, used = Image.new("RGB", (PICTURE[0], height), "white"), 1
    for n, path in enumerate(paths):
        one = Image.fromarray(read_image(path, FULL).pixels).convert("RGB")
        one = ImageOps.contain(one, (width, height), Image.Resampling.BICUBIC)
        shown.paste(one, (n * (width + 6), 0))
        used = max(used, one.height)
    return encode_png(np.asarray(shown)[:used], small=True)


def small_chart(benchmark: Benchmark, summary: Summary) -> Markup:
    """Mean ranks with intervals of the first rows and the best trivial one, or the first metric that ranks."""
    rows = [row for row in benchmark.kind(summary.kind) if row.mean_rank is not None]
    about, key = "mean rank, 1 is best", MEAN_RANK
    if rows:
        means = {row.slug: float(row.mean_rank.value or 0.0) for row in rows if row.mean_rank}
        rows.sort(key=lambda row: means[row.slug])
    else:
        group = next((one.group for one in summary.verdicts), None)
        if group is None:
            return Markup("")
        key, about = group.ranking.key, f"{group.title}, {group.about}"
        rows = [row for row in benchmark.kind(summary.kind) if row.cells[key].value is not None]
        means = {row.slug: float(row.cells[key].value or 0.0) for row in rows}
        rows.sort(key=lambda row: means[row.slug] * (1 if group.better == "lower" else -1))
    models = [row for row in rows if row.family != "trivial"][: SHOWN - 1]
    trivial = [row for row in rows if row.family == "trivial"][: 1 if models else SHOWN]
    shown = [row for row in rows if row in models or row in trivial]
    return _strips(shown, means, key, about) if len(shown) > 1 else Markup("")


def _fitting(title: str, others: Sequence[str]) -> str:
    """A title of at most ``LETTERS`` letters: its beginning, and its end where another one begins as it does."""
    if len(title) <= LETTERS:
        return title
    begin = title[: LETTERS - 1]
    if any(other.startswith(begin) for other in others):
        return title[: LETTERS // 2 - 1] + "…" + title[-LETTERS // 2 :].lstrip()
    return begin + "…"


def _strips(rows: Sequence[BoardRow], means: dict[str, float], key: str, about: str) -> Markup:
    """A line for every row: its name, a point, and its interval."""
    intervals = {row.slug: row.intervals.get(key, (means[row.slug],) * 2) for row in rows}
    low = min(interval[0] for interval in intervals.values())
    high = max(interval[1] for interval in intervals.values())

    def at(value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{NAMES + 8 + share * (WIDTH - NAMES - 16):.1f}"

    height = LINE * (len(rows) + 1)
    parts = [Markup('<svg class="strips" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, height, about)]
    for n, row in enumerate(rows):
        y = LINE * n + LINE // 2 + 2
        title = _fitting(row.title, [other.title for other in rows if other is not row])
        kind = "grey" if row.family == "trivial" else "c0"
        parts.append(
            Markup('<text class="tick name" x="{}" y="{}" text-anchor="end">{}</text>').format(NAMES, y + 4, title)
        )
        one = Markup('<g class="{}"><title>{}: {}</title><path d="M{} {}H{}"/><circle cx="{}" cy="{}" r="4"/></g>')
        begin, end = intervals[row.slug]
        mean = means[row.slug]
        parts.append(one.format(kind, row.title, f"{mean:.4g}", at(begin), y, at(end), at(mean), y))
    y = LINE * len(rows) + LINE // 2 + 5
    parts.append(Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - 4, y, about))
    return Markup("").join([*parts, Markup("</svg>")])
