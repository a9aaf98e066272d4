"""What a board has of single images: values for comparisons in the browser, and images beside the results.

An image that is damaged is left out and listed, as a damaged result is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from fusionbench.board.explorer import KINDS, MAX_MAPS, SOURCES, images_of, local_map, may_have_maps
from fusionbench.board.page_model import Benchmark, BoardRow
from fusionbench.board.pages import Pages
from fusionbench.core.errors import DataError
from fusionbench.core.image_headers import png_header
from fusionbench.core.images import FULL, read_image
from fusionbench.core.io import canonical_json, read_bounded
from fusionbench.results import bootstrap as stats

MAX_IMAGE_BYTES = 32 << 20


def script(data: object) -> bytes:
    """Data as a script that calls one function, since a page opened from a folder may not fetch anything."""
    return b"fusionbenchData(" + canonical_json(data) + b");\n"


def add_values(pages: Pages, benchmark: Benchmark, results: Path) -> set[str]:
    """Per-image values of the columns that rank, one file a row, for comparisons in the browser; rows that have some.

    Five digits are kept: these are for display; the downloads have all of them. Null: the metric cannot score
    the image.
    """
    files = pages.files
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
    add_labels(about)
    for key, text in about.items():  # what an interval of a difference takes, the same numbers as the table's
        known = [row.factors[key][:2] for row in benchmark.rows if key in row.factors]
        if known and all(math.isfinite(images) for images, _ in known):  # the wider of those of two tables
            text |= {"factors": [max(part) for part in zip(*known, strict=True)], "least": stats.MIN_RANKED}
    ids = next(row.entry.ids for row in rows if row.entry is not None)
    every, fused_of = images_of(pages, benchmark, results, ids)
    sources = {place: paths for place, paths in every.items() if all([is_whole(pages, path) for path in paths])}
    for place, paths in sources.items():
        for source, path in zip(SOURCES, paths, strict=True):
            files[f"pictures/{benchmark.slug}/{source}/{place}.png"] = partial(png_bytes, path)
    about_all = {"ids": ids, "scores": about, "order": list(about), "sources": list(sources)}
    files[f"data/{benchmark.slug}/scores.js"] = script(about_all)
    for row in (row for row in rows if row.slug in found):
        seeds = {key: row.factors[key][2] for key in found[row.slug] if key in row.factors}
        shown = _add_fused(pages, f"pictures/{benchmark.slug}/{row.slug}", fused_of(row), sources)
        files[f"data/{benchmark.slug}/{row.slug}.js"] = script({"values": found[row.slug], "seeds": seeds, **shown})
    return set(found)


def add_labels(about: Mapping[str, dict[str, object]]) -> None:
    """Give columns a label of their own: the title, with the unit where a metric in two units is two columns."""
    titles = Counter(text["title"] for text in about.values())
    for text in about.values():
        shared = titles[text["title"]] > 1 and text["unit"]
        text["label"] = f"{text['title']}, {text['unit']}" if shared else text["title"]


def is_whole(pages: Pages, path: Path) -> bool:
    """Whether an image that is read later, while the pages are written, can be."""
    with pages.isolated(path):
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise DataError(f"{path}: {path.stat().st_size} bytes is too large for image (limit {MAX_IMAGE_BYTES})")
        read_image(path, FULL)
        return True
    return False


def _add_fused(
    pages: Pages,
    place: str,
    fused: Mapping[int, Path],
    sources: Mapping[int, tuple[Path, Path]],
) -> dict[str, list[int]]:
    """Fused images of a result and their maps; which images have which, of those whose sources are there."""
    shown: dict[str, list[int]] = {"fused": [], "ssim": [], "qabf": []}
    for number, path in fused.items():
        if number not in sources:
            continue
        paths = (path, *sources[number])
        maps = False
        with pages.isolated(path):
            maps = may_have_maps(*paths) and len(shown["ssim"]) < MAX_MAPS
            if not is_whole(pages, path):
                continue
            pages.files[f"{place}/fused/{number}.png"] = partial(png_bytes, path)
            shown["fused"].append(number)
        if maps:
            for kind in KINDS:
                pages.files[f"{place}/{kind}/{number}.png"] = partial(local_map, kind, *paths)
                shown[kind].append(number)
    return shown


def model_images(pages: Pages, row: BoardRow, benchmark: Benchmark) -> list[dict[str, str]]:
    """Add the images that a row's results keep of themselves; file and caption of each."""
    assert row.entry is not None
    shown = []
    for folder, result in zip(row.folders, row.entry.results, strict=True):
        for number, (caption, name) in enumerate(result.pictures.items()):
            inside = Path(name).name == name
            with pages.isolated(folder / (name if inside else "result.json")):
                if not inside:
                    raise DataError(f"{folder / 'result.json'}: image {name!r} is outside the result's folder")
                copy = f"pictures/{benchmark.slug}-{row.slug}-{result.id[:12]}-{number}.png"
                pages.files[copy] = png_bytes(folder / name)
                shown.append({"file": copy, "caption": caption})
    return shown


def png_bytes(path: Path) -> bytes:
    """The bytes of a PNG, its size and signature checked.

    Raises:
        DataError: missing, larger than 32 MiB, or no PNG.
    """
    content = read_bounded(path, MAX_IMAGE_BYTES, "image")
    if png_header(content) is None:
        raise DataError(f"{path}: not a PNG")
    return content
