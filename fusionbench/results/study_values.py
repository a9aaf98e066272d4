"""Metric values of several methods' fused images: from what ``score --json`` wrote, or from folders of results.

read_metric_values(["results/tno"])                          # every measured result below
read_metric_values(["CDDFuse=cdd.json", "u2fusion.json"])    # one method a file; the stem names it
read_metric_values(["all.json"])                             # {"CDDFuse": {…}, "U2Fusion": {…}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import read_bounded
from fusionbench.core.text import one_line
from fusionbench.metrics import METRICS
from fusionbench.results.bootstrap import Better
from fusionbench.results.opinions import MAX_NAME
from fusionbench.results.result_set import StoredResult, read_results

MAX_JSON = 256 << 20
_STANDARD = "standard/1"


@dataclass
class MetricValues:
    """Values by metric and cell.

    Attributes:
        values: key (``vif``, ``vif@cddfuse``) -> (image, method) -> value; what has none is not there.
        better: key -> direction.
        cells: every (image, method) that was scored.
    """

    values: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)
    better: dict[str, Better] = field(default_factory=dict)
    cells: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, key: str, better: Better, method: str, column: Iterable[tuple[str, float]], where: str) -> None:
        """Add a metric's values of a method, (image, value) each.

        Raises:
            DataError: there are values of this metric and method already.
        """
        found = self.values.setdefault(key, {})
        self.better[key] = better
        for image, value in column:
            cell = image, method
            if cell in found:
                raise DataError(f"{where}: {key} of {method} on {image} was read already, from {self.cells[cell]}")
            self.cells[cell] = where
            if math.isfinite(value):
                found[cell] = value


def read_metric_values(paths: Sequence[str | Path]) -> MetricValues:
    """Read the values of all methods.

    Args:
        paths: folders of results, or JSON files that ``score --json`` wrote, with the method as ``NAME=FILE`` or as the
            file's stem. The same method may come in several dialects.

    Raises:
        UsageError: no results in a folder.
        DataError: a file that is missing, damaged or not what it says it is, or a value that is there twice.
    """
    found = MetricValues()
    for given in map(str, paths):
        name, sign, rest = given.partition("=")
        path = Path(given)
        if sign and not path.exists():
            path = Path(rest)
        else:
            name = path.stem
        if path.is_dir():
            _add_results(found, path)
        else:
            _add_json(found, path, name)
    return found


def _add_results(found: MetricValues, folder: Path) -> None:
    """Every measured result as made: people saw those images, not the ones that were stretched for scoring."""
    groups: dict[tuple[str, str], list[StoredResult]] = {}
    for one in read_results(folder):
        identity = one.result.identity
        stretched = bool(identity.protocol.params.get("stretch"))
        if one.result.status != "published" and one.result.per_image is not None and not stretched:
            groups.setdefault((identity.model.name, identity.dataset.name), []).append(one)
    used = 0
    for (model, dataset), rows in groups.items():
        titles = {one.result.title: one.file for one in rows}
        if len(titles) < len(rows):
            raise DataError(
                f"{rows[-1].file}: {rows[-1].result.title!r} on {dataset} has another result; opinions are on the "
                "images of one run: give its folder"
            )
        for one in rows:
            used += _add_result(found, one, model if len(rows) == 1 else one.result.title)
    if not used:
        raise UsageError(f"{folder}: no result with values of metrics of fused images in it")


def _add_result(found: MetricValues, one: StoredResult, method: str) -> int:
    """Add the metrics of fused images that a result has; how many."""
    table, used = one.per_image, 0
    images = [str(image) for image in table["id"].tolist()]
    for key, score in one.result.scores.items():
        base = key.partition("@")[0]
        if key in table and base in METRICS.names() and METRICS.get(base).needs in ("pair", "fused", "target"):
            column = zip(images, np.asarray(table[key], np.float64).tolist(), strict=True)
            found.add(key, score.better, method, column, str(one.file))
            used += 1
    return used


def _add_json(found: MetricValues, path: Path, name: str) -> None:
    def fail(text: str) -> NoReturn:
        raise DataError(f"{path}: {text}")

    def refuse(token: str) -> NoReturn:
        fail(f"has {token}, which is no JSON; `score --json` writes null where there is no value")

    content = read_bounded(path, MAX_JSON, "table of metrics")
    try:
        raw = json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError):
        fail("is no JSON; `score --json` writes what is read here")
    if not isinstance(raw, dict) or not raw:
        fail("is not what `score --json` writes, nor an object of such by method")
    methods = {name: raw} if isinstance(raw.get("images"), list) else raw
    for method, scores in methods.items():
        if not method or len(method) > MAX_NAME or one_line(method) != method:
            fail(f"method {one_line(method[:40])!r} is no name of 1 to {MAX_NAME} letters")
        _add_scores(found, path, method, scores)


def _add_scores(found: MetricValues, path: Path, method: str, scores: Any) -> None:
    def fail(text: str) -> NoReturn:
        raise DataError(f"{path}: {one_line(method)}: {text}")

    if not isinstance(scores, dict) or not isinstance(scores.get("images"), list) or not scores["images"]:
        fail("has no list of images; `score --json` writes one")
    dialect = scores.get("dialect", _STANDARD)
    if not isinstance(dialect, str) or len(dialect) > MAX_NAME:
        fail("its dialect is no name")
    tail = "" if dialect == _STANDARD else f"@{dialect.partition('/')[0]}"
    columns: dict[str, list[tuple[str, float]]] = {}
    seen: set[str] = set()
    for place, row in enumerate(scores["images"]):
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not 0 < len(row["id"]) <= MAX_NAME:
            fail(f"image {place} has no id of 1 to {MAX_NAME} letters")
        image = row["id"]
        if image in seen:
            fail(f"image {one_line(image)!r} is there twice")
        seen.add(image)
        for key, value in row.items():
            if key in ("id", "not_available"):
                continue
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                fail(f"image {one_line(image)!r}: {one_line(key[:40])} is {type(value).__name__}, not a number")
            try:
                number = math.nan if value is None else float(value)
            except OverflowError:
                number = math.inf
            if math.isinf(number):
                fail(f"image {one_line(image)!r}: {one_line(key[:40])} is not finite")
            columns.setdefault(key, []).append((image, number))
    if not columns:
        fail("has no metric in it")
    for key, column in columns.items():
        if key not in METRICS.names():
            fail(f"metric {one_line(key[:40])!r} is not known here; install the package that has it")
        found.add(key + tail, METRICS.get(key).better, method, column, str(path))
