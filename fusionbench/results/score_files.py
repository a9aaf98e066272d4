"""A user's own per-image scores, from CSV or JSON, as results that a gate compares.

A CSV has a column ``id``, one column for each metric, and may have ``model`` and ``seed``::

    id,model,seed,loss:lower,psnr
    0001,net,0,0.113,31.2

JSON is a list of such rows as objects, or ``{"better": {"loss": "lower"}, "scores": [...]}``. An empty cell or ``null``
is an image without a value. Several files without seeds are several runs. The direction of a metric comes from its
column (``loss:lower``), from the caller, or from the registered metric of that name.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from fusionbench.core.errors import DataError, MeasurementError, NotComparableError, UsageError, some, unknown_name
from fusionbench.core.formats import declared_format
from fusionbench.core.io import digest, read_bounded
from fusionbench.core.text import one_line
from fusionbench.results.baseline import OWN_NUMBERS, Baseline, own_settings
from fusionbench.results.baseline_checks import unique_keys
from fusionbench.results.bootstrap import Better, mean
from fusionbench.results.clipping import COLUMN as CLIPPED
from fusionbench.results.full_range import FUSED, SOURCES
from fusionbench.results.input_means import current_key
from fusionbench.results.registered import registered_direction
from fusionbench.results.result_set import Results, ResultSet, StoredResult, read_results
from fusionbench.results.schema import (
    DatasetIdentity,
    Identity,
    ModelIdentity,
    PerImage,
    ProtocolIdentity,
    Result,
    Score,
    identity_id,
)

MAX_BYTES = 64 << 20
MAX_COLUMNS = 1000
MAX_NAME = 80  # letters of a column, model or seed
MAX_ID = 200
NOT_NAMED = "model"  # what a model without a column ``model`` is called, in every file, so that files can be compared
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")
_ABOUT = ("id", "model", "seed", FUSED, SOURCES, CLIPPED)  # the last three in tables of results, no scores


@dataclass
class _Table:
    """The rows of a file, each with where it is in the file, and the directions that its columns name."""

    path: Path
    columns: list[str]
    rows: list[tuple[str, list[Any]]]
    better: dict[str, Better] = field(default_factory=dict)

    def fail(self, text: str) -> NoReturn:
        raise DataError(f"{self.path}: {text}")


def parse_directions(text: str) -> dict[str, Better]:
    """``lower:loss,higher:acc`` as a mapping by metric.

    Raises:
        UsageError: anything else, or a metric twice.

    Example:
        >>> from fusionbench.results.score_files import parse_directions
        >>> parse_directions("lower:loss,higher:acc")
        {'loss': 'lower', 'acc': 'higher'}
    """
    found: dict[str, Better] = {}
    for part in filter(None, text.split(",")):
        direction, _, name = part.strip().partition(":")
        if direction not in ("lower", "higher") or not name or name in found:
            raise UsageError(f"--better {part.strip()!r}: write lower:NAME or higher:NAME, each name once")
        found[name] = cast(Better, direction)
    return found


def parse_tolerances(text: str) -> dict[str, float]:
    """``loss:0.01,acc:0.005`` as a mapping by metric.

    Raises:
        UsageError: anything else, a metric twice, or a tolerance that is negative or not finite.

    Example:
        >>> from fusionbench.results.score_files import parse_tolerances
        >>> parse_tolerances("loss:0.01,acc:5e-3")
        {'loss': 0.01, 'acc': 0.005}
    """
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.strip().rpartition(":")
        value = float(number) if _NUMBER.fullmatch(number) else math.nan
        if not name or name in found or not (math.isfinite(value) and value >= 0):
            raise UsageError(f"--tolerance {part.strip()!r}: write NAME:NUMBER, 0 or more, each name once")
        found[name] = value
    return found


def read_candidate(
    candidate: Results,
    *,
    better: Mapping[str, Better] | None = None,
    tolerances: Mapping[str, float] | None = None,
    baseline: Baseline | None = None,
    lenient: bool = False,
) -> ResultSet:
    """Results, folders of them, and files of per-image scores, in any mixture.

    Args:
        better, tolerances: of metrics in files of scores, by column or by the name before an ``@``.
        baseline: has directions and tolerances for those that are not given.
        lenient: leave out columns whose direction nobody gives, instead of refusing them.

    Raises:
        UsageError: no results, or a direction that is missing or contradicts another one.
        DataError: a damaged file, with row and column.
        MeasurementError: a value that is not finite.
        NotComparableError: runs of one model on different images.
    """
    if isinstance(candidate, ResultSet):
        return candidate
    paths = [Path(path) for path in ([candidate] if isinstance(candidate, str | Path) else candidate)]
    own = [path for path in paths if _is_score_file(path)]
    if not own:
        if better or tolerances:
            raise UsageError("--better and --tolerance are for files of scores (CSV, JSON); results have their own")
        return read_results(candidate)
    tables = [_read_json(path) if path.suffix.lower() == ".json" else _read_csv(path) for path in own]
    metrics = [name for name in tables[0].columns if name not in _ABOUT]
    names = {name for metric in metrics for name in (metric, metric.partition("@")[0])}
    if unknown := {*(better or {}), *(tolerances or {})} - names:
        raise unknown_name("metric", min(unknown), metrics)
    directions, allowed = own_settings(baseline) if baseline is not None else ({}, {})
    directions, allowed = directions | dict(better or {}), allowed | dict(tolerances or {})
    rest = [path for path in paths if path not in own]
    found = _score_results(tables, directions, allowed, lenient)
    stored = read_results(rest) if rest else ResultSet()
    return ResultSet([*stored, *found], stored.set_aside)


def _is_score_file(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.is_dir() or suffix != ".json":
        return suffix == ".csv" and not path.is_dir()
    content = read_bounded(path, MAX_BYTES, "result or file of scores")
    if content.lstrip()[:1] == b"[":
        return True
    return declared_format(content) is None and b'"scores"' in content and b'"identity"' not in content


def _read_csv(path: Path) -> _Table:
    content = read_bounded(path, MAX_BYTES, "file of scores")
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(f"line {reader.line_num}", row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: not CSV: {error}") from error
    if len(lines) < 2:
        raise DataError(f"{path}: has no rows; write a header with id and metrics, and a row for each image")
    header = [name.strip() for name in lines[0][1]]
    table = _Table(path, [], [(place, list(row)) for place, row in lines[1:]])
    if len(header) == 1 and re.search("[;\t]", header[0]):
        table.fail("has no commas; separate the columns with commas")
    for name in header:
        stem, colon, direction = name.rpartition(":")
        if colon and direction in ("lower", "higher"):
            table.better[stem] = cast(Better, direction)
        table.columns.append(stem if stem in table.better else name)
    for place, row in table.rows:
        if len(row) != len(header):
            table.fail(f"{place} has {len(row)} cells, the header {len(header)}")
    return _checked(table)


def _read_json(path: Path) -> _Table:
    def not_finite(text: str) -> NoReturn:
        raise MeasurementError(f"{path}: has a value {text}; write null where an image has no value")

    content = read_bounded(path, MAX_BYTES, "file of scores")
    try:
        found = json.loads(content.decode(), object_pairs_hook=unique_keys, parse_constant=not_finite)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    head = found if isinstance(found, dict) else {"scores": found}
    rows, better = head.get("scores"), head.get("better", {})
    table = _Table(path, [], [])
    if set(head) - {"scores", "better"} or not isinstance(rows, list) or not isinstance(better, dict):
        table.fail('write a list of rows, or {"better": {NAME: "lower"}, "scores": [rows]}')
    if not rows or not all(isinstance(row, dict) for row in rows):
        table.fail('has no rows, or one that is no object; write each as {"id": "a", "loss": 0.5}')
    for name, direction in better.items():
        if direction not in ("lower", "higher"):
            table.fail(f"better of {name[:MAX_NAME]!r} is not lower or higher")
    table.better, table.columns = better, list(rows[0])
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            odd = sorted(row.keys() ^ rows[0].keys())
            table.fail(f"row {number} differs from row 1 in {one_line(some([name[:MAX_NAME] for name in odd]))}")
        table.rows.append((f"row {number}", [row[name] for name in table.columns]))
    return _checked(table)


def _checked(table: _Table) -> _Table:
    """Names that are safe to show, an id, and at least one metric."""
    if len(table.columns) > MAX_COLUMNS:
        table.fail(f"has {len(table.columns)} columns, more than {MAX_COLUMNS}")
    for name in (*table.columns, *table.better):
        if problem := name_problem(name):
            table.fail(f"column {one_line(name[:MAX_NAME])!r}: {problem}")
    twice = [name for number, name in enumerate(table.columns) if current_key(name) in table.columns[:number]]
    if twice:
        table.fail(f"has two columns {twice[0]!r}")
    if "id" not in table.columns:
        table.fail("has no column 'id'")
    if not set(table.columns) - set(_ABOUT):
        table.fail("has no column of a metric")
    return table


def name_problem(name: str, longest: int = MAX_NAME) -> str:
    """Why a name from outside is not taken, or an empty text. Spreadsheets run cells that begin like a formula.

    Example:
        >>> from fusionbench.results.score_files import name_problem
        >>> name_problem("PSNR (dB)")
        ''
        >>> name_problem("=HYPERLINK(1)")
        'begins like a formula; rename it'
    """
    if not name.strip():
        return "is empty; name it"
    if len(name) > longest:
        return f"has more than {longest} letters; shorten it"
    if name.lstrip()[0] in "=+-@|":
        return "begins like a formula; rename it"
    return "has control characters; rename it" if one_line(name) != name else ""


def _score_results(
    tables: Sequence[_Table], better: Mapping[str, Better], tolerances: Mapping[str, float], lenient: bool
) -> list[StoredResult]:
    """A result for every model and run of score files that were read."""
    columns = {tuple(sorted(set(table.columns) - set(_ABOUT))): table.path for table in tables}
    if len(columns) > 1:
        raise DataError(f"{some([str(path) for path in columns.values()])}: have different metrics; give all the same")
    metrics = [name for name in tables[0].columns if name not in _ABOUT]
    directions: dict[str, Better] = {}
    for name in metrics:
        direction = _direction(tables, name, better)
        if direction is None and not lenient:
            raise UsageError(
                f"{tables[0].path}: is {name} better when it is lower or higher? Write --better lower:{name}, "
                f"or {name}:lower in the header"
            )
        if direction is not None:
            directions[name] = direction
    found: list[StoredResult] = []
    images: dict[str, tuple[list[int | str], Path]] = {}
    runs: set[tuple[str, str]] = set()
    for number, table in enumerate(tables):
        for (model, seed), rows in _groups(table, number).items():
            if (model, seed) in runs:
                raise DataError(f"{table.path}: seed {seed} of {model} is in another file, too; number the seeds")
            runs.add((model, seed))
            stored = _stored(table, model, seed, rows, directions, tolerances)
            ids = sorted(stored.per_image["id"].tolist())
            before, path = images.setdefault(model, (ids, table.path))
            if before != ids:
                where = f"{path} and {table.path}" if path != table.path else str(path)
                raise NotComparableError(f"{where}: runs of {model} have different images; score the same ones")
            found.append(stored)
    return found


def _direction(tables: Sequence[_Table], name: str, given: Mapping[str, Better]) -> Better | None:
    """The direction of a column, from its files, the caller or the registered metric, which may not contradict."""
    metric = name.partition("@")[0]
    said = {table.better[key] for table in tables for key in (name, metric) if key in table.better}
    said |= {given[key] for key in (name, metric) if key in given}
    registered = registered_direction(name)
    if len(said | {registered} - {None}) > 1:
        known = f"{registered} by the metric of that name" if registered else "lower and higher"
        raise UsageError(f"{tables[0].path}: {name} is said to be better when it is {', '.join(said)}, and {known}")
    return next(iter(said), registered)


def _groups(table: _Table, number: int) -> dict[tuple[str, str], list[tuple[str, list[Any]]]]:
    """Rows by model and seed; without a column, the seed is the number of the file."""
    place_of = {name: table.columns.index(name) for name in _ABOUT if name in table.columns}
    groups: dict[tuple[str, str], list[tuple[str, list[Any]]]] = {}
    for place, row in table.rows:
        names = []
        for name, default in (("model", NOT_NAMED), ("seed", str(number))):
            value = str(row[place_of[name]]).strip() if name in place_of else default
            if problem := name_problem(value):
                table.fail(f"{place}: {name} {one_line(value[:MAX_NAME])!r}: {problem}")
            names.append(value)
        groups.setdefault((names[0], names[1]), []).append((place, row))
    return groups


def _given(tolerances: Mapping[str, float], key: str) -> float:
    return float(tolerances.get(key, tolerances.get(key.partition("@")[0], 0.0)))


def _ids(table: _Table, rows: Sequence[tuple[str, list[Any]]]) -> list[int | str]:
    place_of_id = table.columns.index("id")
    found: dict[int | str, str] = {}
    for place, row in rows:
        value = row[place_of_id]
        text = value if isinstance(value, str) else str(value)
        if not isinstance(value, int | str) or isinstance(value, bool) or not text or len(text) > MAX_ID:
            table.fail(f"{place}: an id is a text of at most {MAX_ID} letters or a whole number")
        if one_line(text) != text:
            table.fail(f"{place}: id {one_line(text[:MAX_NAME])!r} has control characters; rename it")
        if text in found:
            table.fail(f"{place}: id {text!r} is there already, in {found[text]}; one row for an image of a run")
        found[text] = place
    whole = all(_INTEGER.fullmatch(str(text)) for text in found)  # 01 is a name, not the number 1
    return [int(text) if whole else text for text in found]


def _value(table: _Table, place: str, name: str, cell: Any) -> float:
    """A cell as a number; NaN where it is empty."""
    text = cell.strip() if isinstance(cell, str) else ""
    if cell is None or (isinstance(cell, str) and not text):
        return math.nan
    try:
        number = isinstance(cell, int | float) and not isinstance(cell, bool)
        value = float(cell) if number or _NUMBER.fullmatch(text) else None
    except OverflowError:
        value = math.inf
    if value is None and not _NOT_FINITE.fullmatch(text):
        shown = one_line(str(cell)[:40])
        table.fail(f"{place}, {name}: {shown!r} is no number; leave the cell empty where there is no value")
    if value is None or not math.isfinite(value):
        raise MeasurementError(
            f"{table.path}: {place}, {name}: the value is not finite; leave it empty or measure it again"
        )
    return value


def _stored(
    table: _Table,
    model: str,
    seed: str,
    rows: Sequence[tuple[str, list[Any]]],
    directions: Mapping[str, Better],
    tolerances: Mapping[str, float],
) -> StoredResult:
    ids = _ids(table, rows)
    values: dict[str, np.ndarray] = {"id": np.array(ids)}
    scores = {}
    for place_in_row, name in enumerate(table.columns):
        if name not in directions:
            continue
        key = current_key(name)
        column = np.array([_value(table, place, name, row[place_in_row]) for place, row in rows])
        has = np.isfinite(column)
        scores[key] = Score(
            mean=mean(column[has]) if has.any() else None,
            n=int(has.sum()),
            better=directions[name],
            unit="",
            extra={"tolerance": _given(tolerances, key)},
            reason="" if has.any() else "no image has a value",
        )
        values[key] = column
    identity = Identity(
        model=ModelIdentity(name=model, version="1", weights_sha256=digest([model, seed])),  # runs differ in it
        dataset=DatasetIdentity(
            name="scores", version="1", split="all", id=digest(OWN_NUMBERS), n=len(ids), ids_sha256=digest(sorted(ids))
        ),
        protocol=ProtocolIdentity(name=OWN_NUMBERS, version="1", seed=0),
        metrics={key.partition("@")[0]: "1" for key in scores},
    )
    result = Result(id=identity_id(identity), status="scored", title=model, identity=identity, scores=scores)
    result.per_image = PerImage(file=table.path.name, sha256="", columns=list(values))
    stored = StoredResult(table.path, result, named=True)
    vars(stored)["per_image"] = values  # read already: the cached property finds it
    return stored
